//! One page: what it asks for, and what it is told.

use super::board::{AWAY, Board, Row, Seen};
use super::events::{Ask, Code, NoCode, SHOWN, Say};
use super::told::{self, Phase, Told};
use crate::db::outage::Failure;
use crate::web::Web;
use crate::web::marketplace::Company;
use crate::web::shares::Shares;
use socketioxide::extract::SocketRef;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a page waits for its first code before it is told that there is none.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a page is served later.
const AWAY_WORDS: &str = "the database does not answer";
const BUSY_WORDS: &str = "other changes of this company take long";

/// SQLSTATEs with an answer of their own: no number, too many links or codes, no such company.
const NO_NUMBER: &str = "WA002";
const TOO_MANY: &str = "WA028";
const NO_COMPANY: &str = "WA060";

/// One page of a company.
pub(super) struct Talk {
    pub(super) web: Web,
    pub(super) board: Board,
    pub(super) socket: SocketRef,
    pub(super) company: Company,
    /// Whether QR codes are sent as pictures.
    pub(super) drawn: bool,
    /// The number for which a page that asks for a QR code gets a pairing code, too.
    pub(super) phone: Option<String>,
    pub(super) asks: mpsc::Receiver<Ask>,
    /// The page has gone.
    pub(super) gone: CancellationToken,
}

/// What a page waits for.
#[derive(Default)]
struct Waits {
    /// The QR code that it shows is to be sent again, because it is valid for longer than the page was told.
    repeat: Option<Instant>,
    /// What could not be done is to be tried again.
    retry: Option<(Instant, Ask)>,
    /// It has no code yet.
    late: Option<Instant>,
    /// It has been told that the database does not answer.
    is_away: bool,
}

/// What ends a talk before the page goes.
struct Over;

impl Talk {
    /// Talks until the page goes.
    pub(super) async fn run(mut self) {
        let gone = self.gone.clone();
        if let Some(Err(Over)) = gone.run_until_cancelled(self.talk()).await {
            let _ = self.socket.disconnect();
        }
    }

    async fn talk(&mut self) -> Result<(), Over> {
        let mut seen = self.board.watch(self.company);
        // What is known already counts as new.
        seen.mark_changed();
        let (mut told, mut waits) = (Told::default(), Waits::default());
        // Linking begins when a page connects, as soon as it is known that nobody is linking.
        let mut is_first = true;
        loop {
            tokio::select! {
                changed = seen.changed() => {
                    changed.map_err(|_| Over)?;
                }
                () = at(waits.repeat) => {
                    self.show_qr(&seen, &mut waits);
                    continue;
                }
                () = at(waits.late) => {
                    waits.late = None;
                    self.say(Say::error(Code::ConnectionFailed, "WhatsApp has given no code yet; this goes on"), &mut waits);
                    continue;
                }
                () = at(waits.retry.as_ref().map(|(at, _)| *at)) => {
                    if let Some((_, ask)) = waits.retry.take() {
                        self.ask(ask, &seen, &mut told, &mut waits).await?;
                    }
                    continue;
                }
                // Until the company is known, and until what could not be done is done, requests wait in their order.
                asked = self.asks.recv(), if waits.retry.is_none() && is_known(&seen) => {
                    self.ask(asked.ok_or(Over)?, &seen, &mut told, &mut waits).await?;
                    continue;
                }
            }
            let now = seen.borrow_and_update().clone();
            match now {
                Seen::Nothing => {}
                Seen::Missing => return self.refuse(Code::CompanyNotFound, "there is no such company"),
                Seen::Away => self.away(AWAY_WORDS, &mut waits),
                Seen::Row(row, at) => {
                    waits.is_away = false;
                    for say in told.see(&row, at.elapsed()) {
                        self.say(say, &mut waits);
                    }
                    waits.late = match (Phase::of(&row), &row.qr, &row.code) {
                        (Phase::Working, None, None) => waits.late.or(Some(Instant::now() + PATIENCE)),
                        _ => None,
                    };
                    if std::mem::take(&mut is_first) && Phase::of(&row) == Phase::Over {
                        self.ask(Ask::Qr, &seen, &mut told, &mut waits).await?;
                    }
                }
            }
        }
    }

    /// Sends the QR code again.
    fn show_qr(&self, seen: &watch::Receiver<Seen>, waits: &mut Waits) {
        waits.repeat = None;
        let now = seen.borrow().clone();
        if let Seen::Row(row, read) = now
            && let Some(say) = told::qr(&row, read.elapsed())
        {
            self.say(say, waits);
        }
    }

