//! How a session is, and what is in its way.

use super::acts::{ANSWER_PASSKEY, CONFIRM_PASSKEY, REFUSE_PASSKEY};
use super::row::Session;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::identity::Scope;
use crate::web::look::Look;
use crate::web::plot::{Kind, Limit, Plot, Series, Tone, real};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::screens::shared;
use crate::web::words::Words;
use crate::web::{format, link, qr};
use maud::{Markup, PreEscaped, html};

/// Failed messages that the overview shows.
const FAILED: i64 = 5;

pub(super) async fn overview(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
    let why = sqlx::query!(r#"SELECT reasons, stuck AS "stuck!" FROM wa.reasons(ARRAY[$1::text])"#, session.name);
    let why = why.fetch_optional(&mut look.tx).await?;
    let (reasons, stuck) = why.map_or((None, false), |why| (why.reasons, why.stuck));
    let rate = rate(look, session).await?;
    let queued = shared::counts(look, session.id, &session.name, reason::holds(reasons.as_ref())).await?;
    let failed = sqlx::query_file!("sql/web/session_errors.sql", session.id, FAILED).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let tone = if reasons.is_none() {
        "good"
    } else if reason::is_linking(reasons.as_ref()) {
        "info"
    } else if stuck {
        "bad"
    } else {
        "warn"
    };
    Ok(html! {
        p class={ "flash " (tone) } {
            span { @match &reasons { Some(reasons) => (reason::show(words, look.zone, reasons)), None => (words.t("session.nothing")) } }
            (shared::lift_pauses(look, &session.name, reasons.as_ref()))
            " " code.sql { (WHY.call(&[Some(&session.name)])) }
        }
        (linking(look, session))
        div.columns {
            (health(look, session))
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
                            b { a href=(Place::of("message", &one.id.to_string()).href()) { (words.of_value("message_kind", &one.kind)) " → " (one.recipient) } }
                            @if let Some(error) = &one.last_error { p class="soft small" { (reason::said(words, look.zone, one.failure.as_deref(), error)) } }
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
                @if session.qr.is_none() && session.code.is_none() && session.passkey_stage.is_none() && !session.lost {
                    p.soft { (words.t("link.preparing")) }
                }
                @if session.status_code.as_deref() == Some("no_code") {
                    p class="flash warn" role="alert" {
                        (words.t("link.no_code"))
                        @if let Some(text) = &session.status_reason { small { (reason::original(words, &html! { (text) })) } }
                    }
                }
                @if let Some(code) = &session.code {
                    p { (words.t("session.code")) }
                    (format::letters(code))
                    @if let Some(end) = session.code_expires_at {
                        p.count-down { (words.t("session.code_until")) " " (format::clock(end)) }
                    }
                }
                @if let Some(stage) = &session.passkey_stage {
                    p {
                        (words.t("session.passkey")) " " span.tag { (words.of_value("passkey_stage", stage)) }
                        @if let (Some(end), true) = (session.passkey_expires_at, stage != "failed") { " " (words.t("link.passkey_until")) " " (format::clock(end)) }
                    }
                    @if stage == "requested" { (answer_passkey(look, session)) }
                    @match session.passkey_error.as_deref() {
                        Some(link::REFUSED) => p.why { (words.t("link.refused")) },
                        Some(error) => p.why { (reason::said(words, look.zone, None, error)) },
                        None => {}
                    }
                    @if let (Some(code), "code") = (&session.passkey_code, stage.as_str()) {
                        p { (words.t("session.passkey_compare")) }
                        (format::letters(code))
                        div.acts {
                            (acts::act(look, &CONFIRM_PASSKEY, &Offer {
                                label: words.t("session.confirm_passkey"), about: words.t("session.confirm_passkey_about"), icon: Some("check"),
                                fixed: &[("session", &session.name), ("code", code)], ..Offer::default()
                            }))
                            (acts::act(look, &REFUSE_PASSKEY, &Offer {
                                label: words.t("session.refuse_passkey"), about: words.t("session.refuse_passkey_about"), icon: Some("stop"),
                                fixed: &[("session", &session.name)], danger: true, ..Offer::default()
                            }))
                        }
                    }
                }
            }
        }
    }
}

/// The line for the browser that has the passkey, and the form for what it answers.
fn answer_passkey(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    html! {
        ol.steps {
            li { (words.t("link.passkey_open")) " " code { "https://web.whatsapp.com" } }
            li {
                (words.t("link.passkey_console"))
                div.copied {
                    code.sql id="passkey-line" { (link::passkey_line(session.passkey_request.as_ref())) }
                    button type="button" class="button plain slim" data-copy-of="passkey-line" { (words.t("common.copy")) }
                }
            }
        }
        div.acts {
            (acts::act(look, &ANSWER_PASSKEY, &Offer {
                label: words.t("session.answer_passkey"), about: words.t("link.passkey_paste"), icon: Some("edit"),
                fixed: &[("session", &session.name)],
                fields: &[Field { name: "assertion", label: words.t("link.answer"), kind: "textarea", value: None, required: true }],
                ..Offer::default()
            }))
        }
    }
}

fn health(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    html! {
        section.panel {
            header { h2 { (words.t("session.health")) } }
            dl.facts {
                dt { (words.t("session.since")) } dd { (format::ago(words, Some(session.status_at)))
                    @if let Some(text) = &session.status_reason { p class="soft small" {
                        @match &session.status_code { Some(code) => (reason::said(words, look.zone, Some(code), text)), None => (text) }
                    } } }
                dt { (words.t("session.wish")) } dd { (words.of_value("session_wish", &session.desired)) }
                @if let Some(paused_at) = session.paused_at {
                    dt { (words.t("session.paused")) } dd {
                        (format::ago(words, Some(paused_at)))
                        " · " (session.paused_by.as_deref().unwrap_or(words.t("session.its_worker")))
                        @if let Some(text) = &session.paused_reason { p class="soft small" {
                            @if session.paused_by.is_some() { (text) } @else { (reason::said(words, look.zone, None, text)) }
                        } }
                    }
                }
                @if let Some(limit) = &session.limit_reason {
                    dt { (words.t("session.limited")) } dd { (format::pill("bad", limit))
                        @if let Some(until) = session.limited_until { " " (format::until(until)) } }
                }
                dt { (words.t("session.bad_macs")) } dd { (shared::of_limit(session.bad_macs, session.bad_mac_limit)) }
                dt { (words.t("session.bad_decrypts")) } dd { (shared::of_limit(session.bad_decrypts, session.bad_decrypt_limit)) }
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
                        @if let Some(memory) = session.memory_mb { " · " (words.with("workers.megabytes", format::number(memory.into()))) }
                        @if !session.alive { " " (format::pill("bad", words.t("workers.gone"))) }
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
        kind: Kind::Stacked,
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
