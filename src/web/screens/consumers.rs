//! Named consumers of the inbox: how far each is behind. Messages are acknowledged by the consumers, never here.

use super::shared;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::request::Place;
use maud::{Markup, html};

pub(super) const SCREEN: Screen = Screen {
    name: "consumers",
    key: 'o',
    icon: "consumers",
    group: Some(Group::Operation),
    topics: &[Topic::Inbound],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static REWIND: Act = Act {
    name: "rewind_consumer",
    scope: Scope::Operator,
    function: "wa.rewind_consumer",
    sql: "SELECT wa.rewind_consumer($1, $2::timestamp AT TIME ZONE 'UTC')::text",
    arguments: &["name", "since"],
};
static DROP: Act = Act {
    name: "drop_consumer",
    scope: Scope::Operator,
    function: "wa.drop_consumer",
    sql: "SELECT wa.drop_consumer($1)::text",
    arguments: &["name"],
};

pub(super) const ACTS: &[&Act] = &[&REWIND, &DROP];

/// Consumers on a page.
const ROWS: i64 = 25;
/// Unread messages that are counted for each; beyond, the page says "more than".
const COUNTED: i64 = 10_000;

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let after = look.place.number("after");
    let rows = sqlx::query_file!("sql/web/consumers.sql", after, ROWS, COUNTED).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.consumers")) }
                p.soft { (words.t("consumers.about")) }
            }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("consumers.none")) }
                p { (words.t("consumers.add")) }
                code.sql { "SELECT wa.add_consumer('crm'); SELECT * FROM wa.claim_messages('crm');" }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("screens.consumers")) }
                thead { tr {
                    th scope="col" { (words.t("consumers.name")) }
                    th scope="col" { (words.t("consumers.state")) }
                    th.num scope="col" { (words.t("consumers.unread")) }
                    th scope="col" { (words.t("consumers.oldest")) }
                    th scope="col" { (words.t("consumers.claimed")) }
                    th scope="col" { (words.t("consumers.active")) }
                    th scope="col" { (words.t("consumers.reads")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        tr data-key=(row.consumer_id) {
                            th scope="row" { (row.name) }
                            td {
                                @if row.paused_at.is_some() {
                                    (format::pill("bad", words.t("consumers.paused")))
                                    @if let Some(reason) = &row.paused_reason { small { (reason) } }
                                } @else if row.unread == 0 {
                                    (format::pill("good", words.t("consumers.done")))
                                } @else if row.in_time {
                                    (format::pill("busy", words.t("consumers.works")))
                                } @else {
                                    (format::pill("warn", words.t("consumers.waits")))
                                }
                            }
                            td.num data-label=(words.t("consumers.unread")) {
                                @if row.unread > COUNTED { (words.with("consumers.more_than", format::number(COUNTED))) }
                                @else { (format::number(row.unread)) }
                            }
                            td data-label=(words.t("consumers.oldest")) { @if row.oldest.is_some() { (format::ago(words, row.oldest)) } }
                            td data-label=(words.t("consumers.claimed")) {
                                @if row.claimed > 0 {
                                    (format::number(row.claimed.into()))
                                    @if let Some(until) = row.claimed_until.filter(|_| row.in_time) { " · " (format::until(until)) }
                                    @else { small { (words.t("consumers.overdue")) } }
                                }
                            }
                            td data-label=(words.t("consumers.active")) { (format::ago(words, Some(row.active_at))) }
                            td data-label=(words.t("consumers.reads")) {
                                @if let Some(session) = &row.session { a href=(Place::of("session", session).href()) { (session) } }
                                @else { (row.tenants.as_ref().map_or_else(|| words.t("consumers.all").to_owned(), |tenants| tenants.join(", "))) }
                                @if let Some(kinds) = &row.kinds { small { (kinds.join(", ")) } }
                            }
                            td.do {
                                (acts_of(look, &row.name))
                            }
                        }
                    }
                }
            } }
            (shared::next_page(look, "after", &rows, ROWS, |row| row.consumer_id.to_string()))
        }
    };
    Ok(Shown { title: words.t("screens.consumers").to_owned(), body })
}

/// What can be done to a consumer.
fn acts_of(look: &Look, name: &str) -> Markup {
    html! {
        (acts::act(look, &REWIND, &Offer {
            label: look.words.t("consumers.rewind"),
            about: look.words.t("consumers.rewind_about"),
            icon: Some("back"),
            fixed: &[("name", name)],
            fields: &[Field {
                name: "since",
                label: look.words.t("consumers.since"),
                kind: "datetime-local",
                value: None,
                required: true,
            }],
            danger: true,
        ..Offer::default()
        }))
        (acts::act(look, &DROP, &Offer {
            label: look.words.t("consumers.drop"),
            about: look.words.t("consumers.drop_about"),
            icon: Some("trash"),
            fixed: &[("name", name)],
            danger: true,
            ..Offer::default()
        }))
    }
}
