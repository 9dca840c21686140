//! All sessions: how many have which status, and a table to search and filter.

mod picks;

use super::shared;
use super::span::limits;
use crate::web::acts::{self, Act, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::reason;
use crate::web::request::Place;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use uuid::Uuid;

pub(super) const SCREEN: Screen = Screen {
    name: "fleet",
    key: 'f',
    icon: "fleet",
    group: Some(Group::Sessions),
    topics: &[Topic::Session],
    tick: SELDOM,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

static PAUSE_TENANT: Act = Act {
    name: "pause_tenant",
    scope: Scope::Admin,
    function: "wa.pause_tenant",
    sql: "SELECT wa.pause_tenant($1, $2)::text",
    arguments: &["tenant", "reason"],
};
static RESUME_TENANT: Act = Act {
    name: "resume_tenant",
    scope: Scope::Admin,
    function: "wa.resume_tenant",
    sql: "SELECT wa.resume_tenant($1)::text",
    arguments: &["tenant"],
};

static ADD_SESSION: Act = Act {
    name: "add_session",
    scope: Scope::Admin,
    function: "wa.add_session",
    sql: "SELECT wa.add_session($1, $2)::text",
    arguments: &["name", "tenant"],
};

pub(super) const ACTS: &[&Act] = &[&PAUSE_TENANT, &RESUME_TENANT, &ADD_SESSION];
pub(super) use picks::ACTS as PICKS;

/// Sessions that are looked at for the tile of those that are stuck; beyond, the tile says so.
const LOOKED_AT: i64 = 200;

/// Sessions on a page.
const ROWS: i64 = 50;
/// `no_worker` stands for those whose status says that a worker holds them, which no live one does.
const STATUSES: [&str; 9] =
    ["connected", "no_worker", "connecting", "linking", "disconnected", "new", "stopped", "logged_out", "banned"];
/// Besides "paused".
const WISHES: [&str; 2] = ["connected", "stopped"];

/// How many sessions have a value in common.
struct Count {
    of: String,
    value: String,
    sessions: i64,
    paused: i64,
    /// Whether the tenant is paused.
    held: bool,
}

/// How many sessions need a person, as far as they were looked at.
#[derive(Debug, Clone, Copy)]
struct Stuck {
    sessions: i64,
    more: bool,
}

/// The tenant that the page is about, and its pause.
struct Owner {
    tenant: String,
    paused_at: Option<DateTime<Utc>>,
    paused_by: Option<String>,
    paused_reason: Option<String>,
}

/// A row of the table.
struct Row {
    name: String,
    tenant: String,
    status: String,
    status_at: DateTime<Utc>,
    phone: Option<String>,
    paused_at: Option<DateTime<Utc>>,
    desired: String,
    linked: bool,
    lost: bool,
    host: Option<String>,
    reasons: Option<serde_json::Value>,
    stuck: bool,
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let counts = sqlx::query_file_as!(Count, "sql/web/fleet_tiles.sql", look.place.get("tenant"));
    let counts = counts.fetch_all(&mut look.tx).await?;
    let tenant = tenant(look, &counts).await?;
    let stuck = sqlx::query_file!("sql/web/fleet_stuck.sql", look.place.get("tenant"), LOOKED_AT)
        .fetch_one(&mut look.tx)
        .await?;
    let stuck = Stuck { sessions: stuck.stuck, more: stuck.more };
    let workers = sqlx::query_file!("sql/web/fleet_workers.sql").fetch_all(&mut look.tx).await?;
    let targets = picks::targets(look).await?;
    let place = &look.place;
    let worker = place.get("worker").and_then(|worker| Uuid::parse_str(worker).ok());
    let (search, status, of_tenant) = (place.get("q"), place.get("status"), place.get("tenant"));
    let (wish, after) = (place.get("wish"), place.get("after"));
    let rows = sqlx::query_file_as!(Row, "sql/web/fleet.sql", search, status, of_tenant, worker, wish, after, ROWS);
    let rows = rows.fetch_all(&mut look.tx).await?;
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let total = counts.iter().filter(|count| count.of == "status").map(|count| count.sessions).sum();
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.fleet")) }
                p.soft {
                    (words.with("fleet.sessions", format::number(total)))
                    (limits(place, &[("tenant", words.t("fleet.tenant"))]))
                }
            }
            div.acts {
                @if total > 0 { (add_session(look, false)) }
                @if let Some(tenant) = &tenant { (tenant_acts(look, tenant)) }
            }
        }
        @if let Some(tenant) = &tenant { (tenant_paused(look, tenant)) }
        (tiles(look, &counts, stuck))
        @if total > 0 { (wishes(look, &counts, total)) }
        @if workers.len() > 1 || worker.is_some() {
            nav.chips aria-label=(words.t("fleet.worker")) {
                a href=(filtered(place, "worker", None)) aria-current=[worker.is_none().then_some("true")] { (words.t("fleet.all_workers")) }
                @for one in &workers {
                    @let id = one.worker_id.to_string();
                    a href=(filtered(place, "worker", Some(&id))) aria-current=[(worker == Some(one.worker_id)).then_some("true")] data-key=(id) {
                        (one.host) " " span.soft { (one.pid) } " " b { (format::number(one.sessions)) }
                    }
                }
            }
        }
        @if rows.is_empty() { (empty(look, total == 0 && place.get("tenant").is_none())) } @else { (table(look, &rows)) }
        @if picks::may(look) && !rows.is_empty() { (picks::bar(look, &targets)) }
        nav.pages aria-label=(words.t("common.pages")) {
            @if after.is_some() { a rel="prev" href=(place.with("after", None)) { (words.t("queue.first")) } }
            @if let Some(last) = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(ROWS)) {
                a rel="next" href=(place.with("after", Some(&last.name))) { (words.t("common.next")) }
            }
        }
    };
    Ok(Shown { title: words.t("screens.fleet").to_owned(), body })
}

