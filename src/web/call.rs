//! Runs what the pages' buttons ask for.

use super::error::{WebError, wants_json};
use super::identity::enter;
use super::request::{Asked, Place};
use super::{ChangeOf, Web, page, screens};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::{Form, Json};
use serde_json::json;
use std::collections::HashMap;

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
        Err(error) => page::answer(&error, asked.words, &asked.headers, "/"),
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
    // A change may wait for a row that an application has locked, and then keeps a connection from all others.
    let _share = web.changes.take(ChangeOf::Tenant(who.tenant.clone())).ok_or(WebError::Busy)?;
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
