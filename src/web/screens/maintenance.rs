//! Housekeeping: the jobs that run with their counts, and the last ones. It works on all tenants, so it is shown only to
//! those who see all of them.

use super::schedules::job_status;
use super::shared;
use crate::web::acts::{self, Act};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, OFTEN, Screen, Shown, Topic};
use crate::web::reason;
use maud::{Markup, html};
use serde_json::Value;

pub(super) const SCREEN: Screen = Screen {
    name: "maintenance",
    key: 'm',
    icon: "maintenance",
    group: Some(Group::Operation),
    topics: &[Topic::Job],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static RETRY: Act = Act {
    name: "retry_maintenance_job",
    scope: Scope::Admin,
    function: "wa.retry_maintenance_job",
    sql: "SELECT wa.retry_maintenance_job($1::bigint)::text",
    arguments: &["id"],
};
static CANCEL: Act = Act {
    name: "cancel_maintenance_job",
    scope: Scope::Admin,
    function: "wa.cancel_maintenance_job",
    sql: "SELECT wa.cancel_maintenance_job($1::bigint)::text",
    arguments: &["id"],
};

pub(super) const ACTS: &[&Act] = &[&RETRY, &CANCEL];

/// Jobs on a page, and among how many they are looked for: some kinds run each minute.
const ROWS: i64 = 50;
const AMONG: i64 = 20_000;
/// Queued and running jobs that are shown.
const LIVE: i64 = 20;

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    if look.who.tenant.is_some() {
        return Ok(of_one_tenant(look));
    }
    let live = sqlx::query_file!("sql/web/maintenance_live.sql", LIVE).fetch_all(&mut look.tx).await?;
    let kinds = sqlx::query_file_scalar!("sql/web/maintenance_kinds.sql").fetch_all(&mut look.tx).await?;
    let place = &look.place;
    let (before, kind, status) = (place.number("before"), place.get("kind"), place.get("status"));
    let rows =
        sqlx::query_file!("sql/web/maintenance.sql", before, kind, status, ROWS, AMONG).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let chip = |key: &str, value: &str, word: &str| {
        html! {
            a href=(place.with(key, Some(value))) aria-current=[(place.get(key) == Some(value)).then_some("true")] { (word) }
        }
    };
    let body = html! {
        (head(look))
        section.panel {
            header { h2 { (words.t("maintenance.live")) } }
            @if live.is_empty() { p.soft { (words.t("maintenance.idle")) } }
            @for job in &live {
                @let id = job.id.to_string();
                @let running = job.status == "running";
                div class=(if running { "progress" } else { "progress off" }) data-key={ "live-" (id) } {
                    label for={ "job-" (id) } { (job.kind) " " span.soft { (words.with("schedules.job_id", &id)) } }
                    // How much there is to do is not known beforehand.
                    @if running { progress id={ "job-" (id) } {} }
                    @else { progress id={ "job-" (id) } max="1" value="0" {} }
                    b { @if let Some(result) = &job.result { (counts(result)) } @else { (words.of_value("run_status", &job.status)) } }
                    small {
                        @if let Some(started) = job.started_at.filter(|_| running) { (format::ago(words, Some(started))) }
                        @else { (format::until(job.run_at)) }
                        @if job.attempts > 0 { " · " (words.with("maintenance.attempt", job.attempts)) }
                    }
                }
                (acts::quick(look, &CANCEL, words.t("maintenance.cancel"), &[("id", &id)]))
            }
        }
        nav.chips aria-label=(words.t("maintenance.filter")) {
            a href="/maintenance" aria-current=[(kind.is_none() && status.is_none()).then_some("true")] { (words.t("maintenance.all")) }
            (chip("status", "failed", words.of_value("run_status", "failed")))
            @for kind in &kinds { (chip("kind", kind, kind)) }
        }
        @if rows.is_empty() {
            (none(look))
        } @else {
            div.table { table {
                caption.hidden { (words.t("maintenance.last")) }
                thead { tr {
                    th scope="col" { (words.t("maintenance.job")) }
                    th scope="col" { (words.t("maintenance.state")) }
                    th scope="col" { (words.t("maintenance.ended")) }
                    th.num scope="col" { (words.t("maintenance.seconds")) }
                    th.num scope="col" { (words.t("maintenance.attempts")) }
                    th scope="col" { (words.t("maintenance.result")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let id = row.id.to_string();
                        tr data-key=(id) {
                            th scope="row" {
                                (row.kind) " " span.soft { (id) }
                                @if let Some(schedule) = &row.schedule { small { (words.with("maintenance.schedule", schedule)) } }
                            }
                            td { (job_status(words, &row.status)) }
                            td data-label=(words.t("maintenance.ended")) {
                                @if row.finished_at.is_some() { (format::ago(words, row.finished_at)) }
                            }
                            td.num data-label=(words.t("maintenance.seconds")) {
                                @if let (Some(started), Some(ended)) = (row.started_at, row.finished_at) {
                                    (format::number((ended - started).num_seconds().max(0)))
                                }
                            }
                            td.num data-label=(words.t("maintenance.attempts")) { (row.attempts) " / " (row.max_attempts) }
                            td.why data-label=(words.t("maintenance.result")) {
                                @if let Some(error) = row.last_error.as_ref().filter(|_| row.status != "done") { (reason::said(words, look.zone, None, error)) }
                                @else if let Some(result) = &row.result { (counts(result)) }
                            }
                            td.do {
                                @if matches!(row.status.as_str(), "failed" | "cancelled") {
                                    (acts::quick(look, &RETRY, words.t("maintenance.retry"), &[("id", &id)]))
                                } @else if matches!(row.status.as_str(), "queued" | "running") {
                                    (acts::quick(look, &CANCEL, words.t("maintenance.cancel"), &[("id", &id)]))
                                }
                            }
                        }
                    }
                }
            } }
            (shared::next_page(look, "before", &rows, ROWS, |row| row.id.to_string()))
        }
    };
    Ok(Shown { title: words.t("screens.maintenance").to_owned(), body })
}

fn head(look: &Look) -> Markup {
    html! {
        header.head {
            div {
                h1 { (look.words.t("screens.maintenance")) }
                p.soft { (look.words.t("maintenance.about")) }
            }
        }
    }
}

/// What stands in the place of the last jobs without one.
fn none(look: &Look) -> Markup {
    html! {
        div.empty {
            h2 { (look.words.t("maintenance.none")) }
            p { (look.words.t("maintenance.run")) }
            code.sql { "SELECT wa.run_now('retention');" }
        }
    }
}

/// What somebody sees who has one tenant.
fn of_one_tenant(look: &Look) -> Shown {
    let words = look.words;
    let body = html! {
        (head(look))
        div.empty {
            h2 { (words.t("maintenance.not_yours")) }
            p { (words.t("maintenance.not_yours_about")) }
            p { a href="/schedules" { (words.t("screens.schedules")) } }
        }
    };
    Shown { title: words.t("screens.maintenance").to_owned(), body }
}

/// The counts of a job, as `deleted 12 · tokens 3`; those that are 0 are left out, unless all are.
fn counts(result: &Value) -> String {
    let mut shown = Vec::new();
    add_counts("", result, &mut shown);
    if shown.is_empty() { "0".to_owned() } else { shown.join(" · ") }
}

fn add_counts(name: &str, value: &Value, shown: &mut Vec<String>) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner {
                add_counts(key, value, shown);
            }
        }
        Value::Number(number) => match number.as_i64() {
            Some(0) => {}
            Some(count) => shown.push(format!("{name} {}", format::number(count))),
            None => shown.push(format!("{name} {number}")),
        },
        Value::String(text) => shown.push(format!("{name} {text}")),
        Value::Bool(true) => shown.push(name.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn h2_the_counts_of_a_job_are_said_in_one_line() {
        assert_eq!(counts(&json!({ "deleted": 12, "kinds": { "b": 0, "c": 3 }, "reason": null })), "deleted 12 · c 3");
        assert_eq!(counts(&json!({ "closed": 0 })), "0");
    }
}
