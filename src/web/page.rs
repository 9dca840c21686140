//! The frame of each page: head, navigation, main part; and the pages that are no screen.

use super::Web;
use super::assets::{ICONS, url};
use super::error::{Told, WebError, wants_json};
use super::format::icon;
use super::identity::Identity;
use super::look::{Group, Look, Screen, Shown};
use super::request::{Asked, Place};
use super::screens;
use super::shares::Reader;
use super::words::{self, Words};
use crate::telemetry::wall_clock;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::HashMap;
use url::form_urlencoded;

/// A whole document. The attributes of its root are for the scripts: the server's clock and words.
fn document(words: &Words, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(words.code) data-now=(wall_clock().to_rfc3339())
            data-ago=(words.t("time.ago")) data-in=(words.t("time.in")) data-span=(words.t("time.span"))
            data-copied=(words.t("script.copied")) data-lost=(words.t("script.lost"))
            data-away=(words.t("script.away")) data-done=(words.t("act.done")) data-silent=(words.t("script.silent")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title id="title" { (title) " · wagres" }
                link rel="icon" href=(url("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(url("family.css"));
                link rel="stylesheet" href=(url("web.css"));
                script type="module" src=(url("web.js")) {}
            }
            (body)
        }
    }
}

/// A page of the dashboard.
fn frame(look: &Look, is_live: bool, shown: &Shown) -> Markup {
    let words = look.words;
    let live = form_urlencoded::Serializer::new("/stream?".to_owned()).append_pair("view", &look.place.href()).finish();
    let body = html! {
        body.shell {
            (PreEscaped(ICONS))
            a.skip href="#main" { (words.t("common.skip")) }
            (navigation(look))
            header id="top" {
                button class="square quiet menu" popovertarget="nav" aria-label=(words.t("common.menu")) { (icon("menu")) }
                form.search role="search" action="/fleet" {
                    (icon("search"))
                    input type="search" name="q" data-search placeholder=(words.t("common.search"))
                        aria-label=(words.t("common.search")) value=[look.place.get("q").filter(|_| look.place.screen == "fleet")];
                    kbd { "/" }
                }
                p id="live" class="soft small" role="status" {}
            }
            div id="toasts" role="status" aria-live="polite" {}
            main id="main" tabindex="-1" data-live=[is_live.then_some(&live)] { (shown.body) }
            (shortcuts(words))
        }
    };
    document(words, &shown.title, &body)
}

fn navigation(look: &Look) -> Markup {
    let words = look.words;
    let link = |screen: &Screen| {
        let is_here = screen.name == look.place.screen;
        html! {
            li {
                a href={ "/" (screen.name) } data-go=(screen.key) aria-current=[is_here.then_some("page")] {
                    (icon(screen.icon)) (words.of_value("screens", screen.name))
                }
            }
        }
    };
    let of_group = |group| screens::ALL.iter().filter(move |screen| screen.group == Some(group));
    html! {
        nav id="nav" popover aria-label=(words.t("common.screens")) {
            a.brand href="/fleet" { img src=(url("icon.svg")) alt="" width="28" height="28"; b { "wagres" } }
            @for (at, group) in Group::ALL.iter().enumerate() {
                @if at > 0 { p.label { (words.of_value("groups", group.name())) } }
                ul { @for screen in of_group(*group) { (link(screen)) } }
            }
            footer {
                p { (words.t("login.signed_in")) " " b { (look.who.name) } " "
                    span.tag { (words.of_value("scope", look.who.scope.name())) }
                    @if let Some(tenant) = &look.who.tenant { " " span.tag { (tenant) } } }
                form method="post" action="/logout" { button class="button plain slim" { (words.t("login.sign_out")) } }
                (languages(words, &look.place.href()))
            }
        }
    }
}

