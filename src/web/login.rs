//! Signing in: with a token, or by a one-time link; and signing out. A cookie holds a secret of its own, which ends with
//! the token that it came from.

use super::Web;
use super::error::WebError;
use super::identity::begin;
use super::page;
use super::request::{Asked, COOKIE};
use super::words::Words;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::HeaderName;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use maud::html;
use serde::Deserialize;
use std::collections::HashMap;

/// The form of the login page.
#[derive(Debug, Deserialize)]
pub(super) struct Login {
    token: String,
    #[serde(default)]
    to: String,
}

/// The login page; leads on at once whom a trusted proxy has signed in, or who is signed in already.
pub(super) async fn page(
    State(web): State<Web>,
    Query(query): Query<HashMap<String, String>>,
    asked: Asked,
) -> Response {
    let to = query.get("to").and_then(|to| page::here(to)).unwrap_or_else(|| "/fleet".into());
    if let Ok((tx, who)) = asked.enter(&web.pool).await
        && tx.commit().await.is_ok()
    {
        return asked.without_stale_cookie(&who.claim, Redirect::to(&to).into_response());
    }
    Html(form(asked.words, &to, None)).into_response()
}

fn form(words: &Words, to: &str, problem: Option<&str>) -> String {
    let content = html! {
        (page::brand())
        h1 { (words.t("login.title")) }
        @if let Some(problem) = problem { p class="flash bad" role="alert" { (problem) } }
        form method="post" action="/login" {
            input type="hidden" name="to" value=(to);
            div.field {
                label for="token" { (words.t("login.token")) }
                input id="token" name="token" type="password" autocomplete="current-password" required autofocus
                    spellcheck="false";
            }
            div.row { button.button { (words.t("login.sign_in")) } }
        }
        p class="soft small" { (words.t("login.how")) }
        code.sql { "wagres token add ops --scope operator" }
        (page::languages(words, "/login"))
    };
    page::plain(words, words.t("login.title"), None, &content).into_string()
}

/// A cookie for a token.
pub(super) async fn sign_in(
    State(web): State<Web>,
    asked: Asked,
    jar: CookieJar,
    Form(login): Form<Login>,
) -> Response {
    let to = page::here(&login.to).unwrap_or_else(|| "/fleet".into());
    match exchange(&web, &asked, login.token.trim()).await {
        Ok(cookie) => (jar.add(cookie), Redirect::to(&to)).into_response(),
        Err(error) if error.is_signed_out() => {
            let text = form(asked.words, &to, Some(asked.words.t("login.refused")));
            (axum::http::StatusCode::UNAUTHORIZED, Html(text)).into_response()
        }
        Err(error) => page::answer(&error, asked.words, &asked.headers, "/login"),
    }
}

/// Whether it may be the secret of a one-time link, as `wa.new_secret` makes them.
fn is_link(secret: &str) -> bool {
    let is_digit = |letter: u8| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
    secret.strip_prefix("wal_").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(is_digit))
}

/// The page of a one-time link. It asks for a click, because programs that preview links would spend it.
pub(super) async fn link_page(Path(secret): Path<String>, asked: Asked) -> Response {
    let words = asked.words;
    // In the address of a form another secret might lead elsewhere.
    if !is_link(&secret) {
        return page::answer(&WebError::NotFound, words, &asked.headers, &asked.wanted);
    }
    let content = html! {
        (page::brand())
        h1 { (words.t("login.title")) }
        p { (words.t("login.by_link")) }
        form method="post" action={ "/login/" (secret) } {
            div.row { button.button autofocus { (words.t("login.sign_in")) } }
        }
    };
    Html(page::plain(words, words.t("login.title"), None, &content).into_string()).into_response()
}

/// A cookie for a one-time link, which is spent.
pub(super) async fn sign_in_by_link(
    State(web): State<Web>,
    Path(secret): Path<String>,
    asked: Asked,
    jar: CookieJar,
) -> Response {
    let exchanged = if is_link(&secret) { exchange(&web, &asked, &secret).await } else { Err(WebError::SignedOut) };
    match exchanged {
        Ok(cookie) => (jar.add(cookie), Redirect::to("/fleet")).into_response(),
        Err(error) if error.is_signed_out() => {
            let text = form(asked.words, "/fleet", Some(asked.words.t("login.link_spent")));
            (axum::http::StatusCode::UNAUTHORIZED, Html(text)).into_response()
        }
        Err(error) => page::answer(&error, asked.words, &asked.headers, "/login"),
    }
}

/// The cookie for a secret.
async fn exchange(web: &Web, asked: &Asked, secret: &str) -> Result<Cookie<'static>, WebError> {
    web.limits.attempt(asked.client)?;
    let mut tx = begin(&web.pool).await?;
    let cookie = sqlx::query_scalar!(r#"SELECT wa.web_login($1) AS "secret!""#, secret).fetch_one(&mut tx).await?;
    tx.commit().await?;
    let cookie = Cookie::build((COOKIE, cookie)).path("/").http_only(true).same_site(SameSite::Strict);
    Ok(cookie.secure(web.is_https()).build())
}

/// Ends the cookie, here and in the database, and what the browser has kept of files.
pub(super) async fn sign_out(State(web): State<Web>, asked: Asked, jar: CookieJar) -> Response {
    let ended = async {
        if let Some(cookie) = jar.get(COOKIE) {
            let mut tx = begin(&web.pool).await?;
            sqlx::query!("SELECT wa.web_logout($1)", cookie.value()).execute(&mut tx).await?;
            tx.commit().await?;
        }
        Ok::<_, WebError>(())
    };
    if let Err(error) = ended.await
        && !error.is_signed_out()
    {
        return page::answer(&error, asked.words, &asked.headers, "/login");
    }
    let clear = [(HeaderName::from_static("clear-site-data"), "\"cache\"")];
    (jar.remove(Cookie::build(COOKIE).path("/")), clear, Redirect::to("/login")).into_response()
}
