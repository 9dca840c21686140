//! The link page: whoever holds its URL links one phone to one session (S2). The secret in the URL is all that it takes and
//! all that it gives; see `wa.link_page`.

use super::error::{WebError, wants_json};
use super::identity::begin;
use super::request::Asked;
use super::shares::Reader;
use super::turns::{QUICK, in_turn};
use super::words::Words;
use super::{Web, format, marketplace, page, qr};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::{Form, Json};
use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sqlx::Executor as _;
use sqlx::postgres::PgPool;
use std::collections::HashMap;

/// What the database says of a link.
struct Link {
    state: String,
    session: Option<String>,
    status: Option<String>,
    status_reason: Option<String>,
    phone: Option<String>,
    qr: Option<String>,
    qr_expires_at: Option<DateTime<Utc>>,
    code: Option<String>,
    code_expires_at: Option<DateTime<Utc>>,
    passkey_stage: Option<String>,
    passkey_request: Option<Value>,
    passkey_code: Option<String>,
    passkey_error: Option<String>,
    passkey_expires_at: Option<DateTime<Utc>>,
    job_status: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    ended: Option<String>,
    company_status: Option<String>,
}

async fn read(pool: &PgPool, secret: &str) -> Result<Link, WebError> {
    let mut tx = begin(pool).await?;
    let link = sqlx::query_file_as!(Link, "sql/web/link_page.sql", secret).fetch_one(&mut tx).await?;
    tx.commit().await?;
    Ok(link)
}

/// The same for a request, with the share of the connections that all pages of links have.
async fn read_in_turn(web: &Web, secret: &str) -> Result<Link, WebError> {
    let _share = web.hub.reads.wait(Reader::Links).await.ok_or(WebError::Crowded)?;
    read(&web.pool, secret).await
}

/// Where the page is. A secret that nobody has made leads to no other page either.
fn address(secret: &str) -> String {
    /// Of those that `wa.new_secret` makes none is encoded.
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');
    format!("/link/{}", utf8_percent_encode(secret, ENCODED))
}

/// A link that exists. A wrong secret counts as an attempt to guess one.
async fn known(web: &Web, secret: &str, asked: &Asked) -> Result<Link, WebError> {
    let link = read_in_turn(web, secret).await?;
    if link.state == "unknown" {
        web.limits.attempt(asked.client)?;
    }
    Ok(link)
}

/// The page.
pub(super) async fn page(State(web): State<Web>, Path(secret): Path<String>, asked: Asked) -> Response {
    match known(&web, &secret, &asked).await {
        Ok(link) => {
            let words = asked.words;
            let live = format!("{}/live", address(&secret));
            let live = matches!(link.state.as_str(), "open" | "spent").then_some(live.as_str());
            let title = link
                .session
                .as_deref()
                .map_or_else(|| words.t("link.link").to_owned(), |name| words.with("link.title", name));
            let status = if link.state == "unknown" { StatusCode::NOT_FOUND } else { StatusCode::OK };
            (status, Html(page::plain(words, &title, live, &content(words, &secret, &link)).into_string()))
                .into_response()
        }
        Err(error) => page::answer(&error, asked.words, &asked.headers, &asked.wanted),
    }
}

/// Whether there is such a link, for the stream of its page.
pub(super) async fn check(web: &Web, secret: &str, asked: &Asked) -> Result<(), WebError> {
    match known(web, secret, asked).await?.state.as_str() {
        "unknown" => Err(WebError::NotFound),
        _ => Ok(()),
    }
}

/// The main part of the page, for its stream.
pub(super) async fn render(pool: &PgPool, words: &Words, secret: &str) -> Result<String, WebError> {
    let link = read(pool, secret).await?;
    Ok(content(words, secret, &link).into_string())
}

/// The QR code of this moment as PNG.
pub(super) async fn qr_png(State(web): State<Web>, Path(secret): Path<String>, asked: Asked) -> Response {
    match known(&web, &secret, &asked).await {
        Ok(link) => match link.qr.as_deref().and_then(qr::png) {
            Some(png) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
            None => page::answer(&WebError::NotFound, asked.words, &asked.headers, &asked.wanted),
        },
        Err(error) => page::answer(&error, asked.words, &asked.headers, &asked.wanted),
    }
}

