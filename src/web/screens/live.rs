//! Events as they come. The stream itself sends the last ones first (`src/web/stream/events.rs`).

use crate::web::look::{Group, Look, SELDOM, Screen, Shown};
use maud::html;

pub(super) const SCREEN: Screen = Screen {
    name: "live",
    key: 'l',
    icon: "live",
    group: Some(Group::Operation),
    topics: &[],
    tick: SELDOM,
    is_live: |_| false,
    render: |look| Box::pin(std::future::ready(Ok(render(look)))),
};

/// Rows that an open page keeps.
const ROWS: u32 = 300;

/// Beginnings of the kinds of events that one chooses among.
const KINDS: [&str; 6] = ["session_", "connection_", "message_", "passkey_", "crypto_", "auth_"];

fn render(look: &mut Look) -> Shown {
    let (words, place) = (look.words, &look.place);
    let (session, kind) = (place.get("session"), place.get("kind"));
    let mut stream = url::form_urlencoded::Serializer::new(String::from("/stream/events?"));
    stream.extend_pairs(session.map(|value| ("session", value))).extend_pairs(kind.map(|value| ("kind", value)));
    let stream = stream.finish();
    let body = html! {
        header.head {
            div {
                h1 { (words.t("screens.live")) }
                p.soft { (words.t("live.about")) }
            }
        }
        form.bar method="get" action="/live" {
            label.hidden for="live-session" { (words.t("live.session")) }
            input id="live-session" name="session" value=[session] placeholder=(words.t("live.session"));
            label.hidden for="live-kind" { (words.t("live.kind")) }
            input id="live-kind" name="kind" value=[kind] list="live-kinds" placeholder=(words.t("live.kind"));
            datalist id="live-kinds" { @for kind in KINDS { option value=(kind) {} } }
            button class="button plain" { (words.t("live.show")) }
            @if session.is_some() || kind.is_some() { a href="/live" { (words.t("live.all")) } }
        }
        section.panel data-keep data-events=(stream) data-max=(ROWS) {
            div.bar {
                input type="search" data-events-filter aria-label=(words.t("live.filter")) placeholder=(words.t("live.filter"));
                button class="button plain" type="button" data-events-pause aria-pressed="false" data-paused=(words.t("live.go_on")) {
                    (words.t("live.pause"))
                }
                span data-events-waiting data-words=(words.t("live.new")) class="soft small" {}
            }
            ol.events {}
            p.soft.small { (words.t("live.none")) " " code { "SELECT * FROM wa.event ORDER BY id DESC LIMIT 50;" } }
        }
    };
    Shown { title: words.t("screens.live").to_owned(), body }
}
