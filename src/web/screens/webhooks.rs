//! Webhooks: how each receiver answers, how far it is behind, and one of them with its deliveries.

mod one;

use super::shared;
use crate::web::acts::Act;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use maud::{Markup, html};

pub(super) const SCREEN: Screen = Screen {
    name: "webhooks",
    key: 'h',
    icon: "webhooks",
    group: Some(Group::Operation),
    topics: &[Topic::Inbound, Topic::Status, Topic::Event],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

pub(super) const ACTS: &[&Act] = one::ACTS;

/// Webhooks on a page.
const ROWS: i64 = 25;
/// Deliveries that are counted for each, of those that wait and of those that are dead; beyond, the page says so.
const COUNTED: i64 = 1000;

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    match look.place.item.clone() {
        Some(id) => one::render(look, id.parse().map_err(|_| WebError::NotFound)?).await,
        None => all(look).await,
    }
}

async fn all(look: &mut Look) -> Result<Shown, WebError> {
    let after = look.place.number("after");
    let rows = sqlx::query_file!("sql/web/webhooks.sql", after, ROWS, COUNTED).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.webhooks")) }
                p.soft { (words.t("webhooks.about")) }
            }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("webhooks.none")) }
                p { (words.t("webhooks.add")) }
                code.sql { "SELECT wa.add_webhook('crm', 'https://example.org/hook');" }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("screens.webhooks")) }
                thead { tr {
                    th scope="col" { (words.t("webhooks.name")) }
                    th scope="col" { (words.t("webhooks.state")) }
                    th.num scope="col" { (words.t("webhooks.hour")) }
                    th.num scope="col" { (words.t("webhooks.latency")) }
                    th.num scope="col" { (words.t("webhooks.queued")) }
                    th scope="col" { (words.t("webhooks.oldest")) }
                    th.num scope="col" { (words.t("webhooks.dead")) }
                    th scope="col" { (words.t("webhooks.error")) }
                } }
                tbody {
                    @for row in &rows {
                        tr data-key=(row.webhook_id) {
                            th scope="row" {
                                a.cover href=(Place::of("webhooks", &row.webhook_id.to_string()).href()) { (row.name) }
                                @if let Some(tenants) = &row.tenants { @for tenant in tenants { " " span.tag { (tenant) } } }
                                small { (row.url) }
                            }
                            td { (state(words, &row.status, row.failures)) }
                            td.num data-label=(words.t("webhooks.hour")) {
                                (format::number(row.delivered))
                                @if row.failed > 0 { small { (words.with("webhooks.failed_attempts", format::number(row.failed))) } }
                            }
                            td.num data-label=(words.t("webhooks.latency")) { @if let Some(seconds) = row.seconds { (milliseconds(words, seconds)) } }
                            td.num data-label=(words.t("webhooks.queued")) { (shared::bounded(row.queued, COUNTED)) }
                            td data-label=(words.t("webhooks.oldest")) { @if row.oldest.is_some() { (format::ago(words, row.oldest)) } }
                            td.num data-label=(words.t("webhooks.dead")) { (shared::bounded(row.dead, COUNTED)) }
                            td.why data-label=(words.t("webhooks.error")) {
                                @if let Some(reason) = &row.disabled_reason { (reason) }
                                @else if row.failures > 0 {
                                    @if let Some(code) = row.last_code { (code) " " }
                                    (reason::said(words, look.zone, None, row.last_error.as_deref().unwrap_or_default()))
                                    @if let Some(at) = row.next_probe { small { (words.t("webhooks.next_probe")) " " (format::until(at)) } }
                                }
                            }
                        }
                    }
                }
            } }
            @if i64::try_from(rows.len()) == Ok(ROWS) {
                nav.pages aria-label=(words.t("common.pages")) {
                    a rel="next" href=(place.with("after", rows.last().map(|row| row.webhook_id.to_string()).as_deref())) { (words.t("common.next")) }
                }
            }
        }
    };
    Ok(Shown { title: words.t("screens.webhooks").to_owned(), body })
}

/// The state of a webhook; one that has just failed is not yet `failing`.
fn state(words: &Words, status: &str, failures: i32) -> Markup {
    let (tone, status) = match status {
        "disabled" => ("off", status),
        "failing" => ("bad", status),
        _ if failures > 0 => ("warn", "retrying"),
        _ => ("good", status),
    };
    format::pill(tone, words.of_value("webhook_status", status))
}

/// Seconds, in the unit in which they are read best.
fn milliseconds(words: &Words, seconds: f64) -> String {
    if seconds < 10.0 {
        words.with("webhooks.milliseconds", format!("{:.0}", seconds * 1000.0))
    } else {
        words.with("webhooks.seconds", format!("{seconds:.0}"))
    }
}
