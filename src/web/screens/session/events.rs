//! What happened to a session.

use super::acts::{CANCEL_JOB, RETRY_JOB};
use super::row::Session;
use crate::web::acts;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::look::Look;
use crate::web::reason;
use crate::web::request::Place;
use maud::{Markup, html};
use serde_json::Value;

/// Events on a page.
const EVENTS: i64 = 100;

pub(super) async fn events(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
    let before = look.place.number("before");
    let found = sqlx::query_file!("sql/web/session_events.sql", session.id, EVENTS, before);
    let found = found.fetch_all(&mut look.tx).await?;
    let jobs = sqlx::query_file!("sql/web/session_jobs.sql", session.id).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let older = found
        .last()
        .filter(|_| i64::try_from(found.len()).is_ok_and(|shown| shown == EVENTS))
        .map(|last| last.id.to_string());
    Ok(html! {
        @if before.is_none() && !jobs.is_empty() {
            section.panel {
                header { h2 { (words.t("session.jobs")) } }
                ol.timeline {
                    @for job in &jobs {
                        @let id = job.id.to_string();
                        @let tone = match job.status.as_str() { "done" => "good", "running" | "queued" => "busy", "failed" => "bad", _ => "off" };
                        li class=(tone) data-key={ "job-" (id) } {
                            (format::ago(words, Some(job.created_at)))
                            div {
                                b { code { (job.kind) } } " " (format::pill(tone, words.of_value("session_job_status", &job.status)))
                                @if job.status == "queued" { " " (format::until(job.run_at)) }
                                @if job.attempts > 1 { " " span.soft { (words.with("session.attempts", job.attempts)) } }
                            }
                            @if let Some(reason) = &job.reason { p class="soft small" { (reason::said(words, look.zone, None, reason)) } }
                            @if let Some(error) = &job.last_error { p class="soft small" { (reason::said(words, look.zone, None, error)) } }
                            @if matches!(job.status.as_str(), "failed" | "cancelled") {
                                (acts::quick(look, &RETRY_JOB, words.t("session.retry_job"), &[("id", &id)]))
                            } @else if job.status == "queued" {
                                (acts::quick(look, &CANCEL_JOB, words.t("session.cancel_job"), &[("id", &id)]))
                            }
                        }
                    }
                }
            }
        }
        section.panel {
            header { h2 { (words.t("session.events")) } a href=(Place::screen("live").with("session", Some(&session.name))) { (words.t("screens.live")) } }
            @if found.is_empty() { p.soft { (words.t("session.no_events")) } } @else {
                ol.timeline {
                    @for event in &found {
                        li class=(tone_of_event(&event.kind)) data-key=(event.id) {
                            (format::ago(words, Some(event.created_at)))
                            b { code { (event.kind) } }
                            @let details = details(&event.data);
                            @if !details.is_empty() { p class="soft small" { (reason::said(words, look.zone, None, &details)) } }
                        }
                    }
                }
            }
        }
        nav.pages aria-label=(words.t("common.pages")) {
            @if before.is_some() { a rel="prev" href=(look.place.with("before", None)) { (words.t("session.newest")) } }
            @if let Some(older) = &older { a rel="next" href=(look.place.with("before", Some(older))) { (words.t("session.older")) } }
        }
    })
}

fn tone_of_event(kind: &str) -> &'static str {
    match kind {
        "session_connected" | "session_limit_ended" | "auth_restored" => "good",
        "session_connecting" | "session_linking" | "passkey_requested" | "passkey_code" => "busy",
        "session_logged_out" | "session_banned" | "session_limited" | "crypto_limit" | "passkey_failed"
        | "auth_quarantined" | "key_quarantined" | "item_quarantined" | "auth_deleted" => "bad",
        "session_disconnected"
        | "connection_ended"
        | "session_resting"
        | "session_paused"
        | "crypto_warning"
        | "ratchets_reset" => "warn",
        _ => "off",
    }
}

/// The details of an event: `from: connecting · reason: stream error`; JSON with numbers or a depth beyond all bounds as it is.
fn details(data: &str) -> String {
    let Ok(data) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    let one = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{key}: {text}")),
        other => Some(format!("{key}: {other}")),
    };
    data.as_object().map_or_else(String::new, |data| data.iter().filter_map(one).collect::<Vec<_>>().join(" · "))
}
