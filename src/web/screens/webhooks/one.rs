//! One webhook: what it gets, how its receiver answers, and its deliveries.

use super::{milliseconds, state};
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Look, Shown};
use crate::web::plot::{Kind, Plot, Series, Tone};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::screens::shared;
use crate::web::words::Words;
use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};

static TEST: Act = Act {
    name: "test_webhook",
    scope: Scope::Operator,
    function: "wa.test_webhook",
    sql: "SELECT wa.test_webhook($1)",
    arguments: &["name"],
};
static ROTATE: Act = Act {
    name: "rotate_webhook",
    scope: Scope::Operator,
    function: "wa.rotate_webhook",
    sql: "SELECT wa.rotate_webhook($1, coalesce($2::interval, '24 hours'))",
    arguments: &["name", "overlap"],
};
static REPLAY: Act = Act {
    name: "replay_webhook",
    scope: Scope::Operator,
    function: "wa.replay_webhook",
    sql: "SELECT wa.replay_webhook($1, $2::timestamp AT TIME ZONE 'UTC', $3::timestamp AT TIME ZONE 'UTC', coalesce($4::boolean, false))::text",
    arguments: &["name", "since", "until", "only_dead"],
};
static DISABLE: Act = Act {
    name: "disable_webhook",
    scope: Scope::Operator,
    function: "wa.disable_webhook",
    sql: "SELECT wa.disable_webhook($1, $2)::text",
    arguments: &["name", "reason"],
};
static ENABLE: Act = Act {
    name: "enable_webhook",
    scope: Scope::Operator,
    function: "wa.enable_webhook",
    sql: "SELECT wa.enable_webhook($1, $2::timestamp AT TIME ZONE 'UTC')::text",
    arguments: &["name", "since"],
};

pub(super) const ACTS: &[&Act] = &[&TEST, &ROTATE, &REPLAY, &DISABLE, &ENABLE];

/// Deliveries on a page.
const ROWS: i64 = 50;

/// Which deliveries are shown: the latest attempts first, or those with this status.
const LISTS: [&str; 5] = ["latest", "retried", "queued", "waiting", "dead"];

/// A row of `wa.webhooks`.
struct Webhook {
    name: String,
    sessions: Option<Vec<String>>,
    tenants: Option<Vec<String>>,
    url: String,
    kinds: Vec<String>,
    lanes: String,
    format: String,
    batch_size: i32,
    batch_seconds: f64,
    header_names: Vec<String>,
    status: String,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<String>,
    queued: i64,
    dead: i64,
    oldest: Option<DateTime<Utc>>,
    failures: i32,
    failing_since: Option<DateTime<Utc>>,
    next_probe: Option<DateTime<Utc>>,
    last_code: Option<i32>,
    last_error: Option<String>,
    attempted_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    replays: i64,
}

/// A delivery in the table.
struct Delivery {
    id: i64,
    event_id: String,
    r#type: String,
    status: String,
    attempts: i32,
    code: Option<i32>,
    last_error: Option<String>,
    response: Option<String>,
    source: String,
    source_id: Option<i64>,
    happened_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    attempted_at: Option<DateTime<Utc>>,
}

/// Deliveries of each kind that are counted at most, as in `wa.webhooks`.
const COUNTED: i64 = 9999;

