//! Numbers that WhatsApp limits or might block: its own limits, new chats of today, failures, and errors of decryption.

use super::shared;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use maud::{Markup, html};
use std::collections::HashSet;

pub(super) const SCREEN: Screen = Screen {
    name: "risk",
    key: 'r',
    icon: "risk",
    group: Some(Group::Sessions),
    topics: &[Topic::Session],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

/// The arguments of the pacing up to the limit on new chats.
static SLOW_DOWN: Act = Act {
    name: "slow_down",
    scope: Scope::Operator,
    function: "wa.set_pacing",
    sql: "SELECT wa.set_pacing($1, $2::float8, $3::integer, $4::interval, $5::integer)::text",
    arguments: &["session", "per_minute", "burst", "jitter", "first_contacts"],
};

pub(super) const ACTS: &[&Act] = &[&SLOW_DOWN];

/// Sessions in each list.
const ROWS: i64 = 50;
/// A share from which on a pill is red, in percent.
const HIGH: f64 = 10.0;

/// What a pacing is now, for the form that changes it.
#[derive(Debug, Clone, Copy, Default)]
struct Pace<'a> {
    per_minute: Option<f64>,
    jitter: Option<&'a str>,
    first_contacts: Option<i32>,
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    // Of each session the first row of the page has the form to slow it down.
    let mut slowed = HashSet::new();
    let limited = limited(look, &mut slowed).await?;
    let contacts = contacts(look, &mut slowed).await?;
    let numbers = numbers(look, &mut slowed).await?;
    let crypto = crypto(look, &mut slowed).await?;
    let words = look.words;
    let body = html! {
        header.head { div { h1 { (words.t("screens.risk")) } p.soft { (words.t("risk.about")) } } }
        (limited)
        (contacts)
        (numbers)
        (crypto)
    };
    Ok(Shown { title: words.t("screens.risk").to_owned(), body })
}

/// Pause, and slow down where a pacing is given.
fn row_acts(look: &Look, name: &str, is_paused: bool, pace: Option<Pace<'_>>) -> Markup {
    html! {
        (shared::pause_or_resume(look, name, is_paused))
        @if let Some(pace) = pace { (slow_down(look, name, pace)) }
    }
}

fn slow_down(look: &Look, name: &str, pace: Pace<'_>) -> Markup {
    let words = look.words;
    let (per_minute, first_contacts) =
        (pace.per_minute.map(|it| it.to_string()), pace.first_contacts.map(|it| it.to_string()));
    let field = |name, label, value| Field { name, label, kind: "text", value, required: false };
    acts::act(
        look,
        &SLOW_DOWN,
        &Offer {
            label: words.t("risk.slow_down"),
            about: words.t("risk.slow_down_about"),
            icon: None,
            fixed: &[("session", name)],
            fields: &[
                field("per_minute", words.t("session.per_minute"), per_minute.as_deref()),
                field("jitter", words.t("session.jitter"), pace.jitter),
                field("first_contacts", words.t("session.first_contacts"), first_contacts.as_deref()),
            ],
            ..Offer::default()
        },
    )
}

fn panel(title: &str, about: &str, content: &Markup) -> Markup {
    html! { section.panel { header { h2 { (title) } p class="soft small" { (about) } } (content) } }
}

/// Instead of an empty list.
fn nothing(text: &str) -> Markup {
    html! { p.soft { (format::pill("good", text)) } }
}

