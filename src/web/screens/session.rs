//! One session: its state and why it does not send, the QR code while it is linked, its queue, its settings, its events.

use super::shared;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::identity::Scope;
use crate::web::look::{Look, Screen, Shown, Topic};
use crate::web::plot::{Kind, Limit, Plot, Series, Tone};
use crate::web::request::Place;
use crate::web::words::Words;
use crate::web::{format, qr};
use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use uuid::Uuid;

pub(super) const SCREEN: Screen = Screen {
    name: "session",
    key: 's',
    icon: "phone",
    group: None,
    topics: &[Topic::Session, Topic::Event, Topic::Job],
    render: |look| Box::pin(render(look)),
};

static LINK: Act = Act {
    name: "link",
    scope: Scope::Operator,
    function: "wa.link",
    sql: "SELECT wa.link($1, $2)::text",
    arguments: &["session", "phone"],
};
static LINK_URL: Act = Act {
    name: "link_url",
    scope: Scope::Operator,
    function: "wa.link_url",
    sql: "SELECT wa.link_url($1, coalesce($2::interval, '30 min'))",
    arguments: &["session", "valid"],
};
static REVOKE_LINK: Act = Act {
    name: "revoke_link",
    scope: Scope::Operator,
    function: "wa.revoke_link",
    sql: "SELECT wa.revoke_link($1)::text",
    arguments: &["session"],
};
static CONFIRM_PASSKEY: Act = Act {
    name: "confirm_passkey",
    scope: Scope::Operator,
    function: "wa.confirm_passkey",
    sql: "SELECT wa.confirm_passkey($1, $2)::text",
    arguments: &["session", "code"],
};
static LOGOUT: Act = Act {
    name: "logout",
    scope: Scope::Operator,
    function: "wa.logout",
    sql: "SELECT wa.logout($1, $2, coalesce($3::boolean, false))::text",
    arguments: &["session", "reason", "force"],
};
static RESTORE_AUTH: Act = Act {
    name: "restore_auth",
    scope: Scope::Operator,
    function: "wa.restore_auth",
    sql: "SELECT wa.restore_auth($1)::text",
    arguments: &["session"],
};
static MOVE: Act = Act {
    name: "move_session",
    scope: Scope::Admin,
    function: "wa.move_session",
    sql: "SELECT wa.move_session($1, $2::uuid)::text",
    arguments: &["session", "worker_id"],
};
static SET_PACING: Act = Act {
    name: "set_pacing",
    scope: Scope::Operator,
    function: "wa.set_pacing",
    sql: "SELECT wa.set_pacing($1, $2::float8, $3::integer, $4::interval, $5::integer, $6::time, $7::time, $8, $9::boolean)::text",
    arguments: &[
        "session",
        "per_minute",
        "burst",
        "jitter",
        "first_contacts",
        "quiet_from",
        "quiet_until",
        "time_zone",
        "typing",
    ],
};
static CLEAR_PACING: Act = Act {
    name: "clear_pacing",
    scope: Scope::Operator,
    function: "wa.clear_pacing",
    sql: "SELECT wa.clear_pacing($1, $2)::text",
    arguments: &["session", "what"],
};
static SET_PROXY: Act = Act {
    name: "set_proxy",
    scope: Scope::Operator,
    function: "wa.set_proxy",
    sql: "SELECT wa.set_proxy($1, $2)::text",
    arguments: &["session", "url"],
};
static SET_CRYPTO_LIMITS: Act = Act {
    name: "set_crypto_limits",
    scope: Scope::Operator,
    function: "wa.set_crypto_limits",
    sql: "SELECT wa.set_crypto_limits($1, coalesce($2::integer, 3), coalesce($3::integer, 5), coalesce($4::boolean, false))::text",
    arguments: &["session", "bad_macs", "bad_decrypts", "relink"],
};
static SET_REGION: Act = Act {
    name: "set_region",
    scope: Scope::Operator,
    function: "wa.set_region",
    sql: "SELECT wa.set_region($1, $2)::text",
    arguments: &["session", "region"],
};
static KEEP_PAST: Act = Act {
    name: "keep_past",
    scope: Scope::Operator,
    function: "wa.keep_past",
    sql: "SELECT wa.keep_past($1, $2::boolean)::text",
    arguments: &["session", "keep"],
};
static RETRY_JOB: Act = Act {
    name: "retry_session_job",
    scope: Scope::Operator,
    function: "wa.retry_session_job",
    sql: "SELECT wa.retry_session_job($1::bigint)::text",
    arguments: &["id"],
};
static CANCEL_JOB: Act = Act {
    name: "cancel_session_job",
    scope: Scope::Operator,
    function: "wa.cancel_session_job",
    sql: "SELECT wa.cancel_session_job($1::bigint)::text",
    arguments: &["id"],
};

