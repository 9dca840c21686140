//! What waits to be sent: the sessions with messages waiting, and the chats (lanes) with the message that each waits for.

use super::shared;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, OFTEN, Screen, Shown, Topic};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use maud::{Markup, html};
use std::collections::BTreeSet;

pub(super) const SCREEN: Screen = Screen {
    name: "queue",
    key: 'q',
    icon: "queue",
    group: Some(Group::Messages),
    topics: &[Topic::Session, Topic::Status],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static CANCEL_ALL: Act = Act {
    name: "cancel_all",
    scope: Scope::Operator,
    function: "wa.cancel_all",
    sql: "SELECT wa.cancel_all($1, $2)::text",
    arguments: &["session", "recipient"],
};

pub(super) const ACTS: &[&Act] = &[&CANCEL_ALL];

/// Sessions on a page, and messages of each that are counted.
const SESSIONS: i64 = 50;
const COUNTED: i64 = 500;
/// Lanes on a page.
const LANES: i64 = 100;
/// Messages behind a head that are counted.
const BEHIND: i64 = 100;
/// Messages that go next, of either kind.
const NEXT: i64 = 5;

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let name = look.place.item.clone();
    let content = match &name {
        Some(name) => of_session(look, name).await?,
        None if look.place.get("by") == Some("lanes") => lanes(look, None).await?,
        None => sessions(look).await?,
    };
    let words = look.words;
    let by_lanes = look.place.get("by") == Some("lanes");
    let body = html! {
        header.head {
            div {
                @if name.is_some() { p.crumbs { a href="/queue" { (words.t("screens.queue")) } } }
                h1 { (name.as_deref().unwrap_or(words.t("screens.queue"))) }
                @if let Some(name) = &name { p.soft { a href=(Place::of("session", name).href()) { (words.t("queue.to_session")) } } }
            }
            @if let Some(name) = &name { div.acts { (cancel_all(look, name)) } }
        }
        @if name.is_none() {
            nav.tabs aria-label=(words.t("screens.queue")) {
                a href="/queue" aria-current=[(!by_lanes).then_some("page")] { (words.t("queue.sessions")) }
                a href=(Place::screen("queue").with("by", Some("lanes"))) aria-current=[by_lanes.then_some("page")] { (words.t("queue.lanes")) }
            }
        }
        (content)
    };
    let title = name
        .map_or_else(|| words.t("screens.queue").to_owned(), |name| format!("{name} · {}", words.t("screens.queue")));
    Ok(Shown { title, body })
}

fn cancel_all(look: &Look, name: &str) -> Markup {
    let words = look.words;
    let recipient = Field {
        name: "recipient",
        label: words.t("queue.recipient_or_all"),
        kind: "text",
        value: None,
        required: false,
    };
    acts::act(
        look,
        &CANCEL_ALL,
        &Offer {
            label: words.t("queue.cancel_all"),
            about: words.t("queue.cancel_all_about"),
            icon: Some("trash"),
            fixed: &[("session", name)],
            fields: &[recipient],
            danger: true,
            ..Offer::default()
        },
    )
}

