//! The chats of a session: the last message of each, one conversation, a search, and an answer.

mod search;

use super::shared;
use crate::web::acts::{self, Act};
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::{Group, Look, SELDOM, Screen, Shown, Topic};
use crate::web::media::{Shape, shape_of};
use crate::web::reason;
use crate::web::request::Place;
use crate::web::words::Words;
use chrono::{DateTime, Datelike as _, Utc};
use maud::{Markup, html};
use std::collections::HashMap;

pub(super) const SCREEN: Screen = Screen {
    name: "inbox",
    key: 'i',
    icon: "inbox",
    group: Some(Group::Messages),
    topics: &[Topic::Inbound, Topic::Status],
    tick: SELDOM,
    is_live,
    render: |look| Box::pin(render(look)),
};

static DOWNLOAD: Act = Act {
    name: "download",
    scope: Scope::Operator,
    function: "wa.download",
    sql: "SELECT wa.download($1::bigint)::text",
    arguments: &["inbox_id"],
};

pub(super) const ACTS: &[&Act] = &[&DOWNLOAD];

/// Sessions, chats and messages on a page.
const ROWS: i64 = 50;
/// The same, as `wa.chat_page` takes it.
const PAGE: i32 = 50;
/// Messages, and chats, among which the newest chats are looked for.
const AMONG: i64 = 250;
/// Characters of a text that a conversation shows; a received one may have a million.
const TEXT: i32 = 4096;

/// A chat in the list.
struct Chat {
    jid: String,
    name: String,
    at: Option<DateTime<Utc>>,
    from_me: bool,
    kind: String,
    body: Option<String>,
}

/// A page of chats.
struct Chats {
    rows: Vec<Chat>,
    /// Where the next page begins, if there is one.
    next: Option<String>,
}

/// The choice of a session, a search, and a page of the past stay as they are.
fn is_live(place: &Place) -> bool {
    place.item.is_some() && place.get("q").is_none() && place.get("before").is_none()
}

