//! What a page can do: calls of SQL functions. Each button shows its call, so that the page teaches the SQL.

use super::Web;
use super::error::{WebError, wants_json};
use super::identity::{Scope, enter};
use super::page;
use super::request::{Asked, Place};
use super::screens::{self, Look};
use axum::Form;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::json;
use std::collections::HashMap;

/// A call of one SQL function.
#[derive(Debug)]
pub(super) struct Act {
    /// Unique among all acts; part of the URL.
    pub(super) name: &'static str,
    /// The lowest scope that has the button. The right itself is the database's.
    pub(super) scope: Scope,
    /// `wa.pause`
    pub(super) function: &'static str,
    /// The statement: each argument is a text or null, and is cast here; one row with one text comes back.
    /// `SELECT wa.pause($1, $2)::text`
    pub(super) sql: &'static str,
    /// Names of the arguments in their order, as the form has them.
    pub(super) arguments: &'static [&'static str],
}

impl Act {
    /// The call as a user would write it, without the last arguments that are missing.
    pub(super) fn call(&self, values: &[Option<&str>]) -> String {
        let given = values.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let values: Vec<_> = values.iter().take(given).map(|value| literal(*value)).collect();
        format!("SELECT {}({});", self.function, values.join(", "))
    }
}

/// What a form asks the user for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The argument.
    pub(super) name: &'static str,
    pub(super) label: &'a str,
    /// `text`, `number`, `tel`, `time`, `datetime-local`, `textarea`; or `checkbox`, which sends `true`.
    pub(super) kind: &'static str,
    pub(super) value: Option<&'a str>,
    pub(super) required: bool,
}

/// How an act is offered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offer<'a> {
    /// The word on the button.
    pub(super) label: &'a str,
    /// One sentence: what happens.
    pub(super) about: &'a str,
    /// Name of a symbol, without `i-`.
    pub(super) icon: Option<&'a str>,
    /// Arguments that the page knows.
    pub(super) fixed: &'a [(&'static str, &'a str)],
    /// Arguments that the user fills in.
    pub(super) fields: &'a [Field<'a>],
    /// Whether it loses something.
    pub(super) danger: bool,
}

/// An act that opens to its sentence, its fields, its SQL and its button; nothing for a token whose scope is too low.
pub(super) fn act(look: &Look, act: &'static Act, offer: &Offer<'_>) -> Markup {
    if look.who.scope < act.scope {
        return html! {};
    }
    let key = offer.fixed.iter().fold(format!("act-{}", act.name), |key, (_, value)| format!("{key}-{value}"));
    let (opener, button) = if offer.danger { ("button danger", "button danger solid") } else { ("button plain", "button") };
    html! {
        details.act name="acts" data-key=(key) {
            summary class=(opener) {
                @if let Some(icon) = offer.icon { (page::icon(icon)) }
                (offer.label)
            }
            form method="post" action={ "/act/" (act.name) } data-act {
                p { (offer.about) }
                (hidden(look, offer.fixed))
                @for field in offer.fields { (field_of(&key, field)) }
                code.sql { (shown(act, offer)) }
                div.row { button class=(button) { (offer.label) } }
            }
        }
    }
}

/// An act of one click.
pub(super) fn quick(look: &Look, act: &'static Act, label: &str, fixed: &[(&'static str, &str)]) -> Markup {
    if look.who.scope < act.scope {
        return html! {};
    }
    let values: Vec<_> = act.arguments.iter().map(|name| fixed.iter().find(|(key, _)| key == name).map(|it| it.1)).collect();
    html! {
        form.one method="post" action={ "/act/" (act.name) } data-act {
            (hidden(look, fixed))
            button class="button plain slim" title=(act.call(&values)) { (label) }
        }
    }
}

