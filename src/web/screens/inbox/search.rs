//! A search in the chats of a session: among all messages where the database has indexes for words and finds these soon, else among the
//! newest. A frequent word takes long among all, and is found among the newest.

use super::{avatar, number_of, place_of_chat};
use crate::db::outage;
use crate::web::acts::Act;
use crate::web::error::WebError;
use crate::web::format;
use crate::web::identity::Scope;
use crate::web::look::Look;
use crate::web::request::Place;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sqlx::Executor as _;

/// Most messages that a search shows.
const HITS: i32 = 50;
/// Characters and words of what is searched for.
pub(super) const LONGEST: usize = 200;
const WORDS: usize = 20;
/// Messages that a search looks at in each direction of a chat; twice as many of those that a session has received.
const SEARCHED: i64 = 1_200;

static ALL_WORDS: Act = Act {
    name: "search",
    scope: Scope::Viewer,
    function: "wa.search",
    sql: "SELECT wa.search($1, $2, $3)",
    arguments: &["words", "session", "recipient"],
};

struct Hit {
    chat: String,
    sent_at: DateTime<Utc>,
    from_me: bool,
    message_id: String,
    body: Option<String>,
}

/// The beginning of what somebody searches for, which costs so much for each message that is looked at.
pub(super) fn bounded(search: &str) -> String {
    let words: Vec<_> = search.split_whitespace().take(WORDS).collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// What is found among all messages; nothing without indexes, or when it takes longer than a page may.
async fn of_all(
    look: &mut Look,
    session: &str,
    search: &str,
    chat: Option<&str>,
) -> Result<Option<Vec<Hit>>, WebError> {
    let has_indexes = sqlx::query_file_scalar!("sql/web/inbox_words.sql").fetch_one(&mut look.tx).await?;
    if !has_indexes {
        return Ok(None);
    }
    look.tx.execute("SAVEPOINT search").await?;
    look.tx.execute("SET LOCAL statement_timeout = '40ms'").await?;
    let found = sqlx::query_file_as!(Hit, "sql/web/inbox_search_all.sql", search, session, chat, HITS);
    let found = found.fetch_all(&mut look.tx).await;
    // Also ends the short time.
    look.tx.execute("ROLLBACK TO SAVEPOINT search").await?;
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if outage::was_too_slow(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a search finds; a number opens its chat.
pub(super) async fn hits(look: &mut Look, session: &str, search: &str, chat: Option<&str>) -> Result<Markup, WebError> {
    let jid = sqlx::query_scalar!("SELECT wa.jid($1, wa.region_of($2))", search, session);
    let jid = jid.fetch_one(&mut look.tx).await?;
    let all_found = of_all(look, session, search, chat).await?;
    let is_whole = all_found.is_some();
    let found = match all_found {
        Some(found) => found,
        None => {
            sqlx::query_file_as!(Hit, "sql/web/inbox_search.sql", search, session, chat, i64::from(HITS), SEARCHED)
                .fetch_all(&mut look.tx)
                .await?
        }
    };
    let all = ALL_WORDS.call(&[Some(search), Some(session), chat]);
    let look = &*look;
    let (words, place) = (look.words, &look.place);
    Ok(html! {
        header {
            a class="square quiet back" href=(Place::of("inbox", session).href()) aria-label=(words.t("common.previous")) { (format::icon("back")) }
            h2 { (words.with("inbox.found", search)) }
        }
        ul.list {
            @if let Some(jid) = &jid {
                li data-key="number" { a.item href=(place_of_chat(place, jid)) {
                    (avatar("+", jid)) span.lines { span { b { (number_of(jid)) } } span { small { (words.t("inbox.open_number")) } } }
                } }
            }
            @for row in &found {
                li data-key=(row.message_id) { a.item href=(place_of_chat(place, &row.chat)) {
                    (avatar(&number_of(&row.chat), &row.chat))
                    span.lines {
                        span { b { (number_of(&row.chat)) } (format::ago(words, Some(row.sent_at))) }
                        span { small { @if row.from_me { (words.t("inbox.you")) " " } (row.body.as_deref().unwrap_or_default()) } }
                    }
                } }
            }
        }
        @if found.is_empty() && jid.is_none() {
            div.empty { h2 { (words.t("inbox.nothing")) } p { (words.t("inbox.nothing_about")) } }
        }
        p class="soft small" {
            @match chat {
                _ if is_whole => (words.t("inbox.searched_all")),
                Some(_) => (words.with("inbox.searched_chat", format::number(SEARCHED))),
                None => (words.with("inbox.searched", format::number(2 * SEARCHED))),
            }
            " " (words.t(if is_whole { "inbox.same" } else { "inbox.search_all" })) " " code.sql { (all) }
        }
    })
}
