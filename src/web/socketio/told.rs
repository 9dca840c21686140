//! What a page has been told, and so what it is told next when its company's row has changed. No side effects.

use super::board::Row;
use super::events::{Code, NoCode, SHOWN, Say};
use std::time::Duration;

/// How a linking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connected,
    /// Workers are linking or connecting the session.
    Working,
    /// Nobody is, until somebody asks for it.
    Over,
}

impl Phase {
    pub(super) fn of(row: &Row) -> Self {
        if row.status == "connected" {
            Self::Connected
        } else if row.is_wanted {
            Self::Working
        } else {
            Self::Over
        }
    }
}

/// What one page knows.
#[derive(Debug, Default)]
pub(super) struct Told {
    phase: Option<Phase>,
    qr: Option<String>,
    code: Option<String>,
    /// The number that a pairing code is expected or shown for.
    phone: Option<String>,
    /// The number of the last reading of rows that had begun when a request of this page was done, until a later one
    /// shows what became of it.
    asked: Option<u64>,
    /// Whether that request was for a pairing code.
    asked_for_code: bool,
}

impl Told {
    /// A request of this page is done: readings after this one show what became of it.
    pub(super) fn ask(&mut self, reading: u64, for_code: bool) {
        self.asked = Some(reading);
        self.asked_for_code |= for_code;
    }

    /// Whether this page has begun something that the row is too old to show.
    pub(super) fn is_ahead_of(&self, row: &Row) -> bool {
        self.asked.is_some_and(|reading| row.reading <= reading)
    }

    /// Whether a pairing code is on its way.
    pub(super) fn waits_for_code(&self, row: &Row) -> bool {
        self.asked.is_some() && self.asked_for_code
            || Phase::of(row) == Phase::Working && row.link_phone.is_some() && row.code.is_none()
    }

    /// What is new. `moment` is the time since the row was read.
    pub(super) fn see(&mut self, row: &Row, moment: Duration) -> Vec<Say> {
        let (before, now) = (self.phase, Phase::of(row));
        let mut says = vec![];
        // A row that is older than the request of this page says nothing about it.
        let is_answer = self.asked.is_some_and(|reading| row.reading > reading);
        if self.asked.is_some() && !is_answer && now == Phase::Over {
            return says;
        }
        match now {
            Phase::Connected => {
                if before != Some(now) {
                    says.push(connected(row));
                }
                *self = Self { phase: Some(now), ..Self::default() };
            }
            Phase::Working => {
                let is_lost = self.phone.is_some() || is_answer && self.asked_for_code;
                if is_lost && row.link_phone.is_none() {
                    let reason = row.reason.clone().unwrap_or_else(|| "there is no pairing code".into());
                    says.push(Say::no_code(NoCode::PairingCodeFailed, reason));
                    self.asked_for_code = false;
                }
                self.phone.clone_from(&row.link_phone);
                if self.code != row.code {
                    says.extend(code(row, moment));
                    self.code.clone_from(&row.code);
                }
                if self.qr != row.qr {
                    says.extend(qr(row, moment));
                    self.qr.clone_from(&row.qr);
                }
                if is_answer {
                    (self.asked, self.asked_for_code) = (None, false);
                }
                self.phase = Some(now);
            }
            Phase::Over => {
                if before == Some(Phase::Working) || is_answer {
                    let reason = reason(row);
                    if self.phone.is_some() || self.asked_for_code {
                        says.push(Say::no_code(NoCode::BaileysError, reason.clone()));
                    }
                    says.push(match row.end.as_deref() {
                        Some("no_scan") => Say::error(Code::QrExpired, reason),
                        _ => Say::error(Code::ConnectionFailed, reason),
                    });
                }
                *self = Self { phase: Some(now), ..Self::default() };
            }
        }
        says
    }
}

/// Why nobody links or connects the session any more.
fn reason(row: &Row) -> String {
    let failed = row.job_error.as_ref().filter(|_| row.job_status.as_deref() == Some("failed"));
    failed.or(row.reason.as_ref()).cloned().unwrap_or_else(|| "the connection to WhatsApp has ended".into())
}

pub(super) fn connected(row: &Row) -> Say {
    let phone = row.phone.clone().unwrap_or_default();
    Say::Connected { phone, company: row.company_id, session: row.session.clone() }
}

/// The QR code of the row, while it is valid.
pub(super) fn qr(row: &Row, moment: Duration) -> Option<Say> {
    let seconds = seconds(row.qr_seconds, moment)?;
    Some(Say::Qr { text: row.qr.clone()?, seconds: seconds.min(SHOWN) })
}

/// The pairing code of the row, while it is valid.
pub(super) fn code(row: &Row, moment: Duration) -> Option<Say> {
    let seconds = seconds(row.code_seconds, moment)?;
    let phone = row.link_phone.clone().unwrap_or_default();
    Some(Say::Code { code: row.code.clone()?, phone, seconds })
}

