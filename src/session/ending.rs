//! What follows the end of a connection: one table, and no side effects. `docs/sessions.md` has the same table, and a
//! test compares the two.

use super::status::Status;
use std::time::Duration;
use wacore::net::DisconnectReason;

/// A rest that WhatsApp asks for without saying how long.
const LIMITED: Duration = Duration::from_mins(5);
/// A ban whose end WhatsApp does not tell.
const BAN: Duration = Duration::from_hours(1);

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The hold is lost. The next holder writes what follows.
    HoldLost,
    /// The connection was lost, or could not be made.
    Lost,
    /// WhatsApp did not answer the login or the health check.
    Unanswered,
    /// Messages could not be stored. The server delivers them again over the next connection.
    NotStored,
    /// The client cannot be built.
    NotBuilt,
    /// WhatsApp refused the login with a code that says nothing more.
    Refused,
    /// WhatsApp's servers are not available.
    Unavailable,
    /// WhatsApp no longer accepts this version of the client.
    Outdated,
    /// WhatsApp ended the stream with a code that says nothing more.
    StreamError,
    /// WhatsApp limits how much this device may do.
    RateLimited,
    /// Another connection of the same device replaced this one.
    Replaced,
    /// The server wants a new connection at once: after a scan, when the QR codes of this one are used up, or because it
    /// says so with a code. If that code comes again within a minute, the backoff applies (`sql/session/lost.sql`).
    Restart,
    /// Nobody used the pairing code in time. The next connection shows QR codes.
    CodeExpired,
    /// Nobody scanned a QR code.
    NoScan,
    /// WhatsApp has banned the account for this long.
    Banned(Duration),
    /// WhatsApp has locked the account.
    Locked,
    /// The phone or WhatsApp unlinked the device.
    LoggedOut,
    /// Too much could not be decrypted, and the session's setting says to link again.
    Undecipherable,
}

/// An end as the documentation, the events and the metrics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The end in the event `connection_ended`, and the label of `wagres_connections_ended_total`.
    pub name: &'static str,
    /// The usual text for `wa.session.status_reason`.
    pub reason: &'static str,
    /// What an operator should do.
    pub advice: &'static str,
}

/// Every end, except that of a lost hold, about which nothing is written.
pub const ENDS: &[Why] = &[
    Why::Lost,
    Why::Unanswered,
    Why::NotStored,
    Why::NotBuilt,
    Why::Refused,
    Why::Unavailable,
    Why::Outdated,
    Why::StreamError,
    Why::RateLimited,
    Why::Replaced,
    Why::Restart,
    Why::CodeExpired,
    Why::NoScan,
    Why::Banned(BAN),
    Why::Locked,
    Why::LoggedOut,
    Why::Undecipherable,
];

