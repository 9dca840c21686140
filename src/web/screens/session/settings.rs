//! The limits and settings of a session.

use super::acts::{
    CLEAR_PACING, KEEP_PAST, MOVE, REMOVE_PROXY, REVOKE_LINK, SET_CRYPTO_LIMITS, SET_PACING, SET_PROXY, SET_REGION,
    text,
};
use super::row::Session;
use crate::web::acts::{self, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::Look;
use maud::{Markup, html};

pub(super) async fn settings(look: &mut Look, session: &Session) -> Result<Markup, WebError> {
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

/// The pacing, and the forms that change it.
fn pacing(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    let shown = |value: Option<String>| value.unwrap_or_else(|| words.t("session.no_limit").to_owned());
    let per_minute = session.per_minute.map(|value| value.to_string());
    let burst = session.burst.map(|value| value.to_string());
    let first_contacts = session.first_contacts.map(|value| value.to_string());
    let jitter = session.jitter.as_deref().map(|jitter| format::interval(words, jitter));
    let (from, until) = (session.quiet_from.as_deref(), session.quiet_until.as_deref());
    let (from, until) = (from.map(format::time_of_day), until.map(format::time_of_day));
    let quiet = from.zip(until).map(|(from, until)| format!("{from} – {until}"));
    let typing = session.typing.unwrap_or(false);
    let typing_value = typing.to_string();
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
                dt { (words.t("session.jitter")) } dd { (jitter.as_deref().unwrap_or(words.t("common.none"))) }
                dt { (words.t("session.first_contacts")) } dd { (shown(first_contacts.clone()))
                    @if first_contacts.is_some() { " " (clear("first_contacts", words.t("session.clear"))) } }
                dt { (words.t("session.quiet_hours")) } dd { (quiet.as_deref().unwrap_or(words.t("common.none")))
                    @if quiet.is_some() { " " (clear("quiet_hours", words.t("session.clear"))) } }
                dt { (words.t("session.time_zone")) } dd { (session.time_zone.as_deref().unwrap_or("UTC")) }
                dt { (words.t("session.typing")) } dd { (words.t(if typing { "session.yes" } else { "session.no" })) }
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
                        Field { kind: "time", ..text("quiet_from", words.t("session.quiet_from"), from) },
                        Field { kind: "time", ..text("quiet_until", words.t("session.quiet_until"), until) },
                        text("time_zone", words.t("session.time_zone"), session.time_zone.as_deref()),
                        Field { kind: "checkbox", ..text("typing", words.t("session.typing"), Some(&typing_value)) },
                    ],
                    ..Offer::default()
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
                    fields: &[Field { required: true, ..text("url", words.t("session.proxy_url"), None) }], ..Offer::default()
                }))
                @if session.proxy.is_some() {
                    (acts::act(look, &REMOVE_PROXY, &Offer {
                        label: words.t("session.remove_proxy"), about: words.t("session.remove_proxy_about"), icon: Some("trash"), fixed,
                        danger: true, ..Offer::default()
                    }))
                }
                (acts::act(look, &SET_REGION, &Offer {
                    label: words.t("session.set_region"), about: words.t("session.set_region_about"), icon: Some("edit"), fixed,
                    fields: &[text("region", words.t("session.region"), session.region.as_deref())], ..Offer::default()
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
                    ..Offer::default()
                }))
                (acts::quick(look, &KEEP_PAST, change_past, &[("session", &session.name), ("keep", &keep)]))
            }
        }
    }
}