pub(super) const ACTS: &[&Act] = &[
    &LINK,
    &LINK_URL,
    &REVOKE_LINK,
    &CONFIRM_PASSKEY,
    &LOGOUT,
    &RESTORE_AUTH,
    &MOVE,
    &SET_PACING,
    &CLEAR_PACING,
    &SET_PROXY,
    &SET_CRYPTO_LIMITS,
    &SET_REGION,
    &KEEP_PAST,
    &RETRY_JOB,
    &CANCEL_JOB,
];

/// Events on a page.
const EVENTS: i64 = 100;
/// Failed messages that the overview shows.
const FAILED: i64 = 5;
const TABS: [&str; 3] = ["overview", "events", "settings"];

/// What the page reads of a session.
#[expect(clippy::struct_excessive_bools, reason = "columns of a row")]
struct Session {
    id: i64,
    name: String,
    tenant: String,
    created_at: DateTime<Utc>,
    status: String,
    status_reason: Option<String>,
    status_at: DateTime<Utc>,
    desired: String,
    connected_at: Option<DateTime<Utc>>,
    checked_at: Option<DateTime<Utc>>,
    failures: i32,
    rest_until: Option<DateTime<Utc>>,
    phone: Option<String>,
    jid: Option<String>,
    limit_reason: Option<String>,
    limited_until: Option<DateTime<Utc>>,
    bad_macs: i32,
    bad_mac_limit: i32,
    bad_decrypts: i32,
    bad_decrypt_limit: i32,
    relink_at_limit: bool,
    paused_at: Option<DateTime<Utc>>,
    paused_by: Option<String>,
    paused_reason: Option<String>,
    proxy: Option<String>,
    region: Option<String>,
    keep_past: bool,
    qr: Option<String>,
    qr_expires_at: Option<DateTime<Utc>>,
    code: Option<String>,
    code_expires_at: Option<DateTime<Utc>>,
    epoch: Option<i64>,
    taken_at: Option<DateTime<Utc>>,
    unsettled: bool,
    host: Option<String>,
    pid: Option<i32>,
    version: Option<String>,
    draining: bool,
    wanted: Option<Uuid>,
    paced: bool,
    per_minute: Option<f64>,
    burst: Option<i32>,
    jitter: Option<String>,
    first_contacts: Option<i32>,
    quiet_from: Option<String>,
    quiet_until: Option<String>,
    time_zone: Option<String>,
    typing: Option<bool>,
    contacts_today: i32,
    gate_until: Option<DateTime<Utc>>,
    passkey_stage: Option<String>,
    passkey_code: Option<String>,
    passkey_error: Option<String>,
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let name = look.place.item.clone().ok_or(WebError::NotFound)?;
    // Whoever sees the codes can link a phone of their own.
    let is_operator = look.who.scope >= Scope::Operator;
    let session = sqlx::query_file_as!(Session, "sql/web/session.sql", name, is_operator);
    let session = session.fetch_optional(&mut look.tx).await?.ok_or(WebError::NotFound)?;
    let tab = look.place.get("tab").and_then(|tab| TABS.into_iter().find(|known| *known == tab)).unwrap_or("overview");
    let content = match tab {
        "events" => events(look, &session).await?,
        "settings" => settings(look, &session).await?,
        _ => overview(look, &session).await?,
    };
    let words = look.words;
    let body = html! {
        (head(look, &session))
        nav.tabs aria-label=(words.t("session.tabs")) {
            @for known in TABS {
                @let href = Place::of("session", &name).with("tab", (known != "overview").then_some(known));
                a href=(href) aria-current=[(known == tab).then_some("page")] { (words.of_value("session_tab", known)) }
            }
        }
        (content)
    };
    Ok(Shown { title: name, body, live: true })
}