impl Why {
    /// The end after a refused login, by the code in `<failure reason=…>`.
    #[must_use]
    pub const fn of_refusal(code: i32) -> Self {
        match code {
            401 | 406 => Self::LoggedOut,
            402 => Self::Banned(BAN),
            403 => Self::Locked,
            405 | 409 => Self::Outdated,
            429 => Self::RateLimited,
            500 | 501 | 503 => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// The end after `<stream:error code=…>`.
    #[must_use]
    pub const fn of_stream_error(code: i32) -> Self {
        match code {
            401 | 516 => Self::LoggedOut,
            405 => Self::Outdated,
            409 | 440 => Self::Replaced,
            429 => Self::RateLimited,
            500 | 503 => Self::Unavailable,
            515 => Self::Restart,
            _ => Self::StreamError,
        }
    }

    /// The end as others see it.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        let (name, reason, advice) = match self {
            Self::HoldLost => ("hold_lost", "another worker holds the session", "none"),
            Self::Lost => (
                "lost",
                "the connection could not be made or was closed",
                "none; if it happens often, check the network between the worker and WhatsApp, or the session's proxy",
            ),
            Self::Unanswered => (
                "unanswered",
                "WhatsApp did not answer",
                "none; if it happens often, check the network between the worker and WhatsApp, or the session's proxy",
            ),
            Self::NotStored => (
                "not_stored",
                "messages could not be stored; the server delivers them again",
                "look for locks on wa.inbox and wa.session that are held for long, and for errors in the logs of the worker and of Postgres",
            ),
            Self::NotBuilt => (
                "not_built",
                "the client cannot be built",
                "the reason names the stored credentials, the encryption key or the proxy that cannot be used",
            ),
            Self::Refused => (
                "refused",
                "WhatsApp refused the login",
                "wait; if the refusals go on, update wagres, then link the session again",
            ),
            Self::Unavailable => ("unavailable", "WhatsApp's servers are not available", "none; wait"),
            Self::Outdated => (
                "outdated",
                "WhatsApp no longer accepts this version of the client",
                "update wagres and restart the workers",
            ),
            Self::StreamError => (
                "stream_error",
                "WhatsApp ended the stream with an error",
                "none; if it happens at the same message again and again, look at that message",
            ),
            Self::RateLimited => (
                "rate_limited",
                "WhatsApp limits how much this device may do",
                "send less: wa.set_pacing; do not connect by hand",
            ),
            Self::Replaced => (
                "replaced",
                "another connection of this device replaced ours",
                "stop the other program that uses the same credentials",
            ),
            Self::Restart => ("restart", "WhatsApp wants a new connection", "none"),
            Self::CodeExpired => (
                "code_expired",
                "the pairing code was not used in time; scan the QR code",
                "scan the QR code, or call wa.link for another code",
            ),
            Self::NoScan => {
                ("no_scan", "no QR code was scanned in time", "call wa.link when somebody is there to scan")
            }
            Self::Banned(_) => (
                "banned",
                "WhatsApp has banned the account for a time",
                "wait until rest_until; then send less, and to people who know the number: wa.set_pacing",
            ),
            Self::Locked => (
                "locked",
                "WhatsApp has locked the account",
                "appeal in the phone's app; once the account is unlocked, call wa.restore_auth and wa.connect, or link again",
            ),
            Self::LoggedOut => (
                "logged_out",
                "the phone or WhatsApp unlinked the device",
                "link the session again: wa.link; if WhatsApp did it by mistake, call wa.restore_auth and wa.connect",
            ),
            Self::Undecipherable => {
                ("undecipherable", "too much could not be decrypted", "link the session again: wa.link")
            }
        };
        Shown { name, reason, advice }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What ended it.
    pub why: Why,
    /// The code that WhatsApp gave.
    pub code: Option<i32>,
    /// The text for `wa.session.status_reason`; `None` for the usual one.
    pub reason: Option<String>,
    /// The session has credentials.
    pub linked: bool,
    /// WhatsApp has answered: the network is there.
    pub answered: bool,
    /// The connection had logged in.
    pub connected: bool,
}

/// When to make the next connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After the session's backoff.
    Backoff,
    /// After this time.
    Time(Duration),
}

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Write nothing.
    Nothing,
    /// Write the status, and a `reconnect` row (a `link` row if the session is not linked) that is due after some time.
    Connect(Status, After),
    /// The same with a `link` row, and the session no longer asks for a pairing code.
    LinkByQr,
    /// Release the lease; nobody connects the session until asked.
    Release(Status),
    /// The same, and move the auth state to the quarantine: WhatsApp may accept the device again.
    Quarantine,
}

impl Ended {
    /// The end of a connection about which nothing more is known.
    #[must_use]
    pub const fn lost(linked: bool) -> Self {
        Self { why: Why::Lost, code: None, reason: None, linked, answered: false, connected: false }
    }

    /// The connection is lost, for this reason; the text of the library comes last, in parentheses.
    pub fn lose(&mut self, reason: &DisconnectReason) {
        self.reason = Some(match reason {
            DisconnectReason::ServerClose { code, reason } => {
                let code = code.map(|code| format!("close code {code}"));
                let said = [code.as_deref().unwrap_or_default(), reason].into_iter().filter(|part| !part.is_empty());
                match said.collect::<Vec<_>>().join(": ") {
                    said if said.is_empty() => "WhatsApp closed the connection".into(),
                    said => format!("WhatsApp closed the connection ({said})"),
                }
            }
            DisconnectReason::StreamEnded => "WhatsApp or the network closed the connection".into(),
            DisconnectReason::ReadError(error) => format!("the network broke the connection ({error})"),
            DisconnectReason::Unknown => "the connection was closed".into(),
        });
    }

