//! All sessions: how many have which status, and a table to search and filter.

use crate::web::acts::{self, Act};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, Screen, Shown, Topic};
use crate::web::request::Place;
use maud::html;
use uuid::Uuid;

pub(super) const SCREEN: Screen = Screen {
    name: "fleet",
    key: 'f',
    icon: "fleet",
    group: Some(Group::Sessions),
    topics: &[Topic::Session],
    render: |look| Box::pin(render(look)),
};

static PAUSE: Act = Act {
    name: "pause",
    scope: Scope::Operator,
    function: "wa.pause",
    sql: "SELECT wa.pause($1, $2)::text",
    arguments: &["session", "reason"],
};
static RESUME: Act = Act {
    name: "resume",
    scope: Scope::Operator,
    function: "wa.resume",
    sql: "SELECT wa.resume($1)::text",
    arguments: &["session"],
};
static CONNECT: Act = Act {
    name: "connect",
    scope: Scope::Operator,
    function: "wa.connect",
    sql: "SELECT wa.connect($1)::text",
    arguments: &["session"],
};

pub(super) const ACTS: &[&Act] = &[&PAUSE, &RESUME, &CONNECT];

/// Sessions on a page.
const ROWS: i64 = 100;
const STATUSES: [&str; 8] =
    ["connected", "connecting", "linking", "disconnected", "new", "stopped", "logged_out", "banned"];

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let tiles = sqlx::query_file!("sql/web/fleet_tiles.sql").fetch_all(&mut look.tx).await?;
    let place = &look.place;
    let worker = place.get("worker").and_then(|worker| Uuid::parse_str(worker).ok());
    let (search, status, tenant) = (place.get("q"), place.get("status"), place.get("tenant"));
    let (wish, after) = (place.get("wish"), place.get("after"));
    let rows = sqlx::query_file!("sql/web/fleet.sql", search, status, tenant, worker, wish, after, ROWS);
    let rows = rows.fetch_all(&mut look.tx).await?;
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let total: i64 = tiles.iter().map(|tile| tile.sessions).sum();
    let paused: i64 = tiles.iter().map(|tile| tile.paused).sum();
    let count = |status: &str| tiles.iter().find(|tile| tile.status == status).map_or(0, |tile| tile.sessions);
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.fleet")) }
                p.soft { (words.with("fleet.sessions", format::number(total))) }
            }
        }
        ul.tiles {
            @for status in STATUSES.iter().filter(|status| count(status) > 0) {
                @let href = Place { query: [("status".into(), (*status).into())].into(), ..Place::screen("fleet") }.href();
                li class="tile" data-key=(status) {
                    a href=(href) aria-current=[(place.get("status") == Some(status)).then_some("true")] {
                        span.label { (format::session_status(words, status)) }
                        b.number { (format::number(count(status))) }
                    }
                }
            }
            @if paused > 0 {
                li class="tile" data-key="paused" {
                    a href="/fleet?wish=paused" {
                        span.label { (format::pill("warn", words.t("fleet.paused"))) }
                        b.number { (format::number(paused)) }
                    }
                }
            }
        }
        @if rows.is_empty() {
            div.empty {
                h2 { (words.t(if total == 0 { "fleet.none" } else { "fleet.none_match" })) }
                @if total == 0 {
                    p { (words.t("fleet.add")) }
                    code.sql { "SELECT wa.add_session('shop');" }
                } @else {
                    p { a href="/fleet" { (words.t("fleet.all")) } }
                }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("screens.fleet")) }
                thead { tr {
                    th scope="col" { (words.t("fleet.session")) }
                    th scope="col" { (words.t("fleet.status")) }
                    th scope="col" { (words.t("fleet.phone")) }
                    th scope="col" { (words.t("fleet.tenant")) }
                    th scope="col" { (words.t("fleet.since")) }
                    th scope="col" { span.hidden { (words.t("common.actions")) } }
                } }
                tbody {
                    @for row in &rows {
                        tr data-key=(row.name) {
                            th scope="row" { a.cover href=(Place::of("session", &row.name).href()) { (row.name) } }
                            td data-label=(words.t("fleet.status")) {
                                (format::session_status(words, &row.status))
                                @if row.paused_at.is_some() { " " (format::pill("warn", words.t("fleet.paused"))) }
                            }
                            td data-label=(words.t("fleet.phone")) { @if let Some(phone) = &row.phone { "+" (phone) } }
                            td data-label=(words.t("fleet.tenant")) { (row.tenant) }
                            td data-label=(words.t("fleet.since")) { (format::ago(words, Some(row.status_at))) }
                            td.do {
                                @if row.paused_at.is_some() {
                                    (acts::quick(look, &RESUME, words.t("fleet.resume"), &[("session", &row.name)]))
                                } @else {
                                    (acts::quick(look, &PAUSE, words.t("fleet.pause"), &[("session", &row.name)]))
                                }
                            }
                        }
                    }
                }
            } }
            @if rows.len() as i64 == ROWS {
                nav.pages aria-label=(words.t("common.pages")) {
                    a rel="next" href=(place.with("after", rows.last().map(|row| row.name.as_str()))) { (words.t("common.next")) }
                }
            }
        }
    };
    Ok(Shown { title: words.t("screens.fleet").to_owned(), body, live: true })
}