async fn limited(look: &mut Look, slowed: &mut HashSet<String>) -> Result<Markup, WebError> {
    let rows = sqlx::query_file!("sql/web/risk_limited.sql", ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let content = html! {
        @if rows.is_empty() { (nothing(words.t("risk.none_limited"))) } @else {
            div.table { table {
                caption.hidden { (words.t("risk.limited")) }
                thead { tr {
                    th scope="col" { (words.t("queue.session")) }
                    th scope="col" { (words.t("queue.status")) }
                    th scope="col" { (words.t("risk.reason")) }
                    th scope="col" { (words.t("risk.until")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let pace = Pace { per_minute: row.per_minute, jitter: row.jitter.as_deref(), first_contacts: row.first_contacts };
                        @let pace = slowed.insert(row.name.clone()).then_some(pace);
                        tr data-key={ "limited-" (row.name) } {
                            th scope="row" { (shared::session_link(&row.name)) " " span.tag { (row.tenant) } }
                            td data-label=(words.t("queue.status")) { (format::session_status(words, &row.status)) }
                            td data-label=(words.t("risk.reason")) { (format::pill("bad", &row.limit_reason)) }
                            td data-label=(words.t("risk.until")) {
                                @if let Some(until) = row.limited_until { (format::until(until)) } @else { span.soft { (words.t("risk.not_said")) } }
                            }
                            td.do { (row_acts(look, &row.name, row.paused_at.is_some(), pace)) }
                        }
                    }
                }
            } }
        }
    };
    Ok(panel(words.t("risk.limited"), words.t("risk.limited_about"), &content))
}

async fn contacts(look: &mut Look, slowed: &mut HashSet<String>) -> Result<Markup, WebError> {
    let rows = sqlx::query_file!("sql/web/risk_contacts.sql", ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let content = html! {
        @if rows.is_empty() {
            p.soft { (words.t("risk.none_contacts")) }
            code.sql { "SELECT wa.set_pacing('shop', first_contacts => 20);" }
        } @else {
            div.table { table {
                caption.hidden { (words.t("risk.contacts")) }
                thead { tr {
                    th scope="col" { (words.t("queue.session")) }
                    th scope="col" { (words.t("risk.today")) }
                    th scope="col" { (words.t("risk.resets")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let pace = Pace { per_minute: row.per_minute, jitter: Some(&row.jitter), first_contacts: Some(row.first_contacts) };
                        @let pace = slowed.insert(row.name.clone()).then_some(pace);
                        @let tone = if row.contacts_today >= row.first_contacts { "warn" } else { "good" };
                        tr data-key={ "contacts-" (row.name) } {
                            th scope="row" { (shared::session_link(&row.name)) " " span.tag { (row.tenant) } }
                            td data-label=(words.t("risk.today")) {
                                (format::pill(tone, &format!("{} / {}", row.contacts_today, row.first_contacts)))
                                @if row.contacts_today >= row.first_contacts { " " (words.t("risk.used_up")) }
                            }
                            td data-label=(words.t("risk.resets")) { (format::until(row.tomorrow)) }
                            td.do { (row_acts(look, &row.name, row.paused_at.is_some(), pace)) }
                        }
                    }
                }
            } }
        }
    };
    Ok(panel(words.t("risk.contacts"), words.t("risk.contacts_about"), &content))
}

/// A share as a percentage with a tone.
fn share(share: Option<f64>, of: i64) -> Markup {
    html! {
        @if let Some(percent) = share.map(|share| share * 100.0) {
            @let tone = if percent >= HIGH { "bad" } else if percent > 0.0 { "warn" } else { "good" };
            (format::pill(tone, &format!("{percent:.1} %"))) " " span.soft { (format::number(of)) }
        } @else { span.soft { "–" } }
    }
}

async fn numbers(look: &mut Look, slowed: &mut HashSet<String>) -> Result<Markup, WebError> {
    let rows = sqlx::query_file!("sql/web/risk_numbers.sql", ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let content = html! {
        @if rows.is_empty() { (nothing(words.t("risk.none_numbers"))) } @else {
            div.table { table {
                caption.hidden { (words.t("risk.numbers")) }
                thead { tr {
                    th scope="col" { (words.t("queue.session")) }
                    th scope="col" class="num" { (words.t("session.sent")) }
                    th scope="col" { (words.t("session.failed")) }
                    th scope="col" { (words.t("risk.undelivered")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let pace = Pace { per_minute: row.per_minute, jitter: row.jitter.as_deref(), first_contacts: row.first_contacts };
                        @let pace = slowed.insert(row.session.clone()).then_some(pace);
                        tr data-key={ "numbers-" (row.session) } {
                            th scope="row" { (shared::session_link(&row.session)) " " span.tag { (row.tenant) } }
                            td class="num line" data-label=(words.t("session.sent")) { (format::number(row.sent)) }
                            td data-label=(words.t("session.failed")) { (share(row.failed_share, row.failed)) }
                            td data-label=(words.t("risk.undelivered")) { (share(row.undelivered_share, row.undelivered)) }
                            td.do { (row_acts(look, &row.session, row.paused_at.is_some(), pace)) }
                        }
                    }
                }
            } }
        }
    };
    Ok(panel(words.t("risk.numbers"), words.t("risk.numbers_about"), &content))
}

async fn crypto(look: &mut Look, slowed: &mut HashSet<String>) -> Result<Markup, WebError> {
    let rows = sqlx::query_file!("sql/web/risk_crypto.sql", ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let words = look.words;
    let content = html! {
        @if rows.is_empty() { (nothing(words.t("risk.none_crypto"))) } @else {
            div.table { table {
                caption.hidden { (words.t("risk.crypto")) }
                thead { tr {
                    th scope="col" { (words.t("queue.session")) }
                    th scope="col" { (words.t("queue.status")) }
                    th scope="col" { (words.t("session.bad_macs")) }
                    th scope="col" { (words.t("session.bad_decrypts")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        @let pace = Pace { per_minute: row.per_minute, jitter: row.jitter.as_deref(), first_contacts: row.first_contacts };
                        @let pace = slowed.insert(row.name.clone()).then_some(pace);
                        tr data-key={ "crypto-" (row.name) } {
                            th scope="row" { (shared::session_link(&row.name)) " " span.tag { (row.tenant) } }
                            td data-label=(words.t("queue.status")) { (format::session_status(words, &row.status)) }
                            td data-label=(words.t("session.bad_macs")) { (shared::of_limit(row.bad_macs, row.bad_mac_limit)) }
                            td data-label=(words.t("session.bad_decrypts")) { (shared::of_limit(row.bad_decrypts, row.bad_decrypt_limit)) }
                            td.do { (row_acts(look, &row.name, row.paused_at.is_some(), pace)) }
                        }
                    }
                }
            } }
        }
    };
    Ok(panel(words.t("risk.crypto"), words.t("risk.crypto_about"), &content))
}