/// The sessions that have messages waiting.
async fn sessions(look: &mut Look) -> Result<Markup, WebError> {
    let after = look.place.get("after");
    let rows =
        sqlx::query_file!("sql/web/queue_sessions.sql", after, SESSIONS, COUNTED).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    if rows.is_empty() {
        return Ok(empty(words));
    }
    let next = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(SESSIONS)).map(|row| row.name.as_str());
    Ok(html! {
        div.table { table {
            caption.hidden { (words.t("queue.sessions")) }
            thead { tr {
                th scope="col" { (words.t("queue.session")) }
                th scope="col" { (words.t("queue.status")) }
                th scope="col" class="num" { (words.t("queue.queued")) }
                th scope="col" class="num" { (words.t("queue.ready")) }
                th scope="col" class="num" { (words.t("queue.waiting")) }
                th scope="col" { (words.t("queue.next")) }
                th scope="col" { (words.t("queue.why")) }
                th scope="col" { span.hidden { (words.t("common.actions")) } }
            } }
            tbody {
                @for row in &rows {
                    tr data-key=(row.name) {
                        th scope="row" { a.cover href=(Place::of("queue", &row.name).href()) { (row.name) } " " span.tag { (row.tenant) } }
                        td data-label=(words.t("queue.status")) { (format::session_status(words, &row.status)) }
                        td class="num" data-label=(words.t("queue.queued")) { (shared::bounded(row.queued, COUNTED)) }
                        td class="num" data-label=(words.t("queue.ready")) { (shared::bounded(if reason::holds(row.reasons.as_ref()) { 0 } else { row.ready }, COUNTED)) }
                        td class="num" data-label=(words.t("queue.waiting")) { (shared::bounded(row.waiting, COUNTED)) }
                        td data-label=(words.t("queue.next")) { @if let Some(at) = row.next_at { (format::until(at)) } }
                        td.why data-label=(words.t("queue.why")) {
                            @if let Some(reasons) = &row.reasons {
                                @if row.stuck { (format::pill("bad", words.t("queue.stuck"))) " " }
                                (reason::show(words, look.zone, reasons))
                            }
                        }
                        td.do { (shared::pause_or_resume(look, &row.name, row.paused_at.is_some())) }
                    }
                }
            }
        } }
        (pages(look, next.map(|name| look.place.with("after", Some(name))).as_deref()))
    })
}

fn empty(words: &Words) -> Markup {
    html! {
        div.empty {
            h2 { (words.t("queue.none")) }
            p { (words.t("queue.send")) }
            code.sql { "SELECT wa.send_text('shop', '+79001234567', 'Hello');" }
        }
    }
}

/// A link to the next page, and back to the first.
fn pages(look: &Look, next: Option<&str>) -> Markup {
    let words = look.words;
    let first = Place {
        query: look
            .place
            .query
            .iter()
            .filter(|(key, _)| *key == "by")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        ..look.place.clone()
    };
    html! {
        nav.pages aria-label=(words.t("common.pages")) {
            @if look.place.get("after").is_some() { a rel="prev" href=(first.href()) { (words.t("queue.first")) } }
            @if let Some(next) = next { a rel="next" href=(next) { (words.t("common.next")) } }
        }
    }
}

/// One session: what its messages wait for, which go next, and its lanes.
async fn of_session(look: &mut Look, name: &str) -> Result<Markup, WebError> {
    let found = sqlx::query!(
        r#"SELECT s.session_id AS "session_id!", s.paused_at, r.reasons, coalesce(r.stuck, false) AS "stuck!"
           FROM wa.session s LEFT JOIN wa.reasons(ARRAY[$1::text]) r ON r.session = s.name WHERE s.name = $1"#,
        name
    );
    let found = found.fetch_optional(&mut look.tx).await?.ok_or(WebError::NotFound)?;
    let is_held = reason::holds(found.reasons.as_ref());
    let counted = shared::counts(look, found.session_id, name, is_held).await?;
    let next = sqlx::query_file!("sql/web/queue_next.sql", found.session_id, NEXT).fetch_all(&mut look.tx).await?;
    let lanes = lanes(look, Some(name)).await?;
    let look = &*look;
    let words = look.words;
    Ok(html! {
        @if let Some(reasons) = &found.reasons {
            p class={ "flash " (if found.stuck { "bad" } else { "warn" }) } {
                span { (reason::show(words, look.zone, reasons)) } " " (shared::pause_or_resume(look, name, found.paused_at.is_some()))
                (shared::lift_pauses(look, name, found.reasons.as_ref()))
            }
        }
        div.columns {
            (counted)
            section.panel {
                header { h2 { (words.t("queue.goes_next")) } }
                @if next.is_empty() { p.soft { (words.t("queue.nothing_next")) } } @else {
                    ol.timeline {
                        @for message in &next {
                            li class=(if is_held || message.waits_for.is_some() { "warn" } else { "busy" }) data-key=(message.id) {
                                (format::ago(words, Some(message.created_at)))
                                div { b { a href=(Place::of("message", &message.id.to_string()).href()) { (words.of_value("message_kind", &message.kind)) " → " (message.recipient) } }
                                " " (shared::waits(words, message.waits_for.as_deref(), message.run_at, is_held)) }
                            }
                        }
                    }
                }
            }
        }
        h2 { (words.t("queue.lanes")) }
        (lanes)
    })
}

