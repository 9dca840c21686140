//! What failed and why, by class, and one job that tries all of it again.

use super::shared;
use super::span::{Span, limits};
use crate::web::acts::{self, Act, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, OFTEN, Screen, Shown, Topic};
use crate::web::plot::{Kind, Plot, Series, Tone, real};
use crate::web::reason;
use crate::web::request::Place;
use maud::{PreEscaped, html};

pub(super) const SCREEN: Screen = Screen {
    name: "failures",
    key: 'x',
    icon: "failures",
    group: Some(Group::Messages),
    topics: &[Topic::Status],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static RETRY: Act = Act {
    name: "retry_failed",
    scope: Scope::Operator,
    function: "wa.retry_failed",
    sql: "SELECT wa.retry_failed($1, $2, $3::timestamptz, $4)::text",
    arguments: &["session", "failure", "since", "campaign"],
};
static CANCEL: Act = Act {
    name: "cancel_retry",
    scope: Scope::Operator,
    function: "wa.cancel_retry",
    sql: "SELECT wa.cancel_retry($1::bigint)::text",
    arguments: &["job"],
};

pub(super) const ACTS: &[&Act] = &[&RETRY, &CANCEL];

/// Examples shown. In a campaign, examples of one class are looked for among as many messages of each session.
const ROWS: i64 = 50;
/// Failed messages that are counted.
const COUNTED: i64 = 10_000;

#[expect(clippy::too_many_lines, reason = "the statements, and then the page from its top to its end")]
async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let place = look.place.clone();
    let span = Span::of(&place);
    let (session, class, campaign) = (place.get("session"), place.get("class"), place.get("campaign"));
    let numbers = sqlx::query_file!("sql/web/numbers.sql", session, span.since, span.step, campaign);
    let numbers = numbers.fetch_all(&mut look.tx).await?;
    let every = look.who.tenant.is_none();
    // Examples and the retry are of the time that the plot shows.
    let since = numbers.first().map(|row| row.at);
    let rows = sqlx::query_file!("sql/web/failures.sql", session, class, campaign, every, ROWS, since);
    let rows = rows.fetch_all(&mut look.tx).await?;
    let still =
        sqlx::query_file_scalar!("sql/web/failures_count.sql", session, class, campaign, every, since, COUNTED + 1);
    let still = shared::bounded(still.fetch_one(&mut look.tx).await?, COUNTED);
    let retries = sqlx::query_file!("sql/web/retries.sql").fetch_all(&mut look.tx).await?;
    let classes = sqlx::query_scalar!(
        r#"SELECT class AS "class!" FROM wa.failure_classes() WITH ORDINALITY ORDER BY ordinality"#
    );
    let classes = classes.fetch_all(&mut look.tx).await?;
    let (look, words) = (&*look, look.words);

    let of_class = |failures: &serde_json::Value, class: &str| {
        failures.get(class).and_then(serde_json::Value::as_i64).unwrap_or(0)
    };
    let mut counts: Vec<(&str, i64)> = classes
        .iter()
        .map(|class| (class.as_str(), numbers.iter().map(|row| of_class(&row.failures, class)).sum()))
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: i64 = match class {
        Some(class) => counts.iter().filter(|(name, _)| *name == class).map(|(_, count)| count).sum(),
        None => numbers.iter().map(|row| row.failed).sum(),
    };
    // The plot has the six most frequent ones; a chosen one alone.
    let plotted = counts.iter().filter(|(name, count)| *count > 0 && class.is_none_or(|class| class == *name));
    let tones = [Tone::One, Tone::Two, Tone::Three, Tone::Four, Tone::Five, Tone::Six, Tone::Warn, Tone::Soft];
    let series = plotted.zip(tones).map(|((name, _), tone)| Series {
        label: words.of_value("failure_class", name),
        tone,
        values: numbers.iter().map(|row| Some(real(of_class(&row.failures, name)))).collect(),
    });
    let plot = Plot {
        id: "failures",
        title: words.t("failures.plot"),
        unit: words.of_value("span_step", span.name),
        kind: Kind::Stacked,
        times: numbers.iter().map(|row| row.at).collect(),
        series: series.collect(),
        limit: None,
    };
    // Messages of one campaign have no index by class.
    let chip = |class: &str| {
        let mut chosen = place.clone();
        chosen.query.remove("campaign");
        chosen.query.insert("class".to_owned(), class.to_owned());
        chosen.href()
    };
    let since = since.map(|since| since.format("%Y-%m-%d %H:%M:%S+00").to_string());
    let mut fixed = vec![];
    for (name, value) in [("session", session), ("failure", class), ("since", since.as_deref()), ("campaign", campaign)]
    {
        fixed.extend(value.map(|value| (name, value)));
    }
    let retry_about = format!("{} {}", words.t("failures.retry_about"), words.with("failures.retry_count", &still));
    let retry = Offer {
        label: words.t("failures.retry"),
        about: &retry_about,
        icon: Some("retry"),
        fixed: &fixed,
        ..Offer::default()
    };
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.failures")) }
                p.soft {
                    (words.with("failures.count", format::number(total))) " · " (words.with("failures.still", &still))
                    @if let Some(class) = class {
                        " " a.tag href=(place.with("class", None)) { (words.t("failures.class")) ": " (words.of_value("failure_class", class)) " ×" }
                    }
                    (limits(&place, &[("session", words.t("failures.session")), ("campaign", words.t("failures.campaign"))]))
                }
            }
            div.acts { @if !rows.is_empty() { (acts::act(look, &RETRY, &retry)) } }
        }
        (span.chips(words, &place))
        @for job in &retries {
            @let id = format!("retry-{}", job.id);
            @let (tone, is_over) = match job.status.as_str() {
                "done" => ("good", true),
                "failed" => ("bad", true),
                "cancelled" => ("off", true),
                _ => ("", false),
            };
            section.panel data-key=(id) {
                div class={ "progress " (tone) } {
                    label for=(id) {
                        (words.with("failures.job", job.id)) " "
                        @for limit in [job.session.as_deref(), job.failure.as_deref().map(|class| words.of_value("failure_class", class)), job.campaign.as_deref()].into_iter().flatten() {
                            span.tag { (limit) } " "
                        }
                        (words.of_value("job_status", &job.status))
                    }
                    @if job.status == "running" || is_over {
                        progress id=(id) max=(job.found.max(1)) value=(if job.status == "done" { job.found.max(1) } else { job.done.min(job.found) }) {}
                    } @else {
                        progress id=(id) {}
                    }
                    b { (format::number(job.retried)) " / " (format::number(job.found)) }
                    small { (format::ago(words, Some(job.created_at))) @if let Some(error) = &job.last_error { " · " (reason::said(words, look.zone, None, error)) } }
                }
                @if !is_over {
                    (acts::quick(look, &CANCEL, words.t("failures.cancel"), &[("job", &job.id.to_string())]))
                }
            }
        }
        section.panel {
            (PreEscaped(plot.figure(&look.reader())))
            p.soft.small { (words.t("failures.counted")) }
        }
        section.panel {
            header { h2 { (words.t("failures.by_class")) } }
            div.table { table {
                caption.hidden { (words.t("failures.by_class")) }
                thead { tr {
                    th scope="col" { (words.t("failures.class")) }
                    th scope="col" { (words.t("failures.meaning")) }
                    th.num scope="col" { (words.t("failures.failed")) }
                } }
                tbody {
                    @for (name, count) in &counts {
                        tr data-key={ "class-" (name) } {
                            th scope="row" { a href=(chip(name)) aria-current=[(class == Some(*name)).then_some("true")] { (words.of_value("failure_class", name)) } }
                            td.why { (words.of_value("failure_remedy", name)) }
                            td.num data-label=(words.t("failures.failed")) { (format::number(*count)) }
                        }
                    }
                    @if class.is_none() {
                        tr data-key="class-expired" {
                            th scope="row" { (words.of_value("message_status", "expired")) }
                            td.why { (words.t("failures.expired")) }
                            td.num data-label=(words.t("failures.failed")) { (format::number(numbers.iter().map(|row| row.expired).sum())) }
                        }
                    }
                }
            } }
            @if class.is_some() { p { a href=(place.with("class", None)) { (words.t("failures.all_classes")) } } }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("failures.none")) }
                p { (words.t("failures.none_next")) }
                code.sql { "SELECT * FROM wa.failure WHERE session_id = wa.session_id('shop') ORDER BY failed_at DESC LIMIT 20;" }
            }
        } @else {
            section.panel {
                header { h2 { (words.t("failures.examples")) }
                    @if class.is_some() && campaign.is_some() { p.soft.small { (words.with("failures.looked_at", format::number(ROWS))) } } }
                div.table { table {
                    caption.hidden { (words.t("failures.examples")) }
                    thead { tr {
                        th scope="col" { (words.t("failures.message")) }
                        th scope="col" { (words.t("failures.class")) }
                        th scope="col" { (words.t("failures.session")) }
                        th scope="col" { (words.t("failures.recipient")) }
                        th scope="col" { (words.t("failures.error")) }
                        th scope="col" { (words.t("failures.when")) }
                    } }
                    tbody {
                        @for row in &rows {
                            tr data-key=(row.id) {
                                th scope="row" { a href=(Place::of("message", &row.id.to_string()).href()) { (row.id) } " " span.tag { (words.of_value("message_kind", &row.kind)) } }
                                td {
                                    (format::pill("bad", words.of_value("failure_class", &row.failure)))
                                    @if row.again { small { (words.t("failures.again")) } }
                                }
                                td data-label=(words.t("failures.session")) {
                                    a href=(place.with("session", Some(&row.session))) { (row.session) }
                                    @if let Some(campaign) = &row.campaign { small { a href=(Place::of("campaigns", campaign).href()) { (campaign) } } }
                                }
                                td data-label=(words.t("failures.recipient")) { (row.recipient) }
                                td.why { (reason::said(words, look.zone, None, &row.last_error)) }
                                td data-label=(words.t("failures.when")) { (format::ago(words, row.failed_at)) }
                            }
                        }
                    }
                } }
            }
        }
    };
    Ok(Shown { title: words.t("screens.failures").to_owned(), body })
}