    /// Looks up what follows.
    #[must_use]
    pub const fn next(&self) -> Next {
        match (&self.why, self.linked) {
            (Why::HoldLost, _) => Next::Nothing,
            (
                Why::Lost
                | Why::Unanswered
                | Why::NotStored
                | Why::NotBuilt
                | Why::Refused
                | Why::Unavailable
                | Why::Outdated
                | Why::StreamError
                | Why::Replaced,
                _,
            ) => Next::Connect(Status::Disconnected, After::Backoff),
            (Why::RateLimited, _) => Next::Connect(Status::Disconnected, After::Time(LIMITED)),
            (Why::Restart, true) if self.code.is_none() => {
                Next::Connect(Status::Connecting, After::Time(Duration::ZERO))
            }
            (Why::Restart, _) => Next::Connect(Status::Disconnected, After::Time(Duration::ZERO)),
            (Why::CodeExpired, _) => Next::LinkByQr,
            (Why::NoScan, _) => Next::Release(Status::New),
            (Why::Banned(time), _) => Next::Connect(Status::Banned, After::Time(*time)),
            (Why::Locked | Why::LoggedOut | Why::Undecipherable, _) => Next::Quarantine,
        }
    }

    /// Whether WhatsApp refused the session's credentials because the device is unlinked. Whoever asked for a link then
    /// needs another one.
    #[must_use]
    pub fn refuses_the_link(&self) -> bool {
        self.why == Why::LoggedOut && self.linked && !self.connected
    }

    /// Whether nothing shows that WhatsApp was reached, so that the network alone may be at fault.
    #[must_use]
    pub const fn by_network_alone(&self) -> bool {
        matches!(self.why, Why::Lost | Why::Unanswered) && !self.answered && !self.connected
    }

