//! One message: what it is, how far it has come, and what it waits for.

use super::shared;
use crate::web::acts::{self, Act, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Look, OFTEN, Screen, Shown, Topic};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::Value;

pub(super) const SCREEN: Screen = Screen {
    name: "message",
    key: 'm',
    icon: "send",
    group: None,
    topics: &[Topic::Session, Topic::Status],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

/// Only for showing the call.
static WHY: Act = Act {
    name: "why_message",
    scope: Scope::Viewer,
    function: "wa.why",
    sql: "SELECT wa.why($1::bigint)",
    arguments: &["id"],
};

/// Participants on a page.
const RECEIPTS: i64 = 100;

/// What the page reads of a message.
struct Message {
    id: i64,
    session: String,
    recipient: String,
    chat: String,
    kind: String,
    body: Option<String>,
    content: Option<Value>,
    whatsapp_id: String,
    dedupe_key: Option<String>,
    campaign: Option<String>,
    created_at: DateTime<Utc>,
    send_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    run_at: Option<DateTime<Utc>>,
    max_attempts: i32,
    attempts: i32,
    status: String,
    waits_for: Option<String>,
    priority: i16,
    live: bool,
    sending_at: Option<DateTime<Utc>>,
    sent_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
    played_at: Option<DateTime<Utc>>,
    failed_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    expired_at: Option<DateTime<Utc>>,
    errors: Value,
    why: Option<serde_json::Value>,
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let id: i64 = look.place.item.as_deref().and_then(|id| id.parse().ok()).ok_or(WebError::NotFound)?;
    let message = sqlx::query_file_as!(Message, "sql/web/message.sql", id);
    let message = message.fetch_optional(&mut look.tx).await?.ok_or(WebError::NotFound)?;
    let receipts = sqlx::query_file!("sql/web/message_receipts.sql", id, RECEIPTS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let title = words.with("message.title", id);
    let body = html! {
        (head(look, &message, &title))
        p class={ "flash " (tone(&message)) } {
            span { (reason::show(look.words, look.zone, message.why.as_ref().unwrap_or_default())) }
            " " code.sql { (WHY.call(&[Some(&id.to_string())])) }
        }
        div.columns {
            (content(words, &message))
            (progress(words, &message))
        }
        (attempts(look, &message))
        @if !receipts.is_empty() {
            section.panel {
                header { h2 { (words.t("message.receipts")) } }
                div.table { table {
                    caption.hidden { (words.t("message.receipts")) }
                    thead { tr {
                        th scope="col" { (words.t("message.participant")) }
                        th scope="col" { (words.t("message.delivered")) }
                        th scope="col" { (words.t("message.read")) }
                        th scope="col" { (words.t("message.played")) }
                    } }
                    tbody {
                        @for receipt in &receipts {
                            tr data-key=(receipt.participant) {
                                th scope="row" { (receipt.participant) }
                                td data-label=(words.t("message.delivered")) { (format::ago(words, Some(receipt.delivered_at))) }
                                td data-label=(words.t("message.read")) { (format::ago(words, receipt.read_at)) }
                                td data-label=(words.t("message.played")) { (format::ago(words, receipt.played_at)) }
                            }
                        }
                    }
                } }
            }
        }
    };
    Ok(Shown { title, body })
}

fn head(look: &Look, message: &Message, title: &str) -> Markup {
    let words = look.words;
    let id = message.id.to_string();
    let can_retry = matches!(message.status.as_str(), "failed" | "cancelled" | "expired")
        || (message.status == "queued" && message.waits_for.as_deref().is_some_and(|reason| reason != "paused"));
    html! {
        header.head {
            div {
                p.crumbs { a href="/queue" { (words.t("screens.queue")) } a href=(Place::of("queue", &message.session).href()) { (message.session) } }
                h1 { (title) " " (format::message_status(words, &message.status)) }
                p.soft { (words.of_value("message_kind", &message.kind)) " → " (message.recipient) " · " a href=(Place::of("session", &message.session).href()) { (message.session) } }
            }
            div.acts {
                @if can_retry {
                    (acts::act(look, &shared::RETRY, &Offer {
                        label: words.t("queue.retry"), about: words.t("message.retry_about"), icon: Some("retry"), fixed: &[("id", &id)], ..Offer::default()
                    }))
                }
                @if let (Some(campaign), Some("paused")) = (&message.campaign, message.waits_for.as_deref()) {
                    (acts::act(look, &shared::RESUME_CAMPAIGN, &Offer {
                        label: words.t("queue.lift"), about: words.t("message.lift_about"), icon: Some("play"),
                        fixed: &[("session", &message.session), ("campaign", campaign)], ..Offer::default()
                    }))
                }
                @if message.live {
                    (acts::act(look, &shared::CANCEL, &Offer {
                        label: words.t("queue.cancel"), about: words.t("message.cancel_about"), icon: Some("close"), fixed: &[("id", &id)], fields: &[],
                        danger: true,
                    ..Offer::default()
                    }))
                }
            }
        }
    }
}

fn tone(message: &Message) -> &'static str {
    match message.status.as_str() {
        "failed" => "bad",
        "queued" | "expired" => "warn",
        "cancelled" | "sending" => "info",
        _ => "good",
    }
}

fn content(words: &Words, message: &Message) -> Markup {
    html! {
        section.panel {
            header { h2 { (words.t("message.content")) } }
            dl.facts {
                dt { (words.t("message.chat")) } dd { code { (message.chat) } }
                @if let Some(body) = &message.body { dt { (words.t("message.body")) } dd.why { (body) } }
                @if let Some(fields) = &message.content { dt { (words.t("message.fields")) } dd.why { code { (fields) } } }
                @if let Some(campaign) = &message.campaign { dt { (words.t("message.campaign")) } dd { span.tag { (campaign) } } }
                @if let Some(key) = &message.dedupe_key { dt { (words.t("message.dedupe_key")) } dd { code { (key) } } }
                dt { (words.t("message.message_id")) } dd { code { (message.whatsapp_id) } }
                @if message.priority != 0 { dt { (words.t("message.priority")) } dd { (message.priority) } }
            }
        }
    }
}

fn progress(words: &Words, message: &Message) -> Markup {
    let moments = [
        ("message.inserted", Some(message.created_at)),
        ("message.send_at", message.send_at),
        ("message.expires_at", message.expires_at),
        ("message.sending", message.sending_at),
        ("message.sent", message.sent_at),
        ("message.delivered", message.delivered_at),
        ("message.read", message.read_at),
        ("message.played", message.played_at),
        ("message.failed", message.failed_at),
        ("message.cancelled", message.cancelled_at),
        ("message.expired", message.expired_at),
    ];
    html! {
        section.panel {
            header { h2 { (words.t("message.progress")) } }
            dl.facts {
                @for (name, moment) in moments.into_iter().filter(|(_, moment)| moment.is_some()) {
                    dt { (words.t(name)) } dd {
                        @if matches!(name, "message.send_at" | "message.expires_at") {
                            @if let Some(moment) = moment { (format::until(moment)) }
                        } @else { (format::ago(words, moment)) }
                    }
                }
                @if message.status == "queued" {
                    @let is_held = reason::is_of_session(message.why.as_ref());
                    dt { (words.t("queue.waits_for")) } dd { (shared::waits(words, message.waits_for.as_deref(), message.run_at, is_held)) }
                }
                dt { (words.t("message.attempts")) } dd { (message.attempts) " / " (message.max_attempts) }
            }
        }
    }
}

/// The failed attempts, the last first.
fn attempts(look: &Look, message: &Message) -> Markup {
    let words = look.words;
    let errors = message.errors.as_array().map_or(&[] as &[Value], Vec::as_slice);
    if errors.is_empty() {
        return html! {};
    }
    html! {
        section.panel {
            header { h2 { (words.t("message.errors")) } }
            ol.timeline {
                @for (at, error) in errors.iter().enumerate().rev() {
                    @let moment = error["at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
                    li.bad data-key=(at) {
                        (format::ago(words, moment))
                        b { (words.with("message.attempt", &error["attempt"])) }
                        p class="soft small" { (reason::said(words, look.zone, None, error["error"].as_str().unwrap_or_default())) }
                    }
                }
            }
        }
    }
}
