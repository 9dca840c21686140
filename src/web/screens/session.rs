//! One session: its state and why it does not send, the QR code while it is linked, its queue, its settings, its events.

mod acts;
mod events;
mod overview;
mod row;
mod settings;

use crate::web::acts::{self as web_acts, Field, Offer};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Look, OFTEN, Screen, Shown, Topic};
use crate::web::request::Place;
use crate::web::screens::shared;
use acts::{LINK, LINK_URL, LOGOUT, RESTORE_AUTH, text};
use events::events;
use maud::{Markup, html};
use overview::overview;
use row::Session;
use settings::settings;

pub(super) use acts::ACTS;

pub(super) const SCREEN: Screen = Screen {
    name: "session",
    key: 's',
    icon: "phone",
    group: None,
    topics: &[Topic::Session, Topic::Event, Topic::Job],
    tick: OFTEN,
    is_live: |_| true,
    render: |look| Box::pin(render(look)),
};

const TABS: [&str; 3] = ["overview", "events", "settings"];

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
    Ok(Shown { title: name, body })
}

fn head(look: &Look, session: &Session) -> Markup {
    let words = look.words;
    html! {
        header.head {
            div {
                p.crumbs { a href="/fleet" { (words.t("screens.fleet")) } }
                h1 {
                    (session.name) " " (format::session_status(words, if session.lost { "no_worker" } else { &session.status }))
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
        web_acts::act(look, one, &Offer { label, about, icon: Some(icon), fixed, fields, ..Offer::default() })
    };
    let is_linked = session.jid.is_some();
    html! {
        @if session.paused_at.is_some() {
            (plain(&shared::RESUME, "play", words.t("session.resume"), words.t("session.resume_about"), &[]))
        } @else {
            (plain(&shared::PAUSE, "pause", words.t("session.pause"), words.t("session.pause_about"), &reason))
        }
        @if is_linked {
            (plain(&shared::SEND, "send", words.t("session.send"), words.t("session.send_about"), &[
                Field { kind: "tel", required: true, ..text("recipient", words.t("session.recipient"), None) },
                Field { kind: "textarea", required: true, ..text("body", words.t("session.body"), None) },
            ]))
        }
        @if is_linked && session.status != "connected" {
            (plain(&shared::CONNECT, "link", words.t("session.connect"), words.t("session.connect_about"), &[]))
        }
        @if session.desired == "connected" {
            (plain(&shared::CLOSE, "stop", words.t("session.close"), words.t("session.close_about"), &reason))
        }
        @if !is_linked {
            (web_acts::act(look, &LINK, &Offer {
                label: words.t("session.link"),
                about: words.t("session.link_about"),
                icon: Some("qr"),
                fixed,
                fields: &[Field { kind: "tel", ..text("phone", words.t("session.phone_for_code"), None) }],
                is_next: session.status != "linking",
                ..Offer::default()
            }))
            (web_acts::act(look, &LINK_URL, &Offer {
                label: words.t("session.link_url"),
                about: words.t("session.link_url_about"),
                icon: Some("out"),
                fixed,
                fields: &[text("valid", words.t("session.valid"), Some("30 min"))],
                copies: true,
                ..Offer::default()
            }))
        }
        @if session.status == "logged_out" {
            (plain(&RESTORE_AUTH, "retry", words.t("session.restore_auth"), words.t("session.restore_auth_about"), &[]))
        }
        @if is_linked {
            (web_acts::act(look, &LOGOUT, &Offer {
                label: words.t("session.logout"), about: words.t("session.logout_about"), icon: Some("unlink"), fixed,
                fields: &[
                    text("reason", words.t("session.reason"), None),
                    Field { kind: "checkbox", ..text("force", words.t("session.force"), None) },
                ],
                danger: true,
                ..Offer::default()
            }))
        }
    }
}
