//! Campaigns over all their sessions: how far each is, and its pauses.

use super::shared;
use crate::web::acts::{self, Act, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::request::Place;
use crate::web::words::Words;
use maud::{Markup, html};

pub(super) const SCREEN: Screen = Screen {
    name: "campaigns",
    key: 'c',
    icon: "campaigns",
    group: Some(Group::Messages),
    topics: &[Topic::Status],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static PAUSE: Act = Act {
    name: "pause_campaign",
    scope: Scope::Operator,
    function: "wa.pause_campaign",
    sql: "SELECT wa.pause_campaign($1, $2)::text",
    arguments: &["session", "campaign"],
};
static CANCEL: Act = Act {
    name: "cancel_campaign",
    scope: Scope::Operator,
    function: "wa.cancel_campaign",
    sql: "SELECT wa.cancel_campaign($1, $2)::text",
    arguments: &["session", "campaign"],
};

static PAUSE_ALL: Act = Act {
    name: "pause_campaigns",
    scope: Scope::Operator,
    function: "wa.pause_campaigns",
    sql: "SELECT wa.pause_campaigns($1, $2, $3::bigint)::text",
    arguments: &["campaign", "tenant", "after"],
};
static RESUME_ALL: Act = Act {
    name: "resume_campaigns",
    scope: Scope::Operator,
    function: "wa.resume_campaigns",
    sql: "SELECT wa.resume_campaigns($1, $2, $3::bigint)::text",
    arguments: &["campaign", "tenant", "after"],
};
static CANCEL_ALL: Act = Act {
    name: "cancel_campaigns",
    scope: Scope::Operator,
    function: "wa.cancel_campaigns",
    sql: "SELECT wa.cancel_campaigns($1, $2, $3::bigint)::text",
    arguments: &["campaign", "tenant", "after"],
};

pub(super) const ACTS: &[&Act] = &[&PAUSE, &CANCEL, &PAUSE_ALL, &RESUME_ALL, &CANCEL_ALL];

/// Campaigns on the page.
const ROWS: i64 = 50;
/// Sessions of a campaign on a page.
const SESSIONS: i64 = 50;
const SINCE: &str = "30 days";

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    match look.place.item.clone() {
        Some(campaign) => one(look, &campaign).await,
        None => all(look).await,
    }
}

/// How many messages are over, sent or not, of those that are and those that wait. One that failed and is retried waits.
fn progress(words: &Words, id: &str, over: i64, waiting: i64) -> Markup {
    let total = over + waiting;
    html! {
        @if total == 0 { span.soft { (words.t("campaigns.uncounted")) } } @else { div class=(if waiting == 0 { "progress good" } else { "progress" }) {
            label.hidden for=(id) { (words.t("campaigns.progress")) }
            progress id=(id) max=(total.max(1)) value=(over) {}
            // What waits is counted at another moment than what is over.
            b { (format::number(over)) " / " @if waiting > 0 { "≈ " } (format::number(total)) }
        } }
    }
}

async fn all(look: &mut Look) -> Result<Shown, WebError> {
    let rows = sqlx::query_file!("sql/web/campaigns.sql", None::<&str>, SINCE, Some(ROWS), true, None::<&str>)
        .fetch_all(&mut look.tx)
        .await?;
    let words = look.words;
    let body = html! {
        header.head { div { h1 { (words.t("screens.campaigns")) } p.soft { (words.t("campaigns.about")) } } }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t("campaigns.none")) }
                p { (words.t("campaigns.none_next")) }
                code.sql { "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '+79001234567', 'Hello', 'may');" }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("screens.campaigns")) }
                thead { tr {
                    th scope="col" { (words.t("campaigns.campaign")) }
                    th scope="col" { (words.t("campaigns.progress")) }
                    th.num scope="col" { (words.t("campaigns.sessions")) }
                    (heads(words))
                    th scope="col" { (words.t("campaigns.last")) }
                } }
                tbody {
                    @for (at, row) in rows.iter().enumerate() {
                        @let tenant = [("tenant".to_owned(), row.tenant.clone())].into();
                        tr data-key={ (row.tenant) "-" (row.campaign) } {
                            th scope="row" {
                                a href=(Place { query: tenant, ..Place::of("campaigns", &row.campaign) }.href()) { (row.campaign) }
                                " " span.tag { (row.tenant) }
                                @if row.paused > 0 { " " (format::pill("warn", words.t("campaigns.paused"))) }
                            }
                            td.why { (progress(words, &format!("progress-{at}"), row.sent + row.failed + row.expired, row.waiting)) }
                            td.num data-label=(words.t("campaigns.sessions")) { (format::number(row.sessions)) }
                            (cells(words, [row.waiting, row.sent, row.delivered, row.read, row.failed]))
                            td data-label=(words.t("campaigns.last")) {
                                (format::ago(words, row.last_at))
                                @if let Some(counted_at) = row.counted_at {
                                    small { (words.t("campaigns.counted")) " " (format::ago(words, Some(counted_at))) }
                                }
                            }
                        }
                    }
                }
            } }
        }
    };
    Ok(Shown { title: words.t("screens.campaigns").to_owned(), body })
}