pub(super) async fn render(look: &mut Look, id: i64) -> Result<Shown, WebError> {
    let webhook = sqlx::query_file_as!(Webhook, "sql/web/webhook.sql", id);
    let webhook = webhook.fetch_optional(&mut look.tx).await?.ok_or(WebError::NotFound)?;
    let plots = plots(look, id).await?;
    let list = LISTS.into_iter().find(|known| look.place.get("list") == Some(known)).unwrap_or(LISTS[0]);
    let rows = deliveries(look, id, list).await?;
    let look = &*look;
    let words = look.words;
    let body = html! {
        header.head {
            div {
                p.crumbs { a href="/webhooks" { (words.t("screens.webhooks")) } }
                h1 { (webhook.name) " " (state(words, &webhook.status, webhook.failures)) }
                p.soft { (webhook.url) }
            }
            div.acts { (head_acts(look, &webhook)) }
        }
        @if let Some(reason) = &webhook.disabled_reason {
            p class="flash warn" { span { (reason) } " " (format::ago(words, webhook.disabled_at)) }
        } @else if webhook.failures > 0 {
            p class="flash bad" {
                span {
                    @if let Some(code) = webhook.last_code { (code) " " }
                    (reason::said(words, look.zone, None, webhook.last_error.as_deref().unwrap_or_default()))
                }
            }
        }
        div.columns { (receiver(words, &webhook)) (settings(words, &webhook)) }
        (plots)
        section.panel {
            header {
                h2 { (words.t("webhooks.deliveries")) }
                @if list == "dead" && !rows.is_empty() { (replay_dead(look, &webhook)) }
            }
            nav.chips aria-label=(words.t("webhooks.deliveries")) {
                @for known in LISTS {
                    @let place = Place::of("webhooks", &id.to_string());
                    a href=(place.with("list", (known != LISTS[0]).then_some(known))) aria-current=[(known == list).then_some("true")] {
                        (words.of_value("webhook_list", known))
                    }
                }
            }
            (table(look, &rows))
            @if list == "dead" && i64::try_from(rows.len()) == Ok(ROWS) {
                nav.pages aria-label=(words.t("common.pages")) {
                    a rel="next" href=(look.place.with("before", rows.last().map(|row| row.id.to_string()).as_deref())) { (words.t("common.next")) }
                }
            }
        }
    };
    Ok(Shown { title: format!("{} · {}", webhook.name, words.t("screens.webhooks")), body })
}

fn moment<'a>(name: &'static str, label: &'a str, required: bool) -> Field<'a> {
    Field { name, label, kind: "datetime-local", value: None, required }
}

fn head_acts(look: &Look, webhook: &Webhook) -> Markup {
    let words = look.words;
    let fixed: &[_] = &[("name", webhook.name.as_str())];
    let one = |act, icon, label, about, fields: &[Field<'_>]| {
        acts::act(look, act, &Offer { label, about, icon: Some(icon), fixed, fields, ..Offer::default() })
    };
    let since = words.t("webhooks.since");
    html! {
        @if webhook.status == "disabled" {
            (one(&ENABLE, "play", words.t("webhooks.enable"), words.t("webhooks.enable_about"), &[moment("since", words.t("webhooks.since_or_now"), false)]))
        } @else {
            (one(&TEST, "send", words.t("webhooks.test"), words.t("webhooks.test_about"), &[]))
            (one(&REPLAY, "back", words.t("webhooks.replay"), words.t("webhooks.replay_about"), &[
                moment("since", since, true),
                Field { name: "only_dead", label: words.t("webhooks.only_dead"), kind: "checkbox", value: None, required: false },
            ]))
        }
        (acts::act(look, &ROTATE, &Offer {
            label: words.t("webhooks.rotate"),
            about: words.t("webhooks.rotate_about"),
            icon: Some("key"),
            fixed,
            fields: &[Field { name: "overlap", label: words.t("webhooks.overlap"), kind: "text", value: Some("24 hours"), required: true }],
            copies: true,
            ..Offer::default()
        }))
        @if webhook.status != "disabled" {
            (acts::act(look, &DISABLE, &Offer {
                label: words.t("webhooks.disable"),
                about: words.t("webhooks.disable_about"),
                icon: Some("stop"),
                fixed,
                fields: &[Field { name: "reason", label: words.t("webhooks.reason"), kind: "text", value: None, required: false }],
                danger: true,
                ..Offer::default()
            }))
        }
    }
}

fn replay_dead(look: &Look, webhook: &Webhook) -> Markup {
    let words = look.words;
    acts::act(
        look,
        &REPLAY,
        &Offer {
            label: words.t("webhooks.replay_dead"),
            about: words.t("webhooks.replay_dead_about"),
            icon: Some("retry"),
            fixed: &[("name", &webhook.name), ("since", "-infinity"), ("only_dead", "true")],
            ..Offer::default()
        },
    )
}