/// What is left of a validity, in whole seconds; at least one.
fn seconds(of: Option<f64>, moment: Duration) -> Option<u64> {
    let left = Duration::try_from_secs_f64(of? - moment.as_secs_f64()).ok()?;
    let rounded = (left + Duration::from_millis(500)).as_secs();
    (rounded > 0).then_some(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row { company_id: 7, session: "company_1".into(), status: "new".into(), ..Row::default() }
    }

    fn working(qr: &str) -> Row {
        let (qr, qr_seconds) = (Some(qr.to_owned()), Some(59.9));
        Row { status: "linking".into(), is_wanted: true, qr, qr_seconds, reading: 2, ..row() }
    }

    fn see(told: &mut Told, row: &Row) -> Vec<Say> {
        told.see(row, Duration::ZERO)
    }

    #[test]
    fn h3_a_page_hears_each_qr_code_once_and_the_connection_once() {
        let mut told = Told::default();
        assert_eq!(see(&mut told, &row()), vec![]);
        told.ask(1, false);
        assert_eq!(see(&mut told, &row()), vec![], "a row from before the request");
        let first = Say::Qr { text: "a".into(), seconds: 20 };
        assert_eq!(see(&mut told, &working("a")), vec![first]);
        assert_eq!(see(&mut told, &working("a")), vec![]);
        assert_eq!(see(&mut told, &working("b")), vec![Say::Qr { text: "b".into(), seconds: 20 }]);
        let phone = Some("15550001".to_owned());
        let linked = Row { status: "connected".into(), is_wanted: true, phone, reading: 2, ..row() };
        let said = see(&mut told, &linked);
        assert_eq!(said, vec![Say::Connected { phone: "15550001".into(), company: 7, session: "company_1".into() }]);
        assert_eq!(see(&mut told, &linked), vec![]);
    }

    #[test]
    fn h3_h4_codes_that_nobody_scanned_are_expired_and_other_ends_are_failures() {
        for (end, code) in [(Some("no_scan"), Code::QrExpired), (None, Code::ConnectionFailed)] {
            let mut told = Told::default();
            see(&mut told, &working("a"));
            let over = Row { reason: Some("why".into()), end: end.map(str::to_owned), reading: 2, ..row() };
            assert_eq!(see(&mut told, &over), vec![Say::error(code, "why")]);
            assert_eq!(see(&mut told, &over), vec![]);
        }
    }

    #[test]
    fn h3_a_request_whose_job_fails_before_the_page_looks_is_answered() {
        let mut told = Told::default();
        see(&mut told, &row());
        told.ask(5, false);
        let error = Some("no room".to_owned());
        let failed = Row { reading: 6, job_status: Some("failed".into()), job_error: error, ..row() };
        assert_eq!(see(&mut told, &failed), vec![Say::error(Code::ConnectionFailed, "no room")]);
    }

    #[test]
    fn h3_a_pairing_code_is_shown_once_and_its_loss_is_told() {
        let mut told = Told::default();
        see(&mut told, &working("a"));
        told.ask(2, true);
        assert!(told.waits_for_code(&working("a")));
        let asked = Row { link_phone: Some("15550001".into()), reading: 3, ..working("a") };
        assert_eq!(see(&mut told, &asked), vec![]);
        assert!(told.waits_for_code(&asked));
        let shown = Row { code: Some("ABCD-EFGH".into()), code_seconds: Some(180.0), ..asked.clone() };
        let said = Say::Code { code: "ABCD-EFGH".into(), phone: "15550001".into(), seconds: 180 };
        assert_eq!(see(&mut told, &shown), vec![said]);
        assert!(!told.waits_for_code(&shown));
        let lost = Row { reason: Some("why".into()), reading: 3, ..working("a") };
        assert_eq!(see(&mut told, &lost), vec![Say::no_code(NoCode::PairingCodeFailed, "why")]);
        assert_eq!(see(&mut told, &lost), vec![]);
        // A loss that comes before the page has looked.
        told.ask(3, true);
        let lost = Row { reading: 4, ..lost };
        assert_eq!(see(&mut told, &lost), vec![Say::no_code(NoCode::PairingCodeFailed, "why")]);
    }

    #[test]
    fn h3_the_end_of_a_connection_ends_the_wait_for_a_pairing_code() {
        let mut told = Told::default();
        see(&mut told, &Row { link_phone: Some("15550001".into()), ..working("a") });
        let over = Row { reason: Some("why".into()), reading: 2, ..row() };
        let said = vec![Say::no_code(NoCode::BaileysError, "why"), Say::error(Code::ConnectionFailed, "why")];
        assert_eq!(see(&mut told, &over), said);
    }

    #[test]
    fn h3_a_code_that_is_no_longer_valid_is_not_shown() {
        let old = working("a");
        assert_eq!(qr(&old, Duration::from_secs(40)), Some(Say::Qr { text: "a".into(), seconds: 20 }));
        assert_eq!(qr(&old, Duration::from_secs(50)), Some(Say::Qr { text: "a".into(), seconds: 10 }));
        assert_eq!(qr(&old, Duration::from_mins(1)), None);
        assert_eq!(qr(&row(), Duration::ZERO), None);
    }
}