/// The chats with messages waiting, of one session or of all.
async fn lanes(look: &mut Look, name: Option<&str>) -> Result<Markup, WebError> {
    // The session and the chat of the last lane of the page before.
    let after = look.place.get("after").and_then(|after| after.split_once(' '));
    let (after_session, after_chat) = after.unzip();
    let rows = sqlx::query_file!("sql/web/queue_lanes.sql", name, after_session, after_chat, LANES)
        .fetch_all(&mut look.tx)
        .await?;
    let names: BTreeSet<String> = rows.iter().map(|lane| lane.session.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let reasons = sqlx::query!(r#"SELECT session AS "session!", reasons FROM wa.reasons($1::text[])"#, &names);
    let reasons = reasons.fetch_all(&mut look.tx).await?;
    let held: BTreeSet<&str> =
        reasons.iter().filter(|it| reason::holds(it.reasons.as_ref())).map(|it| it.session.as_str()).collect();
    let look = &*look;
    let words = look.words;
    if rows.is_empty() {
        return Ok(empty(words));
    }
    let next = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(LANES));
    let next = next.map(|lane| look.place.with("after", Some(&format!("{} {}", lane.session, lane.chat))));
    Ok(html! {
        div.table { table {
            caption.hidden { (words.t("queue.lanes")) }
            thead { tr {
                th scope="col" { (words.t("queue.head")) }
                @if name.is_none() { th scope="col" { (words.t("queue.session")) } }
                th scope="col" { (words.t("queue.inserted")) }
                th scope="col" class="num" { (words.t("queue.behind")) }
                th scope="col" { (words.t("queue.waits_for")) }
                th scope="col" { span.hidden { (words.t("common.actions")) } }
            } }
            tbody {
                @for lane in &rows {
                    @let id = lane.id.to_string();
                    tr data-key={ (lane.session) "-" (lane.chat) } {
                        th scope="row" { a href=(Place::of("message", &id).href()) { (lane.recipient) } " " span.tag { (lane.kind) } }
                        @if name.is_none() { td data-label=(words.t("queue.session")) { a href=(Place::of("queue", &lane.session).href()) { (lane.session) } } }
                        td data-label=(words.t("queue.inserted")) { (format::ago(words, Some(lane.created_at))) }
                        td class="num" data-label=(words.t("queue.behind")) {
                            @if lane.behind >= BEHIND { (format::number(BEHIND)) "+" } @else { (format::number(lane.behind)) }
                        }
                        td.why data-label=(words.t("queue.waits_for")) {
                            @if lane.taken || lane.status == "sending" { (format::pill("busy", words.t("queue.in_hand"))) }
                            @else { (shared::waits(words, lane.waits_for.as_deref(), lane.run_at, held.contains(lane.session.as_str()))) }
                            @if let Some(campaign) = &lane.campaign { " " span.tag { (campaign) } }
                            @if let Some(paused_at) = lane.paused_at {
                                " " (words.with("queue.by", lane.paused_by.as_deref().unwrap_or("?"))) " " (format::ago(words, Some(paused_at)))
                            }
                            @if lane.attempts > 0 { " " span.soft { (words.with("session.attempts", lane.attempts)) } }
                            @if let Some(error) = &lane.last_error { p class="soft small" { (reason::said(words, look.zone, None, error)) } }
                        }
                        td.do { (lane_acts(look, &lane.session, &id, lane.waits_for.as_deref(), lane.campaign.as_deref())) }
                    }
                }
            }
        } }
        (pages(look, next.as_deref()))
    })
}

fn lane_acts(look: &Look, session: &str, id: &str, waits_for: Option<&str>, campaign: Option<&str>) -> Markup {
    let words = look.words;
    html! {
        @match (waits_for, campaign) {
            (Some("paused"), Some(campaign)) => (acts::quick(look, &shared::RESUME_CAMPAIGN, words.t("queue.lift"), &[("session", session), ("campaign", campaign)])),
            (Some(_), _) => (acts::quick(look, &shared::RETRY, words.t("queue.retry"), &[("id", id)])),
            _ => {}
        }
        (acts::quick(look, &shared::CANCEL, words.t("queue.cancel"), &[("id", id)]))
    }
}