async fn deliveries(look: &mut Look, id: i64, list: &str) -> Result<Vec<Delivery>, WebError> {
    let (before, tx) = (look.place.number("before"), &mut look.tx);
    // Each is read by an index of its own.
    let rows = match list {
        "retried" => sqlx::query_file_as!(Delivery, "sql/web/webhook_retried.sql", id, ROWS).fetch_all(tx).await,
        "queued" => sqlx::query_file_as!(Delivery, "sql/web/webhook_queued.sql", id, ROWS).fetch_all(tx).await,
        "waiting" => sqlx::query_file_as!(Delivery, "sql/web/webhook_waiting.sql", id, ROWS).fetch_all(tx).await,
        "dead" => sqlx::query_file_as!(Delivery, "sql/web/webhook_dead.sql", id, before, ROWS).fetch_all(tx).await,
        _ => sqlx::query_file_as!(Delivery, "sql/webhooks/latest.sql", id, ROWS).fetch_all(tx).await,
    };
    Ok(rows?)
}

/// How the receiver answers.
fn receiver(words: &Words, webhook: &Webhook) -> Markup {
    html! {
        section.panel {
            header { h2 { (words.t("webhooks.receiver")) } }
            dl.facts {
                dt { (words.t("webhooks.queued")) } dd {
                    (shared::bounded(webhook.queued, COUNTED))
                    @if webhook.oldest.is_some() { " · " (words.t("webhooks.oldest")) " " (format::ago(words, webhook.oldest)) }
                }
                dt { (words.t("webhooks.dead")) } dd { (shared::bounded(webhook.dead, COUNTED)) }
                dt { (words.t("webhooks.delivered")) } dd { (format::ago(words, webhook.delivered_at)) }
                dt { (words.t("webhooks.attempted")) } dd { (format::ago(words, webhook.attempted_at)) }
                dt { (words.t("webhooks.failures")) } dd {
                    (format::number(webhook.failures.into()))
                    @if webhook.failing_since.is_some() { " · " (words.t("webhooks.since_when")) " " (format::ago(words, webhook.failing_since)) }
                }
                @if let Some(at) = webhook.next_probe {
                    dt { (words.t("webhooks.next_probe")) } dd { (format::until(at)) p class="soft small" { (words.t("webhooks.breaker")) } }
                }
                @if webhook.replays > 0 { dt { (words.t("webhooks.replays")) } dd { (format::number(webhook.replays)) } }
            }
        }
    }
}

/// What the webhook gets, and in which form.
fn settings(words: &Words, webhook: &Webhook) -> Markup {
    html! {
        section.panel {
            header { h2 { (words.t("webhooks.settings")) } }
            dl.facts {
                dt { (words.t("webhooks.kinds")) } dd { (webhook.kinds.join(", ")) }
                dt { (words.t("webhooks.sessions")) } dd {
                    @if let Some(sessions) = &webhook.sessions {
                        @for (place, session) in sessions.iter().enumerate() {
                            @if place > 0 { ", " }
                            (shared::session_link(session))
                        }
                    } @else { (webhook.tenants.as_ref().map_or_else(|| words.t("webhooks.all").to_owned(), |tenants| tenants.join(", "))) }
                }
                dt { (words.t("webhooks.lanes")) } dd { (words.of_value("webhook_lanes", &webhook.lanes)) }
                dt { (words.t("webhooks.format")) } dd { (words.of_value("webhook_format", &webhook.format)) }
                dt { (words.t("webhooks.batch")) } dd {
                    @if webhook.batch_size > 1 { (webhook.batch_size) " · " (milliseconds(words, webhook.batch_seconds)) }
                    @else { (words.t("common.none")) }
                }
                dt { (words.t("webhooks.headers")) } dd {
                    @if webhook.header_names.is_empty() { (words.t("common.none")) } @else { (webhook.header_names.join(", ")) }
                }
                dt { (words.t("webhooks.added")) } dd { (format::ago(words, Some(webhook.created_at))) }
            }
        }
    }
}