/// A step of the user: `start` (QR codes; with a number also a pairing code), `answer`, `confirm` or `refuse` of a passkey.
pub(super) async fn step(
    State(web): State<Web>,
    Path((secret, step)): Path<(String, String)>,
    asked: Asked,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    let field = |name| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let taken = async {
        web.limits.attempt(asked.client)?;
        if step == "activate" {
            return marketplace::by_link(&web, &secret).await.map_err(WebError::Invalid);
        }
        // Of a link that nobody has made there is none.
        let session = read_in_turn(&web, &secret).await?.session.unwrap_or_default();
        in_turn(&web.linkings, session, || once(&web.pool, &secret, &step, &field, asked.words)).await?;
        web.hub.acted();
        Ok::<_, WebError>(())
    };
    match taken.await {
        Ok(()) if wants_json(&asked.headers) => {
            let done = match step.as_str() {
                "answer" => "link.answer_sent",
                "confirm" => "link.confirmed",
                "refuse" => "link.refused",
                _ if field("phone").is_some() => "link.code_requested",
                _ => "link.qr_requested",
            };
            Json(json!({ "ok": true, "message": asked.words.t(done) })).into_response()
        }
        Ok(()) => Redirect::to(&address(&secret)).into_response(),
        Err(error) => page::answer(&plainly(error, asked.words), asked.words, &asked.headers, "/"),
    }
}

/// An attempt to take a step.
async fn once<'a>(
    pool: &PgPool,
    secret: &str,
    step: &str,
    field: &(impl Fn(&'static str) -> Option<&'a str> + Sync),
    words: &Words,
) -> Result<(), WebError> {
    let mut tx = begin(pool).await?;
    tx.execute(QUICK).await?;
    match step {
        "start" => {
            sqlx::query_scalar!("SELECT wa.link_page_start($1, $2)", secret, field("phone")).fetch_one(&mut tx).await?;
        }
        "answer" => {
            let answer = serde_json::from_str::<Value>(field("answer").unwrap_or_default())
                .map_err(|_| WebError::Invalid(words.t("link.answer_not_json").to_owned()))?;
            sqlx::query_scalar!("SELECT wa.link_page_answer($1, $2)", secret, answer).fetch_one(&mut tx).await?;
        }
        "confirm" => {
            sqlx::query_scalar!("SELECT wa.link_page_confirm($1, $2)", secret, field("code"))
                .fetch_one(&mut tx)
                .await?;
        }
        "refuse" => {
            sqlx::query_scalar!("SELECT wa.link_page_refuse($1)", secret).fetch_one(&mut tx).await?;
        }
        _ => return Err(WebError::NotFound),
    }
    tx.commit().await?;
    Ok(())
}

/// The same in the words of somebody who knows nothing of SQL: whoever holds the link is a customer.
fn plainly(error: WebError, words: &Words) -> WebError {
    let WebError::Sql(sql) = &error else { return error };
    let code = sql.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let Some(code) = code.filter(|code| code.starts_with("WA")) else { return error };
    WebError::Invalid(
        words
            .t(match code.as_ref() {
                "WA002" => "link.bad_number",
                "WA028" => "link.too_many",
                "WA053" => "link.not_open",
                _ => "link.did_not_work",
            })
            .to_owned(),
    )
}

/// The main part of the page.
fn content(words: &Words, secret: &str, link: &Link) -> Markup {
    let session = link.session.as_deref().unwrap_or_default();
    html! {
        (page::brand())
        @match link.state.as_str() {
            "open" => {
                h1 { (words.with("link.title", session)) }
                (open(words, secret, link))
                @if let Some(end) = link.expires_at && link.status.as_deref() != Some("connected") {
                    p class="soft small" { (words.t("link.valid")) " " (format::until(end)) }
                }
            }
            "spent" => {
                @match &link.phone {
                    Some(phone) => (connected(words, phone)),
                    None => (state("good", "check", words.t("link.spent"), words.t("link.spent_next"))),
                }
                (activation(words, secret, link))
            }
            "expired" => (state("warn", "clock", words.t("link.expired"), words.t("link.ask_again"))),
            "revoked" => (state("warn", "stop", words.t("link.revoked"), words.t("link.ask_again"))),
            _ => (state("bad", "warn", words.t("link.unknown"), words.t("link.ask_again"))),
        }
        (page::languages(words, &address(secret)))
    }
}

fn state(tone: &str, icon: &str, title: &str, next: &str) -> Markup {
    html! {
        section class={ "state " (tone) } data-key=(icon) {
            (format::icon(icon))
            h2 { (title) }
            p { (next) }
        }
    }
}

fn connected(words: &Words, phone: &str) -> Markup {
    state("good", "check", &words.with("link.connected", format_args!("+{phone}")), words.t("link.connected_next"))
}

