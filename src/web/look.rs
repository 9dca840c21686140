//! What a screen is given and what it gives back.

use super::error::WebError;
use super::identity::Identity;
use super::plot::Reader;
use super::request::Place;
use super::words::Words;
use crate::db::transaction::UnnamedTransaction;
use chrono_tz::Tz;
use futures::future::BoxFuture;
use maud::Markup;
use std::time::Duration;

/// A request for a screen, with a transaction under the rights of whoever asks.
pub(super) struct Look {
    pub(super) tx: UnnamedTransaction,
    pub(super) words: &'static Words,
    /// The reader's.
    pub(super) zone: Tz,
    pub(super) who: Identity,
    pub(super) place: Place,
}

impl Look {
    /// For plots.
    pub(super) fn reader(&self) -> Reader<'static> {
        let mut months = [""; 12];
        for (month, name) in months.iter_mut().zip(self.words.t("time.months").split(' ')) {
            *month = name;
        }
        Reader { zone: self.zone, months, time: self.words.t("time.time"), nothing: self.words.t("common.no_numbers") }
    }
}

/// A screen as it is now.
pub(super) struct Shown {
    pub(super) title: String,
    /// The main part.
    pub(super) body: Markup,
}

/// The tick of a screen whose rows change without a notification, such as those of a queue, and that costs little.
pub(super) const OFTEN: Duration = Duration::from_secs(1);
/// The tick of all others.
pub(super) const SELDOM: Duration = Duration::from_secs(5);

/// A screen.
pub(super) struct Screen {
    /// First part of the path, and the name of its words: `screens.fleet`.
    pub(super) name: &'static str,
    /// The letter that follows `g` on the keyboard.
    pub(super) key: char,
    /// Its symbol, of `assets/icons.svg`.
    pub(super) icon: &'static str,
    /// Where it stands in the navigation; a screen of one row, such as a session, stands nowhere.
    pub(super) group: Option<Group>,
    /// Which notifications change it.
    pub(super) topics: &'static [Topic],
    /// The longest time until it is rendered again, for what no notification announces: [`OFTEN`] or [`SELDOM`].
    pub(super) tick: Duration,
    /// Whether it is rendered again when something that the place shows has changed, and sent to the open pages.
    pub(super) is_live: fn(&Place) -> bool,
    pub(super) render: for<'a> fn(&'a mut Look) -> BoxFuture<'a, Result<Shown, WebError>>,
}

/// A part of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Sessions,
    Messages,
    Operation,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Sessions, Self::Messages, Self::Operation];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Messages => "messages",
            Self::Operation => "operation",
        }
    }
}

/// What notifications say has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// A session, its codes or its passkey.
    Session,
    /// The status of messages.
    Status,
    /// A received message.
    Inbound,
    /// An action that has ended.
    Job,
    /// An event.
    Event,
}

impl Topic {
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("wa_session", Self::Session),
        ("wa_status", Self::Status),
        ("wa_inbound", Self::Inbound),
        ("wa_job", Self::Job),
        ("wa_event", Self::Event),
    ];
}
