//! Runs what the pages' buttons ask for.

use super::acts::{Act, SESSIONS};
use super::error::{WebError, wants_json};
use super::identity::{Identity, enter};
use super::request::{Asked, Place};
use super::turns::{QUICK, in_turn};
use super::words::Words;
use super::{Web, format, page, screens};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::{Form, Json};
use serde_json::json;
use sqlx::Executor as _;
use std::collections::{BTreeSet, HashMap};

/// Runs an act.
pub(super) async fn run(
    State(web): State<Web>,
    Path(name): Path<String>,
    asked: Asked,
    Form(sent): Form<Vec<(String, String)>>,
) -> Response {
    let words = asked.words;
    let fields = fields(sent);
    match perform(&web, &name, &asked, &fields).await {
        Ok((call, answer)) => {
            let Outcome { is_done, message, see } = outcome(words, &name, answer);
            let leads = fields.get("leads").and_then(|leads| leads.split_once('/'));
            let leads = leads.and_then(|(screen, argument)| Some(Place::of(screen, fields.get(argument)?).href()));
            // Only places of this server.
            let here = |place: &str| Place::read(place).map(|it| it.href());
            let leads = leads.as_deref().and_then(here);
            let status = if is_done { StatusCode::OK } else { StatusCode::CONFLICT };
            if wants_json(&asked.headers) {
                let body = json!({ "ok": is_done, "sql": call, "message": message, "goto": leads, "see": see });
                return (status, Json(body)).into_response();
            }
            let back = fields.get("back").and_then(|back| here(back));
            let back = leads.or(back).unwrap_or_else(|| "/".into());
            (status, Html(page::done(words, &call, is_done, &message, &back).into_string())).into_response()
        }
        Err(error) => page::answer(&error, asked.words, &asked.headers, "/"),
    }
}

/// What a form sent. Of a field that comes more than once the last value counts; those of [`SESSIONS`] are one array, in the
/// order of the names, so that two changes of the same sessions lock them in the same order.
fn fields(sent: Vec<(String, String)>) -> HashMap<String, String> {
    let (names, others): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(field, _)| field == SESSIONS);
    let mut fields: HashMap<_, _> = others.into_iter().collect();
    if !names.is_empty() {
        let names: BTreeSet<_> = names.iter().map(|(_, name)| element(name)).collect();
        fields.insert(SESSIONS.to_owned(), format!("{{{}}}", names.into_iter().collect::<Vec<_>>().join(",")));
    }
    fields
}

/// An element of an array as Postgres reads it.
fn element(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&letter);
    // An unquoted null is none.
    if !name.is_empty() && !name.eq_ignore_ascii_case("null") && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What is said of a call.
struct Outcome {
    /// Whether the function did something: one that returns false found nothing to do.
    is_done: bool,
    message: String,
    /// The page of what it made.
    see: Option<String>,
}

/// What a function returned, in words: those of the act with the value in them. A value that is shown to be copied, such as an
/// address, has no words.
fn outcome(words: &Words, act: &str, answer: Option<String>) -> Outcome {
    let Some(answer) = answer else {
        return Outcome { is_done: true, message: words.t("act.done").to_owned(), see: None };
    };
    let is_done = answer != "false";
    let section = if is_done { "result" } else { "no_result" };
    let message = match words.find(&format!("{section}.{act}")) {
        Some(word) => word.replacen("{}", &answer.parse().map_or_else(|_| answer.clone(), format::number), 1),
        None => answer.clone(),
    };
    let see = (act == screens::SENDS && is_done).then(|| Place::of("message", &answer).href());
    Outcome { is_done, message, see }
}

/// The call that was made, and what the function returned.
async fn perform(
    web: &Web,
    name: &str,
    asked: &Asked,
    fields: &HashMap<String, String>,
) -> Result<(String, Option<String>), WebError> {
    let act = screens::acts().find(|act| act.name == name).ok_or(WebError::NotFound)?;
    let (tx, who) = asked.enter(&web.pool).await?;
    tx.commit().await?;
    if who.scope < act.scope {
        return Err(WebError::Forbidden("web_error.scope"));
    }
    let value = |name: &&str| fields.get(*name).map(String::as_str).filter(|value| !value.is_empty());
    let values: Vec<Option<String>> = act.arguments.iter().map(value).map(|value| value.map(str::to_owned)).collect();
    let call = act.call(&values.iter().map(Option::as_deref).collect::<Vec<_>>());
    tracing::info!(token = who.name, function = act.function, "function called from a page");
    let mut answer = change(web, &who, act, &values).await?;
    if let Some(place) = act.arguments.iter().position(|argument| *argument == "after") {
        // Also for a browser that does not wait for the end.
        answer =
            tokio::spawn(go_on(web.clone(), who, act, place, values, answer)).await.map_err(|_| WebError::Failed)??;
    }
    web.hub.acted();
    Ok((call, answer.filter(|answer| !answer.is_empty())))
}