/// What the partner is told of the company whose phone is linked. The page begins that by itself, once.
fn activation(words: &Words, secret: &str, link: &Link) -> Markup {
    let form = |auto: bool, label| {
        html! {
            form method="post" action={ (address(secret)) "/activate" } data-act data-auto[auto] {
                div.row { button.button { (words.t(label)) } }
            }
        }
    };
    html! {
        @match link.company_status.as_deref() {
            Some("registered") => (form(true, "link.partner_tell")),
            Some("activating") => {
                section class="state busy" data-key="partner" {
                    (format::icon("phone"))
                    h2 { (words.t("link.partner_told")) }
                    p { (words.t("link.moment")) }
                }
            }
            Some("active") => p class="flash good" { (words.t("link.partner_active")) },
            Some("failed") => {
                p class="flash bad" { (words.t("link.partner_failed")) }
                (form(false, "link.partner_again"))
            }
            _ => {}
        }
    }
}

/// A link that may still be used.
fn open(words: &Words, secret: &str, link: &Link) -> Markup {
    let status = link.status.as_deref().unwrap_or_default();
    let stage = link.passkey_stage.as_deref().filter(|_| status != "connected");
    html! {
        @if status == "connected" {
            @let phone = format!("+{}", link.phone.as_deref().unwrap_or_default());
            (state("good", "check", &words.with("link.connected", phone), words.t("link.already")))
            (activation(words, secret, link))
        } @else if let Some(stage) = stage {
            (passkey(words, secret, link, stage))
        } @else if let Some(text) = &link.qr {
            div.linking {
                div.stack data-key="steps" {
                    ol.steps {
                        li { div { (words.t("link.step_open")) } }
                        li { div { (words.t("link.step_devices")) } }
                        li { div { (words.t("link.step_scan")) } }
                    }
                }
                div class="stack shown" data-key="shown" {
                    div.qr {
                        div role="img" aria-label=(words.t("link.qr")) {
                            @if let Some(svg) = qr::svg(text) { (PreEscaped(svg)) }
                        }
                    }
                    @if let Some(end) = link.qr_expires_at {
                        p.under { (words.t("link.new_code")) " " (format::clock(end)) }
                    }
                }
                (code(words, secret, link))
            }
        } @else {
            (waiting(words, secret, link, status))
            @if status == "linking" { (code(words, secret, link)) }
        }
    }
}

/// How `wa.session.status_reason` begins when WhatsApp gave no pairing code (`session::linking`).
const NO_CODE: &str = "no pairing code: ";

/// The pairing code, or the form that asks for one and says why the last one did not come or ended.
fn code(words: &Words, secret: &str, link: &Link) -> Markup {
    html! {
        div.stack data-key="code" {
            @if let Some(code) = &link.code {
                p.or { (words.t("link.code")) }
                (format::letters(code))
                p { (words.t("link.code_how")) }
                @if let Some(end) = link.code_expires_at {
                    p.under { (words.t("link.code_until")) " " (format::clock(end)) }
                }
            } @else {
                @if link.status_reason.as_deref().is_some_and(|reason| reason.starts_with(NO_CODE)) {
                    p class="flash warn" role="alert" { (words.t("link.no_code")) }
                } @else if link.status.as_deref() == Some("linking") && link.ended.as_deref() == Some("code_expired") {
                    p class="flash warn" role="alert" { (words.t("link_end.code_expired")) " " (words.t("link.code_again")) }
                }
                p.or { (words.t("link.by_number")) }
                form.stacked method="post" action={ (address(secret)) "/start" } data-act {
                    div.field {
                        label for="phone" { (words.t("link.number")) }
                        div.row {
                            input id="phone" name="phone" type="tel" inputmode="tel" autocomplete="tel"
                                placeholder="+7 900 123-45-67" required maxlength="32";
                            button.button { (words.t("link.get_code")) }
                        }
                        small { (words.t("link.five_codes")) }
                    }
                }
            }
        }
    }
}