fn head(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    html! {
        header.head {
            div {
                p.crumbs { a href="/fleet" { (words.t("screens.fleet")) } }
                h1 {
                    (session.name) " " (format::session_status(words, &session.status))
                    @if session.paused_at.is_some() { " " (format::pill("warn", words.t("session.paused"))) }
                }
                p.soft {
                    @if let Some(phone) = &session.phone { "+" (phone) } @else { (words.t("session.no_phone")) }
                    " · " a href=(Place::screen("fleet").with("tenant", Some(&session.tenant))) { (session.tenant) }
                }
            }
            div.acts { (head_acts(look, session)) }
        }
    }
}

fn head_acts(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    let fixed: &[_] = &[("session", session.name.as_str())];
    let reason = [text("reason", words.t("session.reason"), None)];
    let plain = |one, icon, label, about, fields: &[Field<'_>]| {
        acts::act(look, one, &Offer { label, about, icon: Some(icon), fixed, fields, danger: false })
    };
    let is_linked = session.jid.is_some();
    html! {
        @if session.paused_at.is_some() {
            (plain(&shared::RESUME, "play", words.t("session.resume"), words.t("session.resume_about"), &[]))
        } @else {
            (plain(&shared::PAUSE, "pause", words.t("session.pause"), words.t("session.pause_about"), &reason))
        }
        @if is_linked && session.status != "connected" {
            (plain(&shared::CONNECT, "link", words.t("session.connect"), words.t("session.connect_about"), &[]))
        }
        @if session.desired == "connected" {
            (plain(&shared::CLOSE, "stop", words.t("session.close"), words.t("session.close_about"), &reason))
        }
        @if !is_linked {
            (plain(&LINK, "qr", words.t("session.link"), words.t("session.link_about"),
                &[Field { kind: "tel", ..text("phone", words.t("session.phone_for_code"), None) }]))
            (plain(&LINK_URL, "out", words.t("session.link_url"), words.t("session.link_url_about"),
                &[text("valid", words.t("session.valid"), Some("30 min"))]))
        }
        @if session.status == "logged_out" {
            (plain(&RESTORE_AUTH, "retry", words.t("session.restore_auth"), words.t("session.restore_auth_about"), &[]))
        }
        @if is_linked {
            (acts::act(look, &LOGOUT, &Offer {
                label: words.t("session.logout"), about: words.t("session.logout_about"), icon: Some("unlink"), fixed,
                fields: &[
                    text("reason", words.t("session.reason"), None),
                    Field { kind: "checkbox", ..text("force", words.t("session.force"), None) },
                ],
                danger: true,
            }))
        }
    }
}

