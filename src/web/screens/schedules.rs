//! What runs by the clock: when next, when last, and what became of it.

use super::shared;
use crate::web::acts::{self, Act, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, OFTEN, Screen, Shown, Topic};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use maud::{Markup, html};

pub(super) const SCREEN: Screen = Screen {
    name: "schedules",
    key: 's',
    icon: "schedules",
    group: Some(Group::Operation),
    topics: &[Topic::Job],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static RUN: Act = Act {
    name: "run_schedule",
    scope: Scope::Admin,
    function: "wa.run_now",
    sql: "SELECT wa.run_now($1)::text",
    arguments: &["name"],
};
static ENABLE: Act = Act {
    name: "enable_schedule",
    scope: Scope::Operator,
    function: "wa.enable_schedule",
    sql: "SELECT wa.enable_schedule($1)::text",
    arguments: &["name"],
};
static DISABLE: Act = Act {
    name: "disable_schedule",
    scope: Scope::Operator,
    function: "wa.disable_schedule",
    sql: "SELECT wa.disable_schedule($1)::text",
    arguments: &["name"],
};

pub(super) const ACTS: &[&Act] = &[&RUN, &ENABLE, &DISABLE];

/// Schedules on a page.
const ROWS: i64 = 50;

/// The state of a job or a message that a schedule has queued.
pub(super) fn job_status(words: &Words, status: &str) -> Markup {
    let tone = match status {
        "running" => "busy",
        "done" => "good",
        "queued" => "warn",
        "failed" => "bad",
        "cancelled" => "off",
        _ => return format::message_status(words, status),
    };
    format::pill(tone, words.of_value("run_status", status))
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let rows =
        sqlx::query_file!("sql/web/schedules.sql", look.place.number("after"), ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.schedules")) }
                p.soft { (words.t("schedules.about")) }
            }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("schedules.none")) }
                p { (words.t("schedules.add")) }
                code.sql { "SELECT wa.schedule('nightly', '0 23 * * *', 'close', session => 'shop', time_zone => 'Europe/Berlin');" }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("screens.schedules")) }
                thead { tr {
                    th scope="col" { (words.t("schedules.name")) }
                    th scope="col" { (words.t("schedules.state")) }
                    th scope="col" { (words.t("schedules.cron")) }
                    th scope="col" { (words.t("schedules.next")) }
                    th scope="col" { (words.t("schedules.last")) }
                    th scope="col" { (words.t("schedules.job")) }
                    th scope="col" { (words.t("schedules.error")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let name = row.tenant.as_ref().map_or_else(|| row.name.clone(), |tenant| format!("{tenant}/{}", row.name));
                        @let mine = row.session.is_some() || look.who.tenant.is_none();
                        tr data-key=(row.schedule_id) {
                            th scope="row" {
                                (name)
                                small {
                                    (row.kind)
                                    @if let Some(session) = &row.session { " · " a href=(Place::of("session", session).href()) { (session) } }
                                }
                            }
                            td {
                                @if row.error.is_some() { (format::pill("bad", words.t("schedules.wrong"))) }
                                @else if row.enabled { (format::pill("good", words.t("schedules.enabled"))) }
                                @else { (format::pill("off", words.t("schedules.disabled"))) }
                            }
                            td data-label=(words.t("schedules.cron")) { code { (row.cron) } small { (row.time_zone) } }
                            td data-label=(words.t("schedules.next")) { @if let Some(next) = row.next_tick { (format::until(next)) } }
                            td data-label=(words.t("schedules.last")) {
                                @if row.ticks.is_empty() { span.soft { (words.t("common.never")) } }
                                @for (tick, outcome) in row.ticks.iter().zip(&row.outcomes).take(1) {
                                    (format::ago(words, Some(*tick))) small { (words.of_value("tick_outcome", outcome)) }
                                }
                                @if row.ticks.len() > 1 {
                                    details data-key={ "ticks-" (row.schedule_id) } {
                                        summary { small { (words.t("schedules.before")) } }
                                        @for (tick, outcome) in row.ticks.iter().zip(&row.outcomes).skip(1) {
                                            small { (format::ago(words, Some(*tick))) " " (words.of_value("tick_outcome", outcome)) }
                                        }
                                    }
                                }
                            }
                            td data-label=(words.t("schedules.job")) {
                                @if let Some(status) = &row.job_status { (job_status(words, status)) }
                                @if let Some(job) = row.last_job { small { (words.with("schedules.job_id", job)) } }
                            }
                            td.why data-label=(words.t("schedules.error")) { (reason::said(words, look.zone, None, row.error.as_ref().or(row.job_error.as_ref()).map_or("", String::as_str))) }
                            td.do {
                                @if mine {
                                    (acts::act(look, &RUN, &Offer {
                                        label: words.t("schedules.run"),
                                        about: words.t("schedules.run_about"),
                                        icon: Some("play"),
                                        fixed: &[("name", &name)],
                                        ..Offer::default()
                                    }))
                                    @if row.enabled {
                                        (acts::quick(look, &DISABLE, words.t("schedules.disable"), &[("name", &name)]))
                                    } @else {
                                        (acts::quick(look, &ENABLE, words.t("schedules.enable"), &[("name", &name)]))
                                    }
                                }
                            }
                        }
                    }
                }
            } }
            (shared::next_page(look, "after", &rows, ROWS, |row| row.schedule_id.to_string()))
        }
    };
    Ok(Shown { title: words.t("screens.schedules").to_owned(), body })
}