/// Rate and latency of the last hour.
async fn plots(look: &mut Look, id: i64) -> Result<Markup, WebError> {
    let minutes = sqlx::query_file!("sql/web/webhook_numbers.sql", id).fetch_all(&mut look.tx).await?;
    let words = look.words;
    let times: Vec<_> = minutes.iter().map(|minute| minute.at).collect();
    let counts = [
        ("webhooks.delivered_count", Tone::One, minutes.iter().map(|it| Some(it.delivered)).collect()),
        ("webhooks.failed_count", Tone::Warn, minutes.iter().map(|it| Some(it.failed)).collect()),
        ("webhooks.dead", Tone::Bad, minutes.iter().map(|it| Some(it.dead)).collect()),
    ];
    let rate = Plot {
        id: "rate",
        title: words.t("webhooks.rate"),
        unit: words.t("webhooks.a_minute"),
        kind: Kind::Stacked,
        times: times.clone(),
        series: counts
            .into_iter()
            .map(|(label, tone, values)| Series { label: words.t(label), tone, values })
            .collect(),
        limit: None,
    };
    let latency = Plot {
        id: "latency",
        title: words.t("webhooks.latency_plot"),
        unit: words.t("delivery.seconds"),
        kind: Kind::Lines,
        times,
        series: vec![
            Series {
                label: words.t("delivery.median"),
                tone: Tone::One,
                values: minutes.iter().map(|it| it.median_seconds).collect(),
            },
            Series {
                label: words.t("delivery.p95"),
                tone: Tone::Two,
                values: minutes.iter().map(|it| it.p95_seconds).collect(),
            },
        ],
        limit: None,
    };
    Ok(html! {
        div.columns {
            section.panel { (PreEscaped(rate.figure(&look.reader()))) }
            section.panel { (PreEscaped(latency.figure(&look.reader()))) }
        }
    })
}

/// The state of a delivery; one that has failed and is tried again is `retried`.
fn delivery_state(words: &Words, row: &Delivery) -> Markup {
    let (tone, state) = match row.status.as_str() {
        "done" => ("good", "done"),
        "dead" => ("bad", "dead"),
        "queued" if row.attempts > 0 => ("warn", "retried"),
        "queued" => ("busy", "queued"),
        other => ("off", other),
    };
    format::pill(tone, words.of_value("delivery_state", state))
}

fn table(look: &Look, rows: &[Delivery]) -> Markup {
    let words = look.words;
    if rows.is_empty() {
        return html! { p.soft { (words.t("webhooks.no_deliveries")) } };
    }
    html! {
        div.table { table {
            caption.hidden { (words.t("webhooks.deliveries")) }
            thead { tr {
                th scope="col" { (words.t("webhooks.event")) }
                th scope="col" { (words.t("webhooks.state")) }
                th.num scope="col" { (words.t("webhooks.code")) }
                th.num scope="col" { (words.t("webhooks.attempts")) }
                th scope="col" { (words.t("webhooks.happened")) }
                th scope="col" { (words.t("webhooks.attempted")) }
                th scope="col" { (words.t("webhooks.answer")) }
            } }
            tbody {
                @for row in rows {
                    tr data-key=(row.id) {
                        th scope="row" {
                            @if let (Some(id), "outbound") = (row.source_id, row.source.as_str()) {
                                a href=(Place::of("message", &id.to_string()).href()) { (row.r#type) }
                            } @else { (row.r#type) }
                            small { (row.event_id) }
                        }
                        td {
                            (delivery_state(words, row))
                            @if row.status == "queued" && row.attempts > 0 { small { (format::until(row.run_at)) } }
                        }
                        td.num data-label=(words.t("webhooks.code")) { @if let Some(code) = row.code { (code) } }
                        td.num data-label=(words.t("webhooks.attempts")) { (row.attempts) }
                        td data-label=(words.t("webhooks.happened")) { (format::ago(words, Some(row.happened_at))) }
                        td data-label=(words.t("webhooks.attempted")) { @if row.attempted_at.is_some() { (format::ago(words, row.attempted_at)) } }
                        td.why data-label=(words.t("webhooks.answer")) {
                            @if row.status != "done" {
                                @if let Some(error) = &row.last_error { (reason::said(words, look.zone, None, error)) }
                                @if let Some(response) = row.response.as_deref().filter(|it| !it.is_empty()) {
                                    details data-key={ "response-" (row.id) } {
                                        summary { small { (words.t("webhooks.response")) } }
                                        code.sql { (response) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        } }
    }
}