/// The tenant that the page is about: the one that is chosen, that of the token, or the only one.
async fn tenant(look: &mut Look, counts: &[Count]) -> Result<Option<Owner>, WebError> {
    let mut tenants = counts.iter().filter(|count| count.of == "tenant");
    let only = tenants.next().filter(|_| tenants.next().is_none()).map(|count| count.value.as_str());
    let named = look.place.get("tenant").or(look.who.tenant.as_deref()).or(only);
    let Some(named) = named else { return Ok(None) };
    Ok(sqlx::query_file_as!(Owner, "sql/web/tenant.sql", named).fetch_optional(&mut look.tx).await?)
}

fn tenant_acts(look: &Look, tenant: &Owner) -> Markup {
    let words = look.words;
    let fixed = &[("tenant", tenant.tenant.as_str())];
    if tenant.paused_at.is_some() {
        return acts::act(
            look,
            &RESUME_TENANT,
            &Offer {
                label: words.t("fleet.resume_tenant"),
                about: words.t("fleet.resume_tenant_about"),
                icon: Some("play"),
                fixed,
                ..Offer::default()
            },
        );
    }
    let reason = Field { name: "reason", label: words.t("session.reason"), kind: "text", value: None, required: false };
    acts::act(
        look,
        &PAUSE_TENANT,
        &Offer {
            label: words.t("fleet.pause_tenant"),
            about: words.t("fleet.pause_tenant_about"),
            icon: Some("pause"),
            fixed,
            fields: &[reason],
            ..Offer::default()
        },
    )
}

fn tenant_paused(look: &Look, tenant: &Owner) -> Markup {
    let words = look.words;
    html! {
        @if let Some(paused_at) = tenant.paused_at {
            p class="flash warn" {
                (words.with("fleet.tenant_paused", &tenant.tenant)) " " (format::ago(words, Some(paused_at)))
                @if let Some(by) = &tenant.paused_by { " · " (by) }
                @if let Some(reason) = &tenant.paused_reason { " · " (reason) }
            }
        }
    }
}