/// The choice of a language, which leads back to `here`.
pub(super) fn languages(words: &Words, here: &str) -> Markup {
    html! {
        p.languages {
            @for language in Words::all() {
                a href={ "/language/" (language.code) "?to=" (encoded(here)) } lang=(language.code)
                    aria-current=[(language.code == words.code).then_some("true")] { (language.name) }
                " "
            }
        }
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn shortcuts(words: &Words) -> Markup {
    html! {
        dialog id="shortcuts" aria-labelledby="shortcuts-title" {
            h2 id="shortcuts-title" { (words.t("common.keys")) }
            dl.facts {
                dt { kbd { "/" } } dd { (words.t("common.search")) }
                @for screen in screens::ALL.iter().filter(|screen| screen.group.is_some()) {
                    dt { kbd { "g" } " " kbd { (screen.key) } } dd { (words.of_value("screens", screen.name)) }
                }
            }
            form method="dialog" { button class="button plain" { (words.t("common.close")) } }
        }
    }
}

/// A page without navigation: login, link page, errors. `live` is the stream of its main part.
pub(super) fn plain(words: &Words, title: &str, live: Option<&str>, content: &Markup) -> Markup {
    let body = html! {
        body.linkpage {
            (PreEscaped(ICONS))
            p id="live" class="soft small" role="status" {}
            div id="toasts" role="status" aria-live="polite" {}
            main.sheet id="main" tabindex="-1" data-live=[live] { (content) }
        }
    };
    document(words, title, &body)
}

/// The name of the product above the content of a plain page.
pub(super) fn brand() -> Markup {
    html! { header.brand { img src=(url("icon.svg")) alt="" width="28" height="28"; b { "wagres" } } }
}

/// The answer to a request that failed, which `wanted` this path: a page, or JSON for a program.
pub(super) fn answer(error: &WebError, words: &Words, headers: &HeaderMap, wanted: &str) -> Response {
    // A program that names itself by a token gets no form to sign in.
    if wants_json(headers) || error.is_signed_out() && headers.contains_key(header::AUTHORIZATION) {
        return error.json(words);
    }
    if error.is_signed_out() {
        return Redirect::to(&format!("/login?to={}", encoded(wanted))).into_response();
    }
    let told = error.told(words);
    (told.status, Html(problem(words, &told).into_string())).into_response()
}

/// What went wrong. While the database is away the page is loaded once more after a moment.
fn problem(words: &Words, told: &Told) -> Markup {
    let again = told.status == StatusCode::SERVICE_UNAVAILABLE;
    let content = html! {
        (brand())
        section class="state warn" data-reload=[again.then_some("5")] {
            (icon("warn"))
            h1 { (words.t("problem.title")) }
            p { (told.message) }
            @if let Some(hint) = &told.hint { p.soft { (hint) } }
            @if let Some(original) = &told.original { p class="soft small" lang="en" { (original) } }
        }
        p { a class="button plain" href="/fleet" { (words.t("problem.home")) } }
    };
    plain(words, words.t("problem.title"), None, &content)
}

/// What an act did, for a browser without scripts.
pub(super) fn done(words: &Words, call: &str, is_done: bool, message: &str, back: &str) -> Markup {
    let content = html! {
        (brand())
        p class={ "flash " (if is_done { "good" } else { "warn" }) } role="status" { (message) " " code.sql { (call) } }
        p { a.button href=(back) { (words.t("act.back")) } }
    };
    plain(words, words.t("act.done"), None, &content)
}

pub(super) async fn home() -> Redirect {
    Redirect::to("/fleet")
}

pub(super) async fn not_found(asked: Asked) -> Response {
    answer(&WebError::NotFound, asked.words, &asked.headers, &asked.wanted)
}

/// Remembers the language, and goes back.
pub(super) async fn language(
    State(web): State<Web>,
    Path(code): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    jar: CookieJar,
) -> Response {
    let to = query.get("to").and_then(|to| here(to)).unwrap_or_else(|| "/".into());
    let Some(language) = Words::of(&code) else { return StatusCode::NOT_FOUND.into_response() };
    let cookie =
        Cookie::build((words::COOKIE, language.code)).path("/").same_site(SameSite::Lax).secure(web.is_https());
    (jar.add(cookie.permanent()), Redirect::to(&to)).into_response()
}

/// A path of this server; nothing for a URL that leads elsewhere.
pub(super) fn here(path: &str) -> Option<String> {
    let url = url::Url::parse("http://page").ok()?.join(path).ok().filter(|url| url.host_str() == Some("page"))?;
    let here = &url[url::Position::BeforePath..];
    // A browser takes what follows two slashes for a host.
    (!here.starts_with("//")).then(|| here.to_owned())
}

pub(super) async fn screen(web: State<Web>, Path(_): Path<String>, asked: Asked) -> Response {
    show(&web, &asked).await
}

pub(super) async fn screen_of(web: State<Web>, Path(_): Path<(String, String)>, asked: Asked) -> Response {
    show(&web, &asked).await
}

async fn show(web: &Web, asked: &Asked) -> Response {
    match look(web, asked).await {
        Ok((page, who)) => asked.without_stale_cookie(&who.claim, Html(page.into_string()).into_response()),
        Err(error) => answer(&error, asked.words, &asked.headers, &asked.wanted),
    }
}

async fn look(web: &Web, asked: &Asked) -> Result<(Markup, Identity), WebError> {
    let place = Place::read(&asked.wanted).ok_or(WebError::NotFound)?;
    let screen = screens::of(&place)?;
    let (_share, tx, who) = asked.enter_in_turn(&web.pool, &web.hub.reads, Reader::of).await?;
    let is_live = (screen.is_live)(&place);
    let mut look = Look { tx, words: asked.words, zone: asked.zone, who, place };
    let shown = (screen.render)(&mut look).await?;
    let page = frame(&look, is_live, &shown);
    // The token's last use is written.
    look.tx.commit().await?;
    Ok((page, look.who))
}