async fn overview(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
    let why = sqlx::query!(r#"SELECT reason, stuck AS "stuck!" FROM wa.reasons(ARRAY[$1::text])"#, session.name);
    let why = why.fetch_optional(&mut look.tx).await?;
    let (reason, stuck) = why.map_or((None, false), |why| (why.reason, why.stuck));
    let rate = rate(look, session).await?;
    let queued = shared::counts(look, session.id, &session.name).await?;
    let failed = sqlx::query_file!("sql/web/session_errors.sql", session.id, FAILED).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let tone = if reason.is_none() {
        "good"
    } else if stuck {
        "bad"
    } else {
        "warn"
    };
    Ok(html! {
        p class={ "flash " (tone) } {
            span { (reason.as_deref().unwrap_or(words.t("session.nothing"))) }
            " " code.sql { (WHY.call(&[Some(&session.name)])) }
        }
        (linking(look, session))
        div.columns {
            (health(words, session))
            (connection(words, session))
        }
        (queued)
        (rate)
        section.panel {
            header { h2 { (words.t("session.last_errors")) } }
            @if failed.is_empty() { p.soft { (words.t("session.no_errors")) } } @else {
                ol.timeline {
                    @for one in &failed {
                        li.bad data-key=(one.id) {
                            (format::ago(words, Some(one.failed_at)))
                            b { a href=(Place::of("message", &one.id.to_string()).href()) { (one.kind) " → " (one.recipient) } }
                            @if let Some(error) = &one.last_error { p class="soft small" { (error) } }
                        }
                    }
                }
            }
        }
    })
}

/// Only for showing the call.
static WHY: Act =
    Act { name: "why", scope: Scope::Viewer, function: "wa.why", sql: "SELECT wa.why($1)", arguments: &["session"] };

/// The codes of a session that is being linked.
fn linking(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    if session.status != "linking" && session.passkey_stage.is_none() {
        return html! {};
    }
    html! {
        section.panel {
            header { h2 { (words.t("session.linking")) } }
            @if look.who.scope < Scope::Operator {
                p.soft { (words.t("session.codes_hidden")) }
            } @else {
                @if let Some(svg) = session.qr.as_deref().and_then(qr::svg) {
                    div.qr { div role="img" aria-label=(words.t("session.qr")) { (PreEscaped(svg)) } }
                    @if let Some(end) = session.qr_expires_at {
                        p.count-down { (words.t("session.qr_until")) " " (format::clock(end)) }
                    }
                }
                @if let Some(code) = &session.code {
                    p { (words.t("session.code")) }
                    (letters(code))
                    @if let Some(end) = session.code_expires_at {
                        p.count-down { (words.t("session.code_until")) " " (format::clock(end)) }
                    }
                }
                @if let Some(stage) = &session.passkey_stage {
                    p { (words.t("session.passkey")) " " span.tag { (stage) } }
                    @if let Some(error) = &session.passkey_error { p.why { (error) } }
                    @if let (Some(code), "code") = (&session.passkey_code, stage.as_str()) {
                        p { (words.t("session.passkey_compare")) }
                        (letters(code))
                        div.acts {
                            (acts::act(look, &CONFIRM_PASSKEY, &Offer {
                                label: words.t("session.confirm_passkey"), about: words.t("session.confirm_passkey_about"), icon: Some("check"),
                                fixed: &[("session", &session.name), ("code", code)], ..Offer::default()
                            }))
                        }
                    }
                }
            }
        }
    }
}

fn letters(code: &str) -> Markup {
    html! {
        p class="letters" aria-label=(code) {
            @for letter in code.chars() {
                @if letter == '-' { i { "–" } } @else { span { (letter) } }
            }
        }
    }
}

fn health(words: &Words, session: &Session) -> Markup {
    let of_limit = |errors: i32, limit: i32| {
        let tone = if errors >= limit {
            "bad"
        } else if errors > 0 {
            "warn"
        } else {
            "good"
        };
        format::pill(tone, &format!("{errors} / {limit}"))
    };
    html! {
        section.panel {
            header { h2 { (words.t("session.health")) } }
            dl.facts {
                dt { (words.t("session.since")) } dd { (format::ago(words, Some(session.status_at)))
                    @if let Some(reason) = &session.status_reason { p class="soft small" { (reason) } } }
                dt { (words.t("session.wish")) } dd { (words.of_value("session_wish", &session.desired)) }
                @if let Some(paused_at) = session.paused_at {
                    dt { (words.t("session.paused")) } dd {
                        (format::ago(words, Some(paused_at)))
                        " · " (session.paused_by.as_deref().unwrap_or(words.t("session.its_worker")))
                        @if let Some(reason) = &session.paused_reason { p class="soft small" { (reason) } }
                    }
                }
                @if let Some(limit) = &session.limit_reason {
                    dt { (words.t("session.limited")) } dd { (format::pill("bad", limit))
                        @if let Some(until) = session.limited_until { " " (format::until(until)) } }
                }
                dt { (words.t("session.bad_macs")) } dd { (of_limit(session.bad_macs, session.bad_mac_limit)) }
                dt { (words.t("session.bad_decrypts")) } dd { (of_limit(session.bad_decrypts, session.bad_decrypt_limit)) }
                dt { (words.t("session.failures")) } dd { (session.failures)
                    @if let Some(until) = session.rest_until { " · " (words.t("session.rests")) " " (format::until(until)) } }
                dt { (words.t("session.checked")) } dd { (format::ago(words, session.checked_at)) }
            }
        }
    }
}

fn connection(words: &Words, session: &Session) -> Markup {
    html! {
        section.panel {
            header { h2 { (words.t("session.connection")) } }
            dl.facts {
                dt { (words.t("session.connected_at")) } dd { (format::ago(words, session.connected_at)) }
                dt { (words.t("session.worker")) } dd {
                    @if let (Some(host), Some(pid)) = (&session.host, session.pid) {
                        (host) " " span.soft { (pid) @if let Some(version) = &session.version { " · " (version) } }
                        @if session.draining { " " (format::pill("warn", words.t("session.draining"))) }
                    } @else { span.soft { (words.t("session.no_worker")) } }
                }
                @if let Some(wanted) = session.wanted {
                    dt { (words.t("session.wanted")) } dd { code { (wanted) } }
                }
                dt { (words.t("session.lease")) } dd {
                    @if let Some(epoch) = session.epoch { (words.with("session.epoch", epoch)) }
                    @if let (Some(taken_at), true) = (session.taken_at, session.host.is_some()) { " · " (format::ago(words, Some(taken_at))) }
                    @if session.unsettled { " " (format::pill("warn", words.t("session.unsettled"))) }
                }
                dt { (words.t("session.proxy")) } dd { (session.proxy.as_deref().unwrap_or(words.t("common.none"))) }
                dt { (words.t("session.added")) } dd { (format::ago(words, Some(session.created_at))) }
            }
        }
    }
}

/// A count as a number of a plot.
fn real(count: i64) -> f64 {
    f64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

/// What it sent in the last hour against its pacing.
async fn rate(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
    let minutes = sqlx::query_file!("sql/web/session_rate.sql", session.name).fetch_all(&mut look.tx).await?;
    let words = look.words;
    let last_hour: i64 = minutes.iter().map(|minute| minute.sent).sum();
    // The current minute is not written yet.
    let last_minute = minutes.iter().rev().skip(1).map(|minute| minute.sent).next().unwrap_or(0);
    let most = minutes.iter().map(|minute| minute.sent).max().unwrap_or(0);
    let plot = Plot {
        id: "rate",
        title: words.t("session.rate"),
        unit: words.t("session.a_minute"),
        kind: Kind::Bars,
        times: minutes.iter().map(|minute| minute.at).collect(),
        series: vec![
            Series {
                label: words.t("session.sent"),
                tone: Tone::One,
                values: minutes.iter().map(|it| Some(real(it.sent))).collect(),
            },
            Series {
                label: words.t("session.failed"),
                tone: Tone::Bad,
                values: minutes.iter().map(|it| Some(real(it.failed))).collect(),
            },
        ],
        limit: session.per_minute.map(|value| Limit { value, label: words.t("session.pacing") }),
    };
    let each_minute = |value: f64| format!("{value} {}", words.t("session.per_minute_short"));
    Ok(html! {
        section.panel {
            (PreEscaped(plot.figure(&look.reader())))
            dl.facts {
                dt { (words.t("session.last_minute")) } dd { (format::number(last_minute)) }
                dt { (words.t("session.last_hour")) } dd { (format::number(last_hour)) }
                dt { (words.t("session.most")) } dd { (format::number(most)) }
                dt { (words.t("session.pacing")) } dd {
                    (session.per_minute.map_or_else(|| words.t("session.no_limit").to_owned(), each_minute))
                    @if let Some(gate) = session.gate_until { " · " (words.t("session.gate")) " " (format::until(gate)) }
                }
                @if let Some(limit) = session.first_contacts {
                    dt { (words.t("session.first_contacts_today")) } dd { (session.contacts_today) " / " (limit) }
                }
            }
        }
    })
}

async fn events(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
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
                            b { (job.kind) } " " (format::pill(tone, words.of_value("session_job_status", &job.status)))
                            @if job.status == "queued" { " " (format::until(job.run_at)) }
                            @if job.attempts > 1 { " " span.soft { (words.with("session.attempts", job.attempts)) } }
                            @if let Some(reason) = &job.reason { p class="soft small" { (reason) } }
                            @if let Some(error) = &job.last_error { p class="soft small" { (error) } }
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
                            b { (event.kind) }
                            @if event.data.as_object().is_some_and(|data| !data.is_empty()) { p class="soft small" { (details(&event.data)) } }
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

/// The details of an event: `from: connecting · reason: stream error`.
fn details(data: &Value) -> String {
    let one = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{key}: {text}")),
        other => Some(format!("{key}: {other}")),
    };
    data.as_object().map_or_else(String::new, |data| data.iter().filter_map(one).collect::<Vec<_>>().join(" · "))
}

async fn settings(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
    let workers = if look.who.scope >= Scope::Admin {
        sqlx::query_file!("sql/web/session_workers.sql").fetch_all(&mut look.tx).await?
    } else {
        vec![]
    };
    let look = &*look;
    let words = look.words;
    let fixed = [("session", session.name.as_str())];
    let size = |held: i64, most: i32| format!("{} / {}", format::number(held), format::number(most.into()));
    Ok(html! {
        (pacing(look, session))
        div.columns {
            (proxy_and_region(look, session))
            (crypto_and_past(look, session))
        }
        section.panel {
            header { h2 { (words.t("session.link_pages")) } }
            p.soft { (words.t("session.revoke_link_about")) }
            div.acts { (acts::quick(look, &REVOKE_LINK, words.t("session.revoke_link"), &fixed)) }
        }
        @if !workers.is_empty() {
            section.panel {
                header { h2 { (words.t("session.move")) } p class="soft small" { (words.t("session.move_about")) } }
                div.table { table {
                    caption.hidden { (words.t("session.move")) }
                    thead { tr {
                        th scope="col" { (words.t("session.worker")) }
                        th scope="col" class="num" { (words.t("session.holds")) }
                        th scope="col" { span.hidden { (words.t("common.actions")) } }
                    } }
                    tbody {
                        @for worker in &workers {
                            @let id = worker.worker_id.to_string();
                            tr data-key=(id) {
                                th scope="row" { (worker.host) " " span.soft { (worker.pid) }
                                    @if session.wanted == Some(worker.worker_id) { " " (format::pill("busy", words.t("session.wanted"))) } }
                                td class="num" data-label=(words.t("session.holds")) { (size(worker.sessions, worker.max_sessions)) }
                                td.do { (acts::quick(look, &MOVE, words.t("session.move_here"), &[("session", &session.name), ("worker_id", &id)])) }
                            }
                        }
                    }
                } }
                @if session.wanted.is_some() {
                    div.acts { (acts::quick(look, &MOVE, words.t("session.move_any"), &fixed)) }
                }
            }
        }
    })
}

fn text<'a>(name: &'static str, label: &'a str, value: Option<&'a str>) -> Field<'a> {
    Field { name, label, kind: "text", value, required: false }
}