/// The same list with one choice changed, from its first page.
fn filtered(place: &Place, key: &str, value: Option<&str>) -> String {
    let mut first = place.clone();
    first.query.remove("after");
    first.with(key, value)
}

/// How many sessions have each status, and how many belong to each tenant; a tile that is chosen leads back to all.
fn tiles(look: &Look, counts: &[Count], stuck: Stuck) -> Markup {
    let (words, place) = (look.words, &look.place);
    let of = |of: &'static str| counts.iter().filter(move |count| count.of == of);
    let statuses = STATUSES.iter().filter_map(|status| of("status").find(|count| count.value == *status));
    let href = |key: &str, value: &str| {
        let is_chosen = place.get(key) == Some(value);
        (filtered(place, key, (!is_chosen).then_some(value)), is_chosen.then_some("true"))
    };
    html! {
        ul.tiles {
            @for count in statuses {
                @let (to, current) = href("status", &count.value);
                li.tile data-key={ "status-" (count.value) } {
                    a href=(to) aria-current=[current] {
                        span.label { (format::session_status(words, &count.value)) }
                        b.number { (format::number(count.sessions)) }
                    }
                }
            }
            @if stuck.sessions > 0 || place.get("wish") == Some("stuck") {
                @let (to, current) = href("wish", "stuck");
                li.tile.bad data-key="stuck" {
                    a href=(to) aria-current=[current] {
                        span.label { (format::pill("bad", words.t("fleet.stuck"))) }
                        b.number { (format::number(stuck.sessions)) @if stuck.more { "+" } }
                        small { (words.t("fleet.stuck_about")) }
                    }
                }
            }
            @let paused: i64 = of("status").map(|count| count.paused).sum();
            @if paused > 0 {
                @let (to, current) = href("wish", "paused");
                li.tile data-key="paused" {
                    a href=(to) aria-current=[current] {
                        span.label { (format::pill("warn", words.t("fleet.paused"))) }
                        b.number { (format::number(paused)) }
                    }
                }
            }
        }
        @if of("tenant").nth(1).is_some() {
            ul.tiles {
                @for count in of("tenant") {
                    @let (to, current) = href("tenant", &count.value);
                    li.tile data-key={ "tenant-" (count.value) } {
                        a href=(to) aria-current=[current] {
                            span.label {
                                (words.t("fleet.tenant")) " " (count.value)
                                @if count.held { " " (format::pill("warn", words.t("fleet.paused"))) }
                            }
                            b.number { (format::number(count.sessions)) }
                            @if count.paused > 0 { small { (words.with("fleet.paused_of", format::number(count.paused))) } }
                        }
                    }
                }
            }
        }
    }
}

fn wishes(look: &Look, counts: &[Count], total: i64) -> Markup {
    let (words, place) = (look.words, &look.place);
    let chosen = place.get("wish");
    html! {
        nav.chips aria-label=(words.t("fleet.wish")) {
            a href=(filtered(place, "wish", None)) aria-current=[chosen.is_none().then_some("true")] { (words.t("fleet.any_wish")) " " b { (format::number(total)) } }
            @for wish in WISHES {
                @let sessions = counts.iter().find(|count| count.of == "wish" && count.value == wish).map_or(0, |count| count.sessions);
                a href=(filtered(place, "wish", Some(wish))) aria-current=[(chosen == Some(wish)).then_some("true")] {
                    (words.of_value("session_wish", wish)) " " b { (format::number(sessions)) }
                }
            }
        }
    }
}

