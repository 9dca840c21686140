//! The processes that hold sessions: how many each has, how long its lease lasts, and which of them end.

use crate::web::acts::{self, Act, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, OFTEN, Screen, Shown, Topic};
use crate::web::request::Place;
use maud::html;

pub(super) const SCREEN: Screen = Screen {
    name: "workers",
    key: 'w',
    icon: "workers",
    group: Some(Group::Operation),
    topics: &[Topic::Session],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static DRAIN: Act = Act {
    name: "drain_worker",
    scope: Scope::Admin,
    function: "wa.drain_worker",
    sql: "SELECT wa.drain_worker($1::uuid)::text",
    arguments: &["worker"],
};

pub(super) const ACTS: &[&Act] = &[&DRAIN];

/// Workers on the page; nobody has more.
const ROWS: i64 = 200;

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let rows = sqlx::query_file!("sql/web/workers.sql", ROWS).fetch_all(&mut look.tx).await?;
    let left = sqlx::query_file_scalar!("sql/web/workers_left.sql").fetch_one(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let held: i64 = rows.iter().map(|row| row.held).sum();
    let room: i64 = rows.iter().filter(|row| !row.draining && row.alive).map(|row| i64::from(row.max_sessions)).sum();
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.workers")) }
                @if let Some(tenant) = &look.who.tenant { p.soft { (words.with("workers.of_tenant", tenant)) } }
            }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("workers.none")) }
                p { (words.t("workers.start")) }
                code.sql { "wagres worker" }
            }
        } @else {
            ul.tiles {
                li.tile data-key="held" { div {
                    span.label { (words.t("workers.held")) }
                    b.number { (format::number(held)) }
                    small { (words.with("workers.room", format::number(room))) }
                } }
                li class=(if left > 0 { "tile warn" } else { "tile" }) data-key="left" { div {
                    span.label { (words.t("workers.left")) }
                    b.number { (format::number(left)) }
                    small { (words.t("workers.left_about")) }
                } }
            }
            div.table { table {
                caption.hidden { (words.t("screens.workers")) }
                thead { tr {
                    th scope="col" { (words.t("workers.worker")) }
                    th scope="col" { (words.t("workers.state")) }
                    th.num scope="col" { (words.t("workers.sessions")) }
                    th.num scope="col" { (words.t("workers.memory")) }
                    th scope="col" { (words.t("workers.version")) }
                    th scope="col" { (words.t("workers.started")) }
                    th scope="col" { (words.t("workers.lease")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let others = rows.iter().any(|other| other.alive && !other.draining && other.worker_id != row.worker_id);
                        @let worker = row.worker_id.to_string();
                        @let fleet = Place { query: [("worker".into(), worker.clone())].into(), ..Place::screen("fleet") }.href();
                        tr data-key=(worker) {
                            th scope="row" { a href=(fleet) { (row.host) " " span.soft { (row.pid) } } small { (worker) } }
                            td {
                                @if !row.alive { (format::pill("bad", words.t("workers.gone"))) }
                                @else if row.draining { (format::pill("warn", words.t("workers.draining"))) }
                                @else { (format::pill("good", words.t("workers.works"))) }
                            }
                            td.num data-label=(words.t("workers.sessions")) {
                                (format::number(row.held)) " / " (format::number(row.max_sessions.into()))
                            }
                            td.num data-label=(words.t("workers.memory")) {
                                @if let Some(memory) = row.memory_mb { (words.with("workers.megabytes", format::number(memory.into()))) }
                            }
                            td data-label=(words.t("workers.version")) { (row.version) }
                            td data-label=(words.t("workers.started")) { (format::ago(words, Some(row.started_at))) }
                            td data-label=(words.t("workers.lease")) {
                                @if row.alive { (format::until(row.lease_until)) }
                                @else { (format::ago(words, Some(row.lease_until))) }
                            }
                            td.do {
                                @if !row.draining {
                                    (acts::act(look, &DRAIN, &Offer {
                                        label: words.t("workers.drain"),
                                        about: words.t(if others { "workers.drain_about" } else { "workers.drain_last" }),
                                        icon: Some("stop"),
                                        fixed: &[("worker", &worker)],
                                        danger: true,
                                        ..Offer::default()
                                    }))
                                }
                            }
                        }
                    }
                }
            } }
        }
    };
    Ok(Shown { title: words.t("screens.workers").to_owned(), body })
}