fn hidden(look: &Look, fixed: &[(&'static str, &str)]) -> Markup {
    html! {
        input type="hidden" name="back" value=(look.place.href());
        @for (name, value) in fixed { input type="hidden" name=(name) value=(value); }
    }
}

fn field_of(key: &str, field: &Field<'_>) -> Markup {
    let id = format!("{key}-{}", field.name);
    html! {
        div.field {
            @if field.kind == "checkbox" {
                label.check for=(id) {
                    input id=(id) type="checkbox" name=(field.name) value="true" checked[field.value == Some("true")];
                    (field.label)
                }
            } @else {
                label for=(id) { (field.label) }
                @if field.kind == "textarea" {
                    textarea id=(id) name=(field.name) rows="3" required[field.required] { (field.value.unwrap_or_default()) }
                } @else {
                    input id=(id) type=(field.kind) name=(field.name) value=[field.value] required[field.required];
                }
            }
        }
    }
}

/// The call, with a place for each value that the user fills in.
fn shown(act: &Act, offer: &Offer<'_>) -> Markup {
    let is_field = |name: &str| offer.fields.iter().any(|field| field.name == name);
    html! {
        "SELECT " (act.function) "("
        @for (at, name) in act.arguments.iter().enumerate() {
            @if at > 0 { ", " }
            @if is_field(name) {
                var data-of=(name) { "NULL" }
            } @else {
                (literal(offer.fixed.iter().find(|(key, _)| key == name).map(|it| it.1)))
            }
        }
        ");"
    }
}

/// A value as it stands in SQL.
fn literal(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(number) if number.parse::<i64>().is_ok_and(|read| read.to_string() == number) => number.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Runs an act.
pub(super) async fn run(
    State(web): State<Web>,
    Path(name): Path<String>,
    asked: Asked,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    match perform(&web, &name, &asked, &fields).await {
        Ok((call, answer)) => {
            if wants_json(&asked.headers) {
                return Json(json!({ "ok": true, "sql": call, "message": answer.unwrap_or_else(|| asked.words.t("act.done").into()) })).into_response();
            }
            // Only places of this server.
            let back = fields.get("back").and_then(|back| Place::read(back)).map_or_else(|| "/".into(), |it| it.href());
            Html(page::done(asked.words, &call, answer.as_deref(), &back).into_string()).into_response()
        }
        Err(error) => error.answer(asked.words, &asked.headers, "/"),
    }
}

/// The call that was made, and what the function returned.
async fn perform(
    web: &Web,
    name: &str,
    asked: &Asked,
    fields: &HashMap<String, String>,
) -> Result<(String, Option<String>), WebError> {
    let act = screens::acts().find(|act| act.name == name).ok_or(WebError::NotFound)?;
    let (mut tx, who) = enter(&web.pool, asked.claim()?).await?;
    if who.scope < act.scope {
        return Err(WebError::Forbidden("this token may not do that"));
    }
    let value = |name: &&str| fields.get(*name).map(String::as_str).filter(|value| !value.is_empty());
    let values: Vec<Option<&str>> = act.arguments.iter().map(value).collect();
    let mut query = sqlx::query_scalar::<_, Option<String>>(act.sql);
    for value in &values {
        query = query.bind(*value);
    }
    let answer = query.fetch_one(&mut tx).await?;
    tx.commit().await?;
    let call = act.call(&values);
    tracing::info!(token = who.name, function = act.function, "function called from a page");
    Ok((call, answer.filter(|answer| !answer.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn h2_a_call_is_shown_as_sql_with_quoted_values() {
        let act = Act { name: "x", scope: Scope::Operator, function: "wa.pause", sql: "", arguments: &["session", "reason"] };
        assert_eq!(act.call(&[Some("o'neill"), None]), "SELECT wa.pause('o''neill');");
        assert_eq!(act.call(&[Some("42"), Some("x")]), "SELECT wa.pause(42, 'x');");
        assert_eq!(act.call(&[None, Some("+1")]), "SELECT wa.pause(NULL, '+1');");
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
