//! The time that a screen looks back on, as the reader has chosen it.

use crate::web::request::Place;
use crate::web::words::Words;
use maud::{Markup, html};

/// A time to look back on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// In the query, and of its word: `day`.
    pub(super) name: &'static str,
    /// How long, for SQL.
    pub(super) since: &'static str,
    /// The step of plots, for SQL.
    pub(super) step: &'static str,
}

const ALL: [Span; 3] = [
    Span { name: "day", since: "23 hours", step: "1 hour" },
    Span { name: "week", since: "162 hours", step: "6 hours" },
    Span { name: "month", since: "29 days", step: "1 day" },
];

impl Span {
    /// The choice of a place; a day without one.
    pub(super) fn of(place: &Place) -> Self {
        ALL.into_iter().find(|span| place.get("time") == Some(span.name)).unwrap_or(ALL[0])
    }

    /// What else could be chosen.
    pub(super) fn chips(self, words: &Words, place: &Place) -> Markup {
        html! {
            nav.chips aria-label=(words.t("span.time")) {
                @for span in ALL {
                    a href=(place.with("time", (span != ALL[0]).then_some(span.name))) aria-current=[(span == self).then_some("true")] {
                        (words.of_value("span", span.name))
                    }
                }
            }
        }
    }
}

/// What the screen is limited to, each with a link that drops it.
pub(super) fn limits(place: &Place, names: &[(&'static str, &str)]) -> Markup {
    html! {
        @for (name, word) in names {
            @if let Some(value) = place.get(name) {
                " " a.tag href=(place.with(name, None)) { (word) ": " (value) " ×" }
            }
        }
    }
}