/// No code at the moment: not begun, on the way, or ended with a reason.
fn waiting(words: &Words, secret: &str, link: &Link, status: &str) -> Markup {
    let failed = link.job_status.as_deref() == Some("failed");
    let ended = link.ended.as_deref().or(failed.then_some("other"));
    let is_begun = matches!(link.job_status.as_deref(), Some("queued" | "running"));
    html! {
        @if matches!(status, "linking" | "connecting") || is_begun {
            section class="state busy" {
                (format::icon("phone"))
                h2 { (words.t(if status == "connecting" { "link.connecting" } else { "link.preparing" })) }
                p { (words.t("link.moment")) }
            }
        } @else {
            @if status == "banned" {
                (state("bad", "warn", words.t("link.banned"), words.t("link.banned_next")))
            } @else if ended.is_some() {
                (state("warn", "info", words.t("link.not_linked"), words.t("link.try_again")))
            }
            @if let Some(ended) = ended { p class="soft" { (why(words, ended)) } }
            @if status != "banned" {
                ol.steps {
                    li { (words.t("link.step_ready")) }
                    li { (words.t("link.step_begin")) }
                }
                form method="post" action={ (address(secret)) "/start" } data-act {
                    div.row { button.button { (words.t("link.show_qr")) } }
                }
                (code(words, secret, link))
            }
        }
    }
}

/// Why no phone was linked, by the end of the last connection (`session::ending`).
fn why<'a>(words: &'a Words, ended: &str) -> &'a str {
    let name = match ended {
        "no_scan" => "link_end.no_scan",
        "code_expired" => "link_end.code_expired",
        "logged_out" => "link_end.logged_out",
        "banned" => "link_end.banned",
        "locked" => "link_end.locked",
        "rate_limited" => "link_end.rate_limited",
        "unavailable" => "link_end.unavailable",
        "lost" => "link_end.lost",
        "replaced" => "link_end.replaced",
        "outdated" => "link_end.outdated",
        "refused" => "link_end.refused",
        "stream_error" => "link_end.stream_error",
        "unanswered" => "link_end.unanswered",
        _ => "link_end.other",
    };
    words.t(name)
}

/// The line for the console of a browser that has the passkey.
pub(super) fn passkey_line(request: Option<&Value>) -> String {
    let request = request.map(Value::to_string).unwrap_or_default();
    format!(
        "copy(JSON.stringify((await navigator.credentials.get({{publicKey: \
         PublicKeyCredential.parseRequestOptionsFromJSON({request})}})).toJSON()))"
    )
}

/// What `wa.refuse_passkey` writes to `wa.passkey.error`.
pub(super) const REFUSED: &str = "the phone shows another code";

/// The steps of an account that demands its passkey.
fn passkey(words: &Words, secret: &str, link: &Link, stage: &str) -> Markup {
    html! {
        section {
            h2 { (words.t("link.passkey")) }
            @match stage {
                "requested" => {
                    @let command = passkey_line(link.passkey_request.as_ref());
                    ol.steps {
                        li { (words.t("link.passkey_open")) " " code { "https://web.whatsapp.com" } }
                        li {
                            (words.t("link.passkey_console"))
                            div.copied {
                                code.sql id="passkey-line" { (command) }
                                button type="button" class="button plain slim" data-copy-of="passkey-line" { (words.t("common.copy")) }
                            }
                        }
                        li { (words.t("link.passkey_paste")) }
                    }
                    form method="post" action={ (address(secret)) "/answer" } data-act data-key="answer" {
                        div.field {
                            label for="answer" { (words.t("link.answer")) }
                            textarea id="answer" name="answer" rows="4" required spellcheck="false" {}
                        }
                        div.row { button.button { (words.t("link.send")) } }
                    }
                }
                "code" => {
                    p { (words.t("link.passkey_compare")) }
                    @let code = link.passkey_code.as_deref().unwrap_or_default();
                    (format::letters(code))
                    form method="post" action={ (address(secret)) "/confirm" } data-act data-key="confirm" {
                        input type="hidden" name="code" value=(code);
                        div.row { button.button { (words.t("link.same_code")) } }
                    }
                    form method="post" action={ (address(secret)) "/refuse" } data-act data-key="refuse" {
                        div.row { button class="button danger" { (words.t("link.other_code")) } }
                    }
                }
                "failed" => {
                    p class="flash bad" {
                        @match link.passkey_error.as_deref() {
                            Some(REFUSED) => span { (words.t("link.refused")) },
                            error => { span { (words.t("link.passkey_failed")) } @if let Some(error) = error { small lang="en" { (error) } } }
                        }
                    }
                    form method="post" action={ (address(secret)) "/start" } data-act {
                        div.row { button.button { (words.t("link.show_qr")) } }
                    }
                }
                _ => p { (words.t("link.moment")) },
            }
            @if stage != "failed" && let Some(end) = link.passkey_expires_at {
                p.under { (words.t("link.passkey_until")) " " (format::clock(end)) }
            }
        }
    }
}