    /// The reason, or the usual one for this end, with the code that WhatsApp gave.
    #[must_use]
    pub fn reason(&self) -> String {
        let after_link = self.why == Why::Restart && self.linked && self.code.is_none();
        let usual = if after_link { "restart after linking" } else { self.why.shown().reason };
        let reason = self.reason.as_deref().unwrap_or(usual);
        self.code.map_or_else(|| reason.to_owned(), |code| format!("{reason} (code {code})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ended(why: Why, linked: bool, connected: bool) -> Ended {
        Ended { why, connected, ..Ended::lost(linked) }
    }

    #[test]
    fn s5_each_end_has_one_thing_that_follows() {
        let at_once = After::Time(Duration::ZERO);
        let again = Next::Connect(Status::Disconnected, After::Backoff);
        for why in ENDS.iter().chain([&Why::HoldLost]) {
            let (linked, unlinked) = match why {
                Why::HoldLost => (Next::Nothing, Next::Nothing),
                Why::Lost
                | Why::Unanswered
                | Why::NotStored
                | Why::NotBuilt
                | Why::Refused
                | Why::Unavailable
                | Why::Outdated
                | Why::StreamError
                | Why::Replaced => (again, again),
                Why::RateLimited => {
                    let rested = Next::Connect(Status::Disconnected, After::Time(LIMITED));
                    (rested, rested)
                }
                Why::Restart => {
                    (Next::Connect(Status::Connecting, at_once), Next::Connect(Status::Disconnected, at_once))
                }
                Why::CodeExpired => (Next::LinkByQr, Next::LinkByQr),
                Why::NoScan => (Next::Release(Status::New), Next::Release(Status::New)),
                Why::Banned(time) => {
                    let banned = Next::Connect(Status::Banned, After::Time(*time));
                    (banned, banned)
                }
                Why::Locked | Why::LoggedOut | Why::Undecipherable => (Next::Quarantine, Next::Quarantine),
            };
            for (is_linked, next) in [(true, linked), (false, unlinked)] {
                for connected in [true, false] {
                    assert_eq!(ended(why.clone(), is_linked, connected).next(), next, "{why:?}");
                }
            }
        }
    }

    /// Such a session was connected, or its next connection may wait for a backoff; so it is not connecting.
    #[test]
    fn s5_a_restart_that_a_code_asks_for_is_made_at_once_by_a_disconnected_session() {
        let asked_for = Ended { code: Some(515), ..ended(Why::of_stream_error(515), true, true) };
        assert_eq!(asked_for.next(), Next::Connect(Status::Disconnected, After::Time(Duration::ZERO)));
        assert_eq!(asked_for.reason(), "WhatsApp wants a new connection (code 515)");
    }

    #[test]
    fn s2_only_refused_credentials_call_for_another_link() {
        assert!(ended(Why::LoggedOut, true, false).refuses_the_link());
        // Without credentials a link would be followed by the same refusal, again and again.
        for other in
            [ended(Why::LoggedOut, false, false), ended(Why::LoggedOut, true, true), ended(Why::Locked, true, false)]
        {
            assert!(!other.refuses_the_link(), "{other:?}");
        }
    }

    #[test]
    fn s5_each_end_has_its_own_name_reason_and_advice() {
        let shown: Vec<Shown> = ENDS.iter().map(Why::shown).collect();
        let names: BTreeSet<&str> = shown.iter().map(|it| it.name).collect();
        let reasons: BTreeSet<&str> = shown.iter().map(|it| it.reason).collect();
        assert_eq!((names.len(), reasons.len()), (ENDS.len(), ENDS.len()));
        assert!(shown.iter().all(|it| !it.advice.is_empty()));
    }

    #[test]
    fn s5_a_logout_and_a_ban_are_never_followed_by_a_connection_at_once() {
        assert_eq!(ended(Why::LoggedOut, true, true).next(), Next::Quarantine);
        assert_eq!(ended(Why::Locked, true, false).next(), Next::Quarantine);
        let Next::Connect(Status::Banned, After::Time(wait)) = ended(Why::Banned(BAN), true, true).next() else {
            panic!("a ban ends with its time");
        };
        assert_eq!(wait, BAN);
    }

    #[test]
    fn s5_the_reason_has_the_code_that_whatsapp_gave() {
        let outdated = Ended { code: Some(405), ..ended(Why::of_refusal(405), true, false) };
        assert_eq!(outdated.reason(), "WhatsApp no longer accepts this version of the client (code 405)");
        let overloaded = Ended { code: Some(503), ..ended(Why::of_stream_error(503), true, true) };
        assert_eq!(overloaded.reason(), "WhatsApp's servers are not available (code 503)");
        assert_eq!(ended(Why::Restart, true, false).reason(), "restart after linking");
    }

    #[test]
    fn s5_the_reason_of_a_lost_connection_is_in_words() {
        for (reason, shown) in [
            (DisconnectReason::StreamEnded, "WhatsApp or the network closed the connection"),
            (
                DisconnectReason::ReadError("Connection reset by peer".into()),
                "the network broke the connection (Connection reset by peer)",
            ),
            (
                DisconnectReason::ServerClose { code: Some(1001), reason: "bye".into() },
                "WhatsApp closed the connection (close code 1001: bye)",
            ),
            (
                DisconnectReason::ServerClose { code: Some(1000), reason: String::new() },
                "WhatsApp closed the connection (close code 1000)",
            ),
            (DisconnectReason::ServerClose { code: None, reason: String::new() }, "WhatsApp closed the connection"),
            (DisconnectReason::Unknown, "the connection was closed"),
        ] {
            let mut ended = Ended::lost(true);
            ended.lose(&reason);
            assert_eq!((ended.reason(), &ended.why), (shown.to_owned(), &Why::Lost));
        }
    }

    #[test]
    fn s4_only_an_unanswered_connection_is_the_networks_fault() {
        assert!(ended(Why::Lost, true, false).by_network_alone());
        assert!(ended(Why::Unanswered, true, false).by_network_alone());
        assert!(!ended(Why::Lost, true, true).by_network_alone());
        assert!(!ended(Why::Outdated, true, false).by_network_alone());
        assert!(!Ended { answered: true, ..ended(Why::Lost, true, false) }.by_network_alone());
    }
}