fn empty(look: &Look, is_new: bool) -> Markup {
    let words = look.words;
    html! {
        div.empty {
            h2 { (words.t(if is_new { "fleet.none" } else { "fleet.none_match" })) }
            @if is_new {
                @if look.who.scope >= ADD_SESSION.scope {
                    p { (words.t("fleet.add")) }
                    div.acts { (add_session(look, true)) }
                } @else {
                    p { (words.t("fleet.add_by_admin")) }
                    code.sql { "SELECT wa.add_session('shop');" }
                }
            } @else {
                p { a href="/fleet" { (words.t("fleet.all")) } }
            }
        }
    }
}

fn add_session(look: &Look, is_next: bool) -> Markup {
    let words = look.words;
    let field = |name, label, value, required| Field { name, label, kind: "text", value, required };
    let offer = Offer {
        label: words.t("fleet.add_session"),
        about: words.t("fleet.add_session_about"),
        icon: Some("plus"),
        fields: &[
            field("name", words.t("fleet.session_name"), None, true),
            field("tenant", words.t("fleet.tenant_or_default"), look.place.get("tenant"), false),
        ],
        leads: Some(("session", "name")),
        is_next,
        ..Offer::default()
    };
    acts::act(look, &ADD_SESSION, &offer)
}

fn table(look: &Look, rows: &[Row]) -> Markup {
    let words = look.words;
    html! {
        div.table { table {
            caption.hidden { (words.t("screens.fleet")) }
            thead { tr {
                @if picks::may(look) { th.pick scope="col" { span.hidden { (words.t("fleet.picked")) } } }
                th scope="col" { (words.t("fleet.session")) }
                th scope="col" { (words.t("fleet.status")) }
                th scope="col" { (words.t("fleet.phone")) }
                th scope="col" { (words.t("fleet.tenant")) }
                th.wide-only scope="col" { (words.t("fleet.worker")) }
                th scope="col" { (words.t("fleet.since")) }
                th scope="col" { (words.t("fleet.why")) }
                th scope="col" { span.hidden { (words.t("common.actions")) } }
            } }
            tbody {
                @for row in rows {
                    tr data-key=(row.name) {
                        @if picks::may(look) { td.pick { (picks::pick(look, row)) } }
                        th scope="row" { a.cover href=(Place::of("session", &row.name).href()) { (row.name) } }
                        td data-label=(words.t("fleet.status")) {
                            (format::session_status(words, if row.lost { "no_worker" } else { &row.status }))
                            @if row.paused_at.is_some() { " " (format::pill("warn", words.t("fleet.paused"))) }
                        }
                        td.phone data-label=(words.t("fleet.phone")) { @if let Some(phone) = &row.phone { "+" (phone) } }
                        td data-label=(words.t("fleet.tenant")) { (row.tenant) }
                        td.wide-only data-label=(words.t("fleet.worker")) { @if let Some(host) = &row.host { (host) } }
                        td data-label=(words.t("fleet.since")) { (format::ago(words, Some(row.status_at))) }
                        td.why data-label=(words.t("fleet.why")) {
                            @if let Some(reasons) = &row.reasons {
                                @if row.stuck { (format::pill("bad", words.t("queue.stuck"))) " " }
                                (reason::show(look.words, look.zone, reasons))
                            }
                        }
                        td.do { (row_acts(look, row)) }
                    }
                }
            }
        } }
    }
}

fn row_acts(look: &Look, row: &Row) -> Markup {
    let words = look.words;
    let fixed = [("session", row.name.as_str())];
    html! {
        @if !row.linked && row.status != "linking" {
            @if look.who.scope >= Scope::Operator {
                a class="button plain slim" href=(Place::of("session", &row.name).href()) { (words.t("fleet.link")) }
            }
        } @else if row.linked && row.status != "connected" {
            (acts::quick(look, &shared::CONNECT, words.t("session.connect"), &fixed))
        } @else if row.desired == "connected" {
            (acts::quick(look, &shared::CLOSE, words.t("session.close"), &fixed))
        }
        (shared::pause_or_resume(look, &row.name, row.paused_at.is_some()))
    }
}