/// The pacing, and the forms that change it.
fn pacing(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    let shown = |value: Option<String>| value.unwrap_or_else(|| words.t("session.no_limit").to_owned());
    let per_minute = session.per_minute.map(|value| value.to_string());
    let burst = session.burst.map(|value| value.to_string());
    let first_contacts = session.first_contacts.map(|value| value.to_string());
    let quiet =
        session.quiet_from.as_ref().zip(session.quiet_until.as_ref()).map(|(from, until)| format!("{from} – {until}"));
    let typing = session.typing.map(|typing| typing.to_string());
    let clear = |what: &str, label: &str| {
        acts::quick(look, &CLEAR_PACING, label, &[("session", &session.name), ("what", what)])
    };
    html! {
        section.panel {
            header { h2 { (words.t("session.pacing")) } p class="soft small" { (words.t("session.pacing_about")) } }
            dl.facts {
                dt { (words.t("session.per_minute")) } dd { (shown(per_minute.clone()))
                    @if per_minute.is_some() { " " (clear("per_minute", words.t("session.clear"))) } }
                dt { (words.t("session.burst")) } dd { (burst.as_deref().unwrap_or("1")) }
                dt { (words.t("session.jitter")) } dd { (session.jitter.as_deref().unwrap_or("00:00:00")) }
                dt { (words.t("session.first_contacts")) } dd { (shown(first_contacts.clone()))
                    @if first_contacts.is_some() { " " (clear("first_contacts", words.t("session.clear"))) } }
                dt { (words.t("session.quiet_hours")) } dd { (quiet.as_deref().unwrap_or(words.t("common.none")))
                    @if quiet.is_some() { " " (clear("quiet_hours", words.t("session.clear"))) } }
                dt { (words.t("session.time_zone")) } dd { (session.time_zone.as_deref().unwrap_or("UTC")) }
                dt { (words.t("session.typing")) } dd { (typing.as_deref().unwrap_or("false")) }
            }
            div.acts {
                (acts::act(look, &SET_PACING, &Offer {
                    label: words.t("session.set_pacing"), about: words.t("session.set_pacing_about"), icon: Some("edit"),
                    fixed: &[("session", &session.name)],
                    fields: &[
                        text("per_minute", words.t("session.per_minute"), per_minute.as_deref()),
                        text("burst", words.t("session.burst"), burst.as_deref()),
                        text("jitter", words.t("session.jitter"), session.jitter.as_deref()),
                        text("first_contacts", words.t("session.first_contacts"), first_contacts.as_deref()),
                        Field { kind: "time", ..text("quiet_from", words.t("session.quiet_from"), session.quiet_from.as_deref()) },
                        Field { kind: "time", ..text("quiet_until", words.t("session.quiet_until"), session.quiet_until.as_deref()) },
                        text("time_zone", words.t("session.time_zone"), session.time_zone.as_deref()),
                        text("typing", words.t("session.typing_choice"), typing.as_deref()),
                    ],
                    danger: false,
                }))
                @if session.paced {
                    (acts::act(look, &CLEAR_PACING, &Offer {
                        label: words.t("session.clear_pacing"), about: words.t("session.clear_pacing_about"), icon: Some("trash"),
                        fixed: &[("session", &session.name)], danger: true, ..Offer::default()
                    }))
                }
            }
        }
    }
}

