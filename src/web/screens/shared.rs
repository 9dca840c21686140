//! What several screens show: acts on sessions and messages, what messages wait for, and the queue of a session in numbers.

use crate::web::acts::{self, Act};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::Look;
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(super) static PAUSE: Act = Act {
    name: "pause",
    scope: Scope::Operator,
    function: "wa.pause",
    sql: "SELECT wa.pause($1, $2)::text",
    arguments: &["session", "reason"],
};
pub(super) static RESUME: Act = Act {
    name: "resume",
    scope: Scope::Operator,
    function: "wa.resume",
    sql: "SELECT wa.resume($1)::text",
    arguments: &["session"],
};
pub(super) static CONNECT: Act = Act {
    name: "connect",
    scope: Scope::Operator,
    function: "wa.connect",
    sql: "SELECT wa.connect($1)::text",
    arguments: &["session"],
};
pub(super) static CLOSE: Act = Act {
    name: "close",
    scope: Scope::Operator,
    function: "wa.close",
    sql: "SELECT wa.close($1, $2)::text",
    arguments: &["session", "reason"],
};
pub(super) static RETRY: Act = Act {
    name: "retry_message",
    scope: Scope::Operator,
    function: "wa.retry",
    sql: "SELECT wa.retry($1::bigint)::text",
    arguments: &["id"],
};
pub(super) static CANCEL: Act = Act {
    name: "cancel_message",
    scope: Scope::Operator,
    function: "wa.cancel",
    sql: "SELECT wa.cancel($1::bigint)::text",
    arguments: &["id"],
};
pub(super) static SEND: Act = Act {
    name: "send_text",
    scope: Scope::Operator,
    function: "wa.send_text",
    sql: "SELECT wa.send_text($1, $2, $3)::text",
    arguments: &["session", "recipient", "body"],
};
pub(super) static RESUME_CAMPAIGN: Act = Act {
    name: "resume_campaign",
    scope: Scope::Operator,
    function: "wa.resume_campaign",
    sql: "SELECT wa.resume_campaign($1, $2)::text",
    arguments: &["session", "campaign"],
};

pub(super) const ACTS: &[&Act] = &[&PAUSE, &RESUME, &CONNECT, &CLOSE, &RETRY, &CANCEL, &SEND, &RESUME_CAMPAIGN];

/// Messages of one session that are counted.
const COUNTED_OF_ONE: i64 = 10_000;

/// A count that ended at `most`: `10 000+`.
pub(super) fn bounded(count: i64, most: i64) -> String {
    if count > most { format!("{}+", format::number(most)) } else { format::number(count) }
}

/// A link to the page of a session.
pub(super) fn session_link(name: &str) -> Markup {
    html! { a href=(Place::of("session", name).href()) { (name) } }
}

/// Pause or resume as a button of one click.
pub(super) fn pause_or_resume(look: &Look, name: &str, is_paused: bool) -> Markup {
    if is_paused {
        acts::quick(look, &RESUME, look.words.t("session.resume"), &[("session", name)])
    } else {
        acts::quick(look, &PAUSE, look.words.t("session.pause"), &[("session", name)])
    }
}

/// A button for each paused campaign among the reasons of a session.
pub(super) fn lift_pauses(look: &Look, name: &str, reasons: Option<&serde_json::Value>) -> Markup {
    html! {
        @for campaign in reason::paused_campaigns(reasons) {
            @let label = format!("{}: {campaign}", look.words.t("queue.lift"));
            " " (acts::quick(look, &RESUME_CAMPAIGN, &label, &[("session", name), ("campaign", campaign)]))
        }
    }
}

/// A link to the page behind these rows, which begins after the last of them; none when they do not fill a page of `most`.
/// `key` is the choice of the place that holds where a page begins.
pub(super) fn next_page<Row>(look: &Look, key: &str, rows: &[Row], most: i64, end: impl Fn(&Row) -> String) -> Markup {
    let last = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(most));
    html! {
        @if let Some(last) = last {
            nav.pages aria-label=(look.words.t("common.pages")) {
                a rel="next" href=(look.place.with(key, Some(&end(last)))) { (look.words.t("common.next")) }
            }
        }
    }
}

/// Errors of decryption against their limit.
pub(super) fn of_limit(errors: i32, limit: i32) -> Markup {
    let tone = if errors >= limit {
        "bad"
    } else if errors > 0 {
        "warn"
    } else {
        "good"
    };
    format::pill(tone, &format!("{errors} / {limit}"))
}

/// What a message waits for by itself, and until when; in a session that [is held](crate::web::reason::holds) for that.
pub(super) fn waits(words: &Words, waits_for: Option<&str>, run_at: Option<DateTime<Utc>>, is_held: bool) -> Markup {
    html! {
        @match waits_for {
            None if is_held => (format::pill("warn", words.of_value("queue_wait", "session"))),
            None => (format::pill("busy", words.of_value("queue_wait", "ready"))),
            Some("paused") => (format::pill("warn", words.of_value("queue_wait", "paused"))),
            Some(reason) => {
                (format::pill("warn", words.of_value("queue_wait", reason)))
                @if let Some(run_at) = run_at { " " (format::until(run_at)) }
            }
        }
    }
}

/// How many messages of a session wait for what. When the session [is held](crate::web::reason::holds), those that could go wait for it.
pub(super) async fn counts(look: &mut Look, session_id: i64, name: &str, is_held: bool) -> Result<Markup, WebError> {
    let counts =
        sqlx::query_file!("sql/web/queue_counts.sql", session_id, COUNTED_OF_ONE + 1).fetch_all(&mut look.tx).await?;
    let words = look.words;
    Ok(html! {
        section.panel {
            header { h2 { (words.t("queue.waits")) }
                @if look.place.screen != "queue" { a href=(Place::of("queue", name).href()) { (words.t("queue.show")) } } }
            dl.facts {
                @for count in &counts {
                    dt { (words.of_value("queue_wait", if is_held && count.reason == "ready" { "session" } else { &count.reason })) } dd { (bounded(count.messages, COUNTED_OF_ONE)) }
                }
            }
        }
    })
}