fn heads(words: &Words) -> Markup {
    html! {
        @for name in ["waiting", "sent", "delivered", "read", "failed"] {
            th.num scope="col" { (words.of_value("campaigns", name)) }
        }
    }
}

fn cells(words: &Words, counts: [i64; 5]) -> Markup {
    html! {
        @for (name, count) in ["waiting", "sent", "delivered", "read", "failed"].into_iter().zip(counts) {
            td.num data-label=(words.of_value("campaigns", name)) { (format::number(count)) }
        }
    }
}

/// What can be done with the campaign on all its sessions.
fn acts_on_all(look: &Look, campaign: &str, tenant: Option<&str>) -> Markup {
    let words = look.words;
    let mut fixed = vec![("campaign", campaign)];
    fixed.extend(tenant.map(|tenant| ("tenant", tenant)));
    let offer = |label, about, icon, danger| Offer {
        label,
        about,
        icon: Some(icon),
        fixed: &fixed,
        danger,
        ..Offer::default()
    };
    html! {
        (acts::act(look, &PAUSE_ALL, &offer(words.t("campaigns.pause_all"), words.t("campaigns.pause_all_about"), "pause", false)))
        (acts::act(look, &RESUME_ALL, &offer(words.t("campaigns.resume_all"), words.t("campaigns.resume_all_about"), "play", false)))
        (acts::act(look, &CANCEL_ALL, &offer(words.t("campaigns.cancel_all"), words.t("campaigns.cancel_all_about"), "stop", true)))
    }
}

async fn one(look: &mut Look, campaign: &str) -> Result<Shown, WebError> {
    let place = look.place.clone();
    let (tenant, after) = (place.get("tenant"), place.get("after"));
    // Of every tenant that has it.
    let sums = sqlx::query_file!("sql/web/campaigns.sql", campaign, SINCE, None::<i64>, false, tenant);
    let sums = sums.fetch_all(&mut look.tx).await?;
    let rows = sqlx::query_file!("sql/web/campaign_sessions.sql", campaign, tenant, SINCE, after, SESSIONS);
    let rows = rows.fetch_all(&mut look.tx).await?;
    if rows.is_empty() && after.is_none() {
        return Err(WebError::Missing("web_error.no_campaign"));
    }
    let (look, words) = (&*look, look.words);
    let (over, waiting) =
        sums.iter().fold((0, 0), |sum, row| (sum.0 + row.sent + row.failed + row.expired, sum.1 + row.waiting));
    let with = |screen: &str| {
        Place { query: [("campaign".to_owned(), campaign.to_owned())].into(), ..Place::screen(screen) }.href()
    };
    let body = html! {
        header.head {
            div {
                p.crumbs { a href="/campaigns" { (words.t("screens.campaigns")) } }
                h1 { (campaign) }
                p.soft { @if let Some(tenant) = tenant { span.tag { (tenant) } " " } (words.t("campaigns.about")) }
            }
            div.acts {
                (acts_on_all(look, campaign, tenant))
                a class="button plain" href=(with("delivery")) { (words.t("screens.delivery")) }
                a class="button plain" href=(with("failures")) { (words.t("screens.failures")) }
            }
        }
        @if !rows.is_empty() {
            section.panel { (progress(words, "progress", over, waiting)) }
            div.table { table {
                caption.hidden { (words.t("campaigns.sessions")) }
                thead { tr {
                    th scope="col" { (words.t("campaigns.session")) }
                    th scope="col" { (words.t("campaigns.progress")) }
                    (heads(words))
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for (at, row) in rows.iter().enumerate() {
                        @let fixed = [("session", row.name.as_str()), ("campaign", campaign)];
                        tr data-key=(row.name) {
                            th scope="row" {
                                a href=(Place::of("session", &row.name).href()) { (row.name) } " " span.tag { (row.tenant) }
                                @if row.paused_at.is_some() { " " (format::pill("warn", words.t("campaigns.paused"))) }
                            }
                            td.why { (progress(words, &format!("progress-{at}"), row.sent + row.failed + row.expired, row.waiting)) }
                            (cells(words, [row.waiting, row.sent, row.delivered, row.read, row.failed]))
                            td.do {
                                @if row.paused_at.is_some() {
                                    (acts::quick(look, &shared::RESUME_CAMPAIGN, words.t("campaigns.resume"), &fixed))
                                } @else {
                                    (acts::quick(look, &PAUSE, words.t("campaigns.pause"), &fixed))
                                }
                                (acts::act(look, &CANCEL, &Offer {
                                    label: words.t("campaigns.cancel"), about: words.t("campaigns.cancel_about"), fixed: &fixed, danger: true,
                                    ..Offer::default()
                                }))
                            }
                        }
                    }
                }
            } }
            (shared::next_page(look, "after", &rows, SESSIONS, |row| row.name.clone()))
        }
    };
    Ok(Shown { title: campaign.to_owned(), body })
}