/// A call, in a transaction of its own under the rights that the claim has now.
async fn change(web: &Web, who: &Identity, act: &Act, values: &[Option<String>]) -> Result<Option<String>, WebError> {
    in_turn(&web.changes, who.tenant.clone(), || async {
        let (mut tx, _) = enter(&web.pool, who.claim.clone()).await?;
        let mut query = sqlx::query_scalar::<_, Option<String>>(act.sql);
        for value in values {
            query = query.bind(value.as_deref());
        }
        tx.execute(QUICK).await?;
        let answer = query.fetch_one(&mut tx).await?;
        tx.commit().await?;
        Ok(answer)
    })
    .await
}

/// The rest of an act that does a part of its work in each call, see [`Act::arguments`].
async fn go_on(
    web: Web,
    who: Identity,
    act: &'static Act,
    place: usize,
    mut values: Vec<Option<String>>,
    mut answer: Option<String>,
) -> Result<Option<String>, WebError> {
    while let Some(after) = answer.take() {
        values[place] = Some(after);
        answer = change(&web, &who, act, &values).await?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Of those that return a value and do not show it to be copied.
    #[test]
    fn h2_each_act_says_its_result_in_words() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/schema");
        let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
        let schema: String = files.map(|file| std::fs::read_to_string(file).expect("a text")).collect();
        let returned = |function: &str| {
            let (_, rest) = schema.split_once(&format!("CREATE OR REPLACE FUNCTION {function}("))?;
            rest.split_once(" RETURNS ")?.1.split_whitespace().next()
        };
        let copied = ["link_url", "rotate_webhook"];
        let mut said = 0;
        for act in screens::acts().filter(|act| !act.arguments.contains(&"after") && !copied.contains(&act.name)) {
            let kind = returned(act.function);
            for words in Words::all() {
                let has = |section| words.find(&format!("{section}.{}", act.name)).is_some();
                // Of many sessions: how many, or that none was picked.
                let (is_said, may_be_none) =
                    (kind != Some("void") || act.is_of_many(), kind == Some("boolean") || act.is_of_many());
                assert_eq!((has("result"), has("no_result")), (is_said, may_be_none), "{}: {}", words.code, act.name);
            }
            said += usize::from(kind != Some("void"));
        }
        assert!(said > 15, "{said}");
        let words = Words::of("en").expect("a language");
        let outcome = |act, answer: &str| outcome(words, act, Some(answer.to_owned()));
        assert_eq!(outcome("send_text", "60061").message, "Message 60\u{202f}061 is queued.");
        assert_eq!(outcome("send_text", "60061").see.as_deref(), Some("/message/60061"));
        assert!(outcome("cancel_message", "true").see.is_none());
        assert!(!outcome("cancel_message", "false").is_done && outcome("cancel_message", "true").is_done);
    }

    #[test]
    fn h2_the_sessions_of_a_form_are_one_array() {
        let sent =
            [("sessions", "shop"), ("reason", "a"), ("sessions", "a.b-c_1"), ("reason", "b"), ("sessions", "shop")];
        let fields_of =
            |sent: &[(&str, &str)]| fields(sent.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
        let read = fields_of(&sent);
        assert_eq!((read["sessions"].as_str(), read["reason"].as_str()), ("{a.b-c_1,shop}", "b"));
        let odd = fields_of(&[("sessions", "x\"},{\\"), ("sessions", "NULL"), ("sessions", "")]);
        assert_eq!(odd["sessions"], r#"{"","NULL","x\"},{\\"}"#);
        assert!(!fields_of(&[("reason", "a")]).contains_key("sessions"));
    }

    #[test]
    fn h2_each_act_has_a_name_of_its_own_and_a_place_for_each_argument() {
        let mut names = HashSet::new();
        for act in screens::acts() {
            assert!(names.insert(act.name), "{} twice", act.name);
            assert!(act.sql.contains(&format!("{}(", act.function)), "{}", act.sql);
            for place in 1..=act.arguments.len() {
                assert!(act.sql.contains(&format!("${place}")), "{}: no place {place}", act.sql);
            }
            assert!(!act.sql.contains(&format!("${}", act.arguments.len() + 1)), "{}", act.sql);
        }
    }
}