fn proxy_and_region(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    let fixed: &[_] = &[("session", session.name.as_str())];
    html! {
        section.panel {
            header { h2 { (words.t("session.network")) } }
            dl.facts {
                dt { (words.t("session.proxy")) } dd { (session.proxy.as_deref().unwrap_or(words.t("common.none"))) }
                dt { (words.t("session.region")) } dd { (session.region.as_deref().unwrap_or(words.t("session.international"))) }
            }
            div.acts {
                (acts::act(look, &SET_PROXY, &Offer {
                    label: words.t("session.set_proxy"), about: words.t("session.set_proxy_about"), icon: Some("edit"), fixed,
                    fields: &[text("url", words.t("session.proxy_url"), None)], danger: false,
                }))
                (acts::act(look, &SET_REGION, &Offer {
                    label: words.t("session.set_region"), about: words.t("session.set_region_about"), icon: Some("edit"), fixed,
                    fields: &[text("region", words.t("session.region"), session.region.as_deref())], danger: false,
                }))
            }
        }
    }
}

fn crypto_and_past(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    let (macs, decrypts) = (session.bad_mac_limit.to_string(), session.bad_decrypt_limit.to_string());
    let relink = session.relink_at_limit.to_string();
    let keep = (!session.keep_past).to_string();
    let change_past = words.t(if session.keep_past { "session.keep_past_off" } else { "session.keep_past_on" });
    let yes = |is: bool| words.t(if is { "session.yes" } else { "session.no" });
    html! {
        section.panel {
            header { h2 { (words.t("session.limits")) } }
            dl.facts {
                dt { (words.t("session.bad_macs")) } dd { (macs) }
                dt { (words.t("session.bad_decrypts")) } dd { (decrypts) }
                dt { (words.t("session.relink")) } dd { (yes(session.relink_at_limit)) }
                dt { (words.t("session.keep_past")) } dd { (yes(session.keep_past)) }
            }
            div.acts {
                (acts::act(look, &SET_CRYPTO_LIMITS, &Offer {
                    label: words.t("session.set_crypto_limits"), about: words.t("session.set_crypto_limits_about"), icon: Some("edit"),
                    fixed: &[("session", &session.name)],
                    fields: &[
                        Field { kind: "number", ..text("bad_macs", words.t("session.bad_macs"), Some(&macs)) },
                        Field { kind: "number", ..text("bad_decrypts", words.t("session.bad_decrypts"), Some(&decrypts)) },
                        Field { kind: "checkbox", ..text("relink", words.t("session.relink"), Some(&relink)) },
                    ],
                    danger: false,
                }))
                (acts::quick(look, &KEEP_PAST, change_past, &[("session", &session.name), ("keep", &keep)]))
            }
        }
    }
}