    /// Answers a request of the page.
    async fn ask(
        &self,
        ask: Ask,
        seen: &watch::Receiver<Seen>,
        told: &mut Told,
        waits: &mut Waits,
    ) -> Result<(), Over> {
        let now = seen.borrow().clone();
        let (row, read) = match now {
            Seen::Row(row, read) => (row, read),
            Seen::Away => {
                self.later(ask, AWAY_WORDS, waits);
                return Ok(());
            }
            Seen::Nothing | Seen::Missing => return Ok(()),
        };
        let known = match &ask {
            // The page has asked, and the row does not show it yet.
            Ask::Qr if told.is_ahead_of(&row) => Some(vec![]),
            Ask::Qr => known_qr(&row, read),
            Ask::Code(phone) => known_code(phone.as_deref(), &row, read, told).map(|say| vec![say]),
        };
        if let Some(says) = known {
            for say in says {
                self.say(say, waits);
            }
            return Ok(());
        }
        let phone = match &ask {
            Ask::Qr => self.phone.clone(),
            Ask::Code(phone) => phone.clone(),
        };
        let mut linked = self.link(&row, phone.as_deref()).await;
        if matches!(&linked, Err(Some(error)) if Failure::of(error) == Failure::Refusal)
            && ask == Ask::Qr
            && phone.is_some()
        {
            // No pairing code is no reason for no QR code.
            linked = self.link(&row, None).await;
        }
        match linked {
            Ok(reading) => {
                told.ask(reading, matches!(ask, Ask::Code(_)));
                waits.late = Some(Instant::now() + PATIENCE);
                Ok(())
            }
            Err(error) if error.as_ref().is_none_or(|error| Failure::of(error) != Failure::Refusal) => {
                tracing::warn!(?error, "linking from a page of the marketplace not begun; retrying");
                self.later(ask, if error.is_none() { BUSY_WORDS } else { AWAY_WORDS }, waits);
                Ok(())
            }
            Err(error) => self.failed(&ask, error.as_ref(), waits),
        }
    }

    /// Begins to link, after others of the company. Without an error the database was not asked, because they took too long.
    async fn link(&self, row: &Row, phone: Option<&str>) -> Result<u64, Option<sqlx::Error>> {
        let linkings: &Shares<String> = &self.web.linkings;
        let Some(_share) = linkings.wait(row.session.clone()).await else { return Err(None) };
        self.board.link(self.company, phone).await.map_err(Some)
    }

    /// Tells why the database refused a request.
    fn failed(&self, ask: &Ask, error: Option<&sqlx::Error>, waits: &mut Waits) -> Result<(), Over> {
        let error = error.and_then(sqlx::Error::as_database_error);
        let code = error.and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
        // Messages of the schema are made for whoever calls it.
        let message = error.filter(|_| code.starts_with("WA")).map(|error| error.message().to_owned());
        let message = message.unwrap_or_else(|| {
            tracing::error!(%code, "linking from a page of the marketplace failed");
            "the linking could not begin".to_owned()
        });
        let say = match (&*code, ask) {
            (NO_COMPANY, _) => return self.refuse(Code::CompanyNotFound, "there is no such company"),
            (NO_NUMBER, Ask::Code(_)) => Say::no_code(NoCode::InvalidPhoneFormat, message),
            (_, Ask::Code(_)) => Say::no_code(NoCode::PairingCodeFailed, message),
            (TOO_MANY, Ask::Qr) => Say::error(Code::RateLimit, message),
            (_, Ask::Qr) => Say::error(Code::ConnectionFailed, message),
        };
        self.say(say, waits);
        Ok(())
    }

    fn refuse(&self, code: Code, message: &str) -> Result<(), Over> {
        say_to(&self.socket, Say::error(code, message), self.drawn);
        Err(Over)
    }

    /// The database does not answer, or not in time; said once for each time.
    fn away(&self, words: &str, waits: &mut Waits) {
        if !std::mem::replace(&mut waits.is_away, true) {
            let again = format!("{words}; this is tried again after {} s", AWAY.as_secs());
            say_to(&self.socket, Say::error(Code::DbError, again), self.drawn);
        }
    }

    fn later(&self, ask: Ask, words: &str, waits: &mut Waits) {
        waits.retry = Some((Instant::now() + AWAY, ask));
        self.away(words, waits);
    }

    fn say(&self, say: Say, waits: &mut Waits) {
        if let Say::Qr { text, .. } = &say {
            if let Some(marketplace) = &self.web.marketplace {
                marketplace.codes.shown(self.company.id, text);
            }
            waits.repeat = Some(Instant::now() + Duration::from_secs(SHOWN));
        }
        say_to(&self.socket, say, self.drawn);
    }
}

/// The answer to a request for a QR code from the row; `None` if linking has to begin.
fn known_qr(row: &Row, read: Instant) -> Option<Vec<Say>> {
    match Phase::of(row) {
        Phase::Connected => Some(vec![told::connected(row)]),
        // Without a code yet: it comes.
        Phase::Working => Some(told::qr(row, read.elapsed()).into_iter().collect()),
        Phase::Over => None,
    }
}

/// The answer to a request for a pairing code without asking WhatsApp, if that is possible.
fn known_code(phone: Option<&str>, row: &Row, read: Instant, told: &Told) -> Option<Say> {
    let Some(phone) = phone else {
        return Some(Say::no_code(NoCode::PhoneRequired, "phoneNumber is missing"));
    };
    if Phase::of(row) == Phase::Connected {
        return Some(told::connected(row));
    }
    if told.waits_for_code(row) {
        return Some(Say::no_code(NoCode::RequestInProgress, "a pairing code is on its way"));
    }
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    if row.link_phone.as_ref() == Some(&digits) { told::code(row, read.elapsed()) } else { None }
}

/// Sends an event. A page that has gone, or does not read, misses it, and gets the current one when it connects again.
pub(super) fn say_to(socket: &SocketRef, say: Say, drawn: bool) {
    let (name, payload) = say.parts(drawn);
    if let Err(error) = socket.emit(name, &payload) {
        tracing::debug!(%error, name, "event for a page not sent");
    }
}

fn is_known(seen: &watch::Receiver<Seen>) -> bool {
    !matches!(*seen.borrow(), Seen::Nothing)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