async fn render(look: &mut Look) -> Result<Shown, WebError> {
    let Some(session) = look.place.item.clone() else {
        return choose(look).await;
    };
    let found =
        sqlx::query!(r#"SELECT session_id, jid IS NOT NULL AS "is_linked!" FROM wa.session WHERE name = $1"#, session);
    let found = found.fetch_optional(&mut look.tx).await?.ok_or(WebError::NotFound)?;
    let (session_id, is_linked) = (found.session_id, found.is_linked);
    let chats = chats(look, session_id).await?;
    let chat = look.place.get("chat").map(str::to_owned);
    let search = look.place.get("q").map(search::bounded);
    let pane = match (&search, &chat) {
        (Some(search), _) => Some(search::hits(look, &session, search, chat.as_deref()).await?),
        (None, Some(chat)) => Some(conversation(look, session_id, &session, chat).await?),
        (None, None) => None,
    };
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let by_number = place.get("by") == Some("number");
    let list = Place { query: place.query.iter().filter(|(key, _)| *key == "by").map(own).collect(), ..place.clone() };
    let body = html! {
        header.head {
            div {
                p.crumbs { a href="/inbox" { (words.t("screens.inbox")) } }
                h1 { (session) }
            }
        }
        nav.chips aria-label=(words.t("inbox.order")) {
            a href=(list.with("by", None)) aria-current=[(!by_number).then_some("true")] { (words.t("inbox.newest")) }
            a href=(list.with("by", Some("number"))) aria-current=[by_number.then_some("true")] { (words.t("inbox.all")) }
        }
        div.inbox data-pane=[pane.is_some().then_some("chat")] {
            section.chats aria-label=(words.t("inbox.chats")) {
                form.bar method="get" role="search" action=(Place::of("inbox", &session).href()) {
                    input type="search" name="q" value=[search.as_deref()] maxlength=(search::LONGEST) aria-label=(words.t("inbox.search")) placeholder=(words.t("inbox.search"));
                }
                @if !chats.rows.is_empty() { ul.list {
                    @for row in &chats.rows {
                        @let current = chat.as_ref() == Some(&row.jid);
                        li data-key=(row.jid) { a.item href=(place_of_chat(place, &row.jid)) aria-current=[current.then_some("true")] {
                            (avatar(&row.name, &row.jid))
                            span.lines {
                                span { b { (row.name) } @if let Some(at) = row.at { (format::ago(words, Some(at))) } }
                                span { small {
                                    @if row.from_me { (words.t("inbox.you")) " " }
                                    (short(words, &row.kind, row.body.as_deref()))
                                } }
                            }
                        } }
                    }
                } }
                @if chats.rows.is_empty() && !is_linked {
                    div.empty {
                        h2 { (words.t("inbox.not_linked")) }
                        p { (words.t("inbox.not_linked_about")) }
                        p { a.button href=(Place::of("session", &session).href()) { (words.t("queue.to_session")) } }
                    }
                } @else if chats.rows.is_empty() {
                    div.empty {
                        h2 { (words.t("inbox.no_chats")) }
                        p { (words.t(if by_number { "inbox.no_chats_about" } else { "inbox.none_received" })) }
                        code.sql { (shared::SEND.call(&[Some(&session), Some("+79001234567"), Some("Hello")])) }
                    }
                }
                @if let Some(next) = &chats.next {
                    nav.pages aria-label=(words.t("common.pages")) {
                        a rel="next" href=(list.with("after", Some(next))) { (words.t("common.next")) }
                    }
                }
            }
            section.conversation-pane aria-label=(words.t("inbox.conversation")) {
                @if let Some(pane) = pane { (pane) } @else {
                    div.empty { h2 { (words.t("inbox.choose_chat")) } p { (words.t("inbox.choose_chat_about")) } }
                }
            }
        }
    };
    Ok(Shown { title: format!("{session} · {}", words.t("screens.inbox")), body })
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// The chat, beside the same page of the list.
fn place_of_chat(place: &Place, chat: &str) -> String {
    let mut place = place.clone();
    place.query.retain(|key, _| matches!(key.as_str(), "by" | "after"));
    place.with("chat", Some(chat))
}

/// Chooses a session.
async fn choose(look: &mut Look) -> Result<Shown, WebError> {
    let (search, after) = (look.place.get("q"), look.place.get("after"));
    let rows = sqlx::query_file!("sql/web/inbox_sessions.sql", search, after, ROWS).fetch_all(&mut look.tx).await?;
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    let body = html! {
        header.head { div { h1 { (words.t("screens.inbox")) } p.soft { (words.t("inbox.choose")) } } }
        form.bar method="get" action="/inbox" role="search" {
            label for="inbox-session" { (words.t("inbox.find")) }
            input id="inbox-session" type="search" name="q" value=[place.get("q")] placeholder=(words.t("inbox.find_by"));
            button class="button plain" { (words.t("inbox.find_do")) }
        }
        @if rows.is_empty() && (place.get("q").is_some() || place.get("after").is_some()) {
            div.empty {
                h2 { (words.t("inbox.no_session")) }
                p { (words.t("inbox.no_session_about")) }
                p { a.button href="/inbox" { (words.t("fleet.all")) } }
            }
        } @else if rows.is_empty() {
            div.empty {
                h2 { (words.t("fleet.none")) }
                p { (words.t("inbox.none_about")) }
                p { a.button href="/fleet" { (words.t("screens.fleet")) } }
            }
        } @else {
            div.table { table {
                caption.hidden { (words.t("inbox.choose")) }
                thead { tr {
                    th scope="col" { (words.t("fleet.session")) }
                    th scope="col" { (words.t("fleet.status")) }
                    th scope="col" { (words.t("fleet.phone")) }
                    th scope="col" { (words.t("fleet.tenant")) }
                } }
                tbody { @for row in &rows {
                    tr data-key=(row.name) {
                        th scope="row" { a.cover href=(Place::of("inbox", &row.name).href()) { (row.name) } }
                        td { (format::session_status(words, &row.status)) }
                        td data-label=(words.t("fleet.phone")) { @if let Some(phone) = &row.phone { "+" (phone) } }
                        td data-label=(words.t("fleet.tenant")) { (row.tenant) }
                    }
                } }
            } }
            (shared::next_page(look, "after", &rows, ROWS, |row| row.name.clone()))
        }
    };
    Ok(Shown { title: words.t("screens.inbox").to_owned(), body })
}

/// Where a page begins, such as `2026-11-20T10:00:00+00:00 3EB0…`.
fn moment_and_key(place: Option<&str>) -> Option<(DateTime<Utc>, &str)> {
    let (moment, key) = place?.split_once(' ')?;
    Some((DateTime::parse_from_rfc3339(moment).ok()?.with_timezone(&Utc), key))
}

/// A page of the chats: those with the newest received messages first, or all by number.
async fn chats(look: &mut Look, session_id: i64) -> Result<Chats, WebError> {
    let (jids, next): (Vec<String>, Option<String>) = if look.place.get("by") == Some("number") {
        let after = look.place.get("after");
        let jids =
            sqlx::query_file_scalar!("sql/web/inbox_all.sql", session_id, after, ROWS).fetch_all(&mut look.tx).await?;
        let next = if i64::try_from(jids.len()) == Ok(ROWS) { jids.last().cloned() } else { None };
        (jids, next)
    } else {
        let (moment, chat) = moment_and_key(look.place.get("after")).unzip();
        let rows = sqlx::query_file!("sql/web/inbox_newest.sql", session_id, moment, chat, AMONG, ROWS)
            .fetch_all(&mut look.tx)
            .await?;
        let last = rows.last().filter(|_| i64::try_from(rows.len()) == Ok(ROWS));
        let next = last.map(|row| format!("{} {}", row.at.to_rfc3339(), row.chat));
        (rows.into_iter().map(|row| row.chat).collect(), next)
    };
    let rows = sqlx::query_file!("sql/web/inbox_last.sql", session_id, &jids).fetch_all(&mut look.tx).await?;
    let rows = rows.into_iter().map(|row| Chat {
        name: row.push_name.unwrap_or_else(|| number_of(&row.chat)),
        jid: row.chat,
        at: row.sent_at,
        from_me: row.from_me.unwrap_or_default(),
        kind: row.kind.unwrap_or_default(),
        body: row.body,
    });
    Ok(Chats { rows: rows.collect(), next })
}

/// One chat: a page of its messages, what waits, and a form for an answer.
async fn conversation(look: &mut Look, session_id: i64, session: &str, chat: &str) -> Result<Markup, WebError> {
    let before = moment_and_key(look.place.get("before"));
    let (moment, id) = before.unzip();
    let rows = sqlx::query_file!("sql/web/inbox_chat.sql", session_id, chat, moment, id, PAGE, TEXT);
    let rows = rows.fetch_all(&mut look.tx).await?;
    let unsent = sqlx::query_file!("sql/web/inbox_unsent.sql", session_id, chat).fetch_all(&mut look.tx).await?;
    let ids = |table: char| -> Vec<i64> {
        rows.iter().filter_map(|row| row.id.strip_prefix(table)).filter_map(|id| id.parse().ok()).collect()
    };
    let files = sqlx::query_file_as!(File, "sql/web/chat_media.sql", session_id, &ids('i'), &ids('o'));
    let files: HashMap<String, File> =
        files.fetch_all(&mut look.tx).await?.into_iter().map(|file| (file.id.clone(), file)).collect();
    let look = &*look;
    let (words, place, zone) = (look.words, &look.place, look.zone);
    let is_group = chat.ends_with("@g.us");
    let name = rows.iter().find(|row| !row.from_me && !is_group).and_then(|row| row.push_name.clone());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| number_of(chat));
    let older = (i64::try_from(rows.len()) == Ok(ROWS)).then(|| rows.last()).flatten();
    let older = older.map(|row| format!("{} {}", row.at.to_rfc3339(), row.id));
    let mut list = place.clone();
    list.query.retain(|key, _| matches!(key.as_str(), "by" | "after"));
    let mut day = None;
    let mut author = None;
    Ok(html! {
        header {
            a class="square quiet back" href=(list.href()) aria-label=(words.t("common.previous")) { (format::icon("back")) }
            div.who { (avatar(&name, chat)) div { h2 { (name) } p { (number_of(chat)) } } }
        }
        div.conversation data-bottom tabindex="0" role="log" aria-label=(words.t("inbox.messages")) {
            nav.pages aria-label=(words.t("common.pages")) {
                @if let Some(older) = &older { a rel="prev" href=(place.with("before", Some(older))) { (words.t("inbox.older")) } }
                @if before.is_some() { a rel="next" href=(place.with("before", None)) { (words.t("inbox.newest_messages")) } }
            }
            @if rows.is_empty() && unsent.is_empty() { p.soft { (words.t("inbox.no_messages")) } }
            @for row in rows.iter().rev() {
                @let at = row.sent_at.with_timezone(&zone);
                @if day.replace(at.date_naive()) != Some(at.date_naive()) {
                    div.day data-key={ "day-" (at.date_naive()) } {
                        (at.day()) " " (words.t("time.months").split(' ').nth(at.month0() as usize).unwrap_or_default()) " " (at.year())
                    }
                }
                @let same = author.replace((row.from_me, row.sender.as_deref())) == Some((row.from_me, row.sender.as_deref()));
                div class={ "message" @if row.from_me { " mine" } @if same { " next" } } data-key=(row.id) { div.bubble {
                    @if is_group && !row.from_me && !same {
                        span.author { (row.push_name.clone().unwrap_or_else(|| number_of(row.sender.as_deref().unwrap_or_default()))) }
                    }
                    @if row.kind != "text" {
                        span.kind {
                            (words.of_value("message_kind", &row.kind))
                            @if let Some(file) = row.file_name.as_ref().or(row.mime.as_ref()) { small.soft { (file) } }
                            @if let Some(size) = row.size.as_ref().and_then(|size| size.parse().ok()) { small.soft { (size_of(words, size)) } }
                        }
                        " "
                    }
                    @if let Some(file) = files.get(&row.id) { (shown(look, file, row.file_name.as_deref(), &row.kind)) }
                    @if let Some(body) = &row.body { span.words { (body) } }
                    @if let Some(length) = row.length { (shortened(words, length, &row.id)) }
                    span.meta {
                        time datetime=(row.sent_at.to_rfc3339()) { (at.format("%H:%M")) }
                        @if let Some(status) = &row.status { " " (ticks(words, status)) }
                    }
                } }
            }
            @if before.is_none() { @for row in &unsent {
                div.message.mine data-key={ "o" (row.id) } { div.bubble {
                    @if row.kind != "text" { span.kind { (words.of_value("message_kind", &row.kind)) } " " }
                    @if let Some(body) = &row.body { span.words { (body) } }
                    @if row.status == "failed" {
                        span.gone { (format::icon("failures")) (reason::said(words, look.zone, None, row.last_error.as_deref().unwrap_or_default())) }
                    }
                    span.meta {
                        time datetime=(row.at.to_rfc3339()) { (row.at.with_timezone(&zone).format("%H:%M")) }
                        " " (words.of_value("message_status", &row.status))
                    }
                } }
            } }
        }
        @if look.who.scope >= shared::SEND.scope {
            form method="post" action={ "/act/" (shared::SEND.name) } data-act data-reset data-key={ "answer-" (chat) } {
                input type="hidden" name="back" value=(place.href());
                input type="hidden" name="session" value=(session);
                input type="hidden" name="recipient" value=(chat);
                label.hidden for="answer" { (words.t("inbox.write")) }
                textarea id="answer" name="body" rows="1" required data-enter aria-describedby="enter" placeholder=(words.t("inbox.write")) {}
                button.square aria-label=(words.t("inbox.send")) title=(shared::SEND.call(&[Some(session), Some(chat), Some("…")])) { (format::icon("send")) }
                small id="enter" class="soft enter" { (words.t("inbox.enter")) }
            }
        }
    })
}

/// A file of a message.
struct File {
    /// Of the message, as in `wa.history`.
    id: String,
    /// None while it is not downloaded.
    media_id: Option<i64>,
    mime: Option<String>,
}

/// The file itself, or a button that downloads it.
fn shown(look: &Look, file: &File, name: Option<&str>, kind: &str) -> Markup {
    let words = look.words;
    let word = words.of_value("message_kind", kind);
    let Some(media) = file.media_id else {
        let id = file.id.trim_start_matches('i');
        return acts::quick(look, &DOWNLOAD, words.t("inbox.download"), &[("inbox_id", id)]);
    };
    let url = Place::of("media", &media.to_string()).with("name", Some(name.unwrap_or(word)));
    match shape_of(file.mime.as_deref()) {
        Shape::Picture => html! { a.file href=(url) { img src=(url) alt=(name.unwrap_or(word)) loading="lazy"; } },
        Shape::Sound => html! { audio.file src=(url) controls preload="none" {} },
        Shape::Film => html! { video.file src=(url) controls preload="none" {} },
        Shape::File => {
            html! { a.file href=(url) download { (format::icon("out")) " " (name.unwrap_or(words.t("inbox.save"))) } }
        }
    }
}

/// What stands below the beginning of a long text: how long it is, and the statement that reads it.
fn shortened(words: &Words, length: i32, id: &str) -> Markup {
    let (table, number) = id.split_at_checked(1).unwrap_or_default();
    let table = match table {
        "o" => "outbound",
        "i" => "inbox",
        _ => "past",
    };
    html! {
        small.shortened {
            "… " (words.with("inbox.shortened", format::number(length.into())))
            code.sql { "SELECT body FROM wa." (table) " WHERE id = " (number) ";" }
        }
    }
}

/// The number of a contact's JID; any other JID as it is.
fn number_of(jid: &str) -> String {
    jid.strip_suffix("@s.whatsapp.net").map_or_else(|| jid.to_owned(), |number| format!("+{number}"))
}

/// A circle with the first letters, in a colour of the chat's own.
fn avatar(name: &str, jid: &str) -> Markup {
    let hue = jid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 9;
    let letters: String = name.chars().filter(|letter| letter.is_alphanumeric() || *letter == '+').take(2).collect();
    html! { span class={ "avatar hue-" (hue) } aria-hidden="true" { (letters) } }
}

/// The last message in the list.
fn short(words: &Words, kind: &str, body: Option<&str>) -> String {
    match (kind, body) {
        ("text", Some(body)) => body.to_owned(),
        (kind, Some(body)) if !body.is_empty() => format!("{}: {body}", words.of_value("message_kind", kind)),
        (kind, _) => words.of_value("message_kind", kind).to_owned(),
    }
}

/// How far a sent message is.
fn ticks(words: &Words, status: &str) -> Markup {
    let symbol = if status == "sent" { "#i-tick" } else { "#i-ticks" };
    let class = if status == "played" { "read" } else { status };
    html! {
        svg class={ "ticks " (class) } role="img" aria-label=(words.of_value("message_status", status)) { use href=(symbol) {} }
    }
}

/// The size of a file: 512 bytes as `1 KB`.
fn size_of(words: &Words, bytes: i64) -> String {
    if bytes < 1024 * 1024 {
        words.with("inbox.kilobytes", format::number(bytes.saturating_add(1023) / 1024))
    } else {
        words.with("inbox.megabytes", format::number(bytes.saturating_add(524_288) / 1_048_576))
    }
}
