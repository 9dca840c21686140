//! What follows the end of a client:
//!
//! | end | status | next |
//! | --- | --- | --- |
//! | asked for (close, logout, stop) | written by whoever asked | |
//! | 515 after a scan | connecting | a `reconnect` row, due at once |
//! | connection lost, refused, replaced | disconnected | a `reconnect` row after a backoff (a `link` row while unlinked) |
//! | temporary ban | banned | a `reconnect` row after the time that the server named |
//! | too much could not be decrypted, and the session asks for it | `logged_out` | auth state into the quarantine, lease given back, wish "stopped" |
//! | logged out by the phone or the server | `logged_out` | auth state deleted, lease given back, wish "stopped" |
//! | the QR codes are used up, a passkey is being shown | disconnected | a `link` row, due at once |
//! | the pairing code was not used in time | disconnected | a `link` row, due at once, for QR codes alone |
//! | no QR was scanned | new | lease given back, wish "stopped" |
//! | hold lost | another's to write | socket cut, nothing written |

use super::holder::{Held, Identity, Sessions, Shared, Wish};
use super::row;
use super::status::Status;
use crate::telemetry;
use std::time::Duration;

/// How the next connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// After a backoff.
    Later,
    /// At once: the server wants the socket closed and opened again, as after a scan, or there are no more QR codes.
    AtOnce,
    /// At once, and without a pairing code.
    ByQr,
}

/// How a client's life ended.
#[derive(Debug)]
pub(super) enum End {
    Lost,
    LoggedOut(String),
    Banned(Duration),
    NoScan,
    /// So much could not be decrypted that the session is to be linked anew.
    Undecipherable(String),
}

impl End {
    /// What the metrics call it.
    const fn name(&self, next: Next) -> &'static str {
        match self {
            Self::Lost if matches!(next, Next::Later) => "lost",
            Self::Lost => "restart",
            Self::LoggedOut(_) => "logged_out",
            Self::Banned(_) => "banned",
            Self::NoScan => "no_scan",
            Self::Undecipherable(_) => "undecipherable",
        }
    }
}

/// What is known of a client's end while it lives.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) end: End,
    /// How the next connection is made, if the connection was lost.
    pub(super) next: Next,
    pub(super) reason: Option<String>,
    pub(super) linked: bool,
    connected: bool,
}

impl Ending {
    /// Of a client that has begun with credentials or without.
    pub(super) const fn of(linked: bool) -> Self {
        Self { end: End::Lost, next: Next::Later, reason: None, linked, connected: false }
    }

    /// It has logged in.
    pub(super) fn connected(&mut self) {
        (self.connected, self.linked, self.next, self.reason) = (true, true, Next::Later, None);
    }

    /// What comes after an end that nobody asked for.
    pub(super) async fn follow(self, sessions: &Sessions, shared: &Shared, held: &Held) {
        let Self { end, next, reason, linked, connected } = self;
        let name = &held.name;
        telemetry::ended(end.name(next), linked && !connected);
        let reason = reason.unwrap_or_else(|| "the connection could not be made or was closed".into());
        let again = |status, reason, after| row::lost(shared, held, status, reason, linked, after);
        let done = match end {
            End::LoggedOut(reason) => {
                tracing::warn!(session = name, reason, "logged out");
                sessions.forget(held, &reason).await
            }
            End::Undecipherable(reason) => {
                tracing::error!(session = name, reason, "given up; it has to be linked anew");
                sessions.give_up(held, &reason).await
            }
            End::NoScan => {
                sessions.leave(held, Status::New, "no QR code was scanned in time", Wish::Stopped, Identity::Kept).await
            }
            End::Banned(wait) => return again(Status::Banned, &reason, Some(wait)).await,
            End::Lost if next == Next::Later => {
                tracing::info!(session = name, reason, "connection lost");
                return again(Status::Disconnected, &reason, None).await;
            }
            End::Lost if linked => {
                return again(Status::Connecting, "restart after linking", Some(Duration::ZERO)).await;
            }
            End::Lost => {
                if next == Next::ByQr {
                    row::show_code(&shared.pool, held, None, Some(&reason)).await;
                }
                return again(Status::Disconnected, &reason, Some(Duration::ZERO)).await;
            }
        };
        if let Err(error) = done {
            tracing::warn!(session = name, %error, "the end of a session is not written; it falls free with the worker");
        }
    }
}
