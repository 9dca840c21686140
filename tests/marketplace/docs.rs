//! `docs/marketplace.md`: the calls of the older front ends are replayed from it, and its lists are complete.

use super::partner::{Partner, Reply};
use super::stage::{PARTNER_TOKEN, call, holds, pages, scan, worker};
use crate::support::db::fresh;
use crate::support::docs;
use crate::support::logins::run;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

const PAGE: &str = "docs/marketplace.md";

/// A request of the documentation, and the answer that follows it.
#[derive(Debug)]
struct Example {
    line: String,
    headers: Vec<String>,
    body: Value,
    answer: Option<Value>,
}

fn examples() -> Result<Vec<Example>> {
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE))?;
    let mut found: Vec<Example> = vec![];
    for block in text.split("```").skip(1).step_by(2) {
        if let Some(request) = block.strip_prefix("http\n") {
            let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
            let mut head = head.trim().lines().map(str::to_owned);
            let line = head.next().context("no request")?;
            let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body)? };
            found.push(Example { line, headers: head.collect(), body, answer: None });
        } else if let Some(answer) = block.strip_prefix("json\n") {
            let last = found.last_mut().context("an answer without a request")?;
            last.answer = Some(serde_json::from_str(answer)?);
        }
    }
    Ok(found)
}

/// Whether an answer is the documented one: `…` stands for any text, and a code's seconds are what is left.
fn is_like(found: &Value, wanted: &Value, name: &str) -> Result<()> {
    match (found, wanted) {
        (Value::Object(one), Value::Object(other)) => {
            ensure!(one.keys().eq(other.keys()), "{found} has not the fields of {wanted}");
            one.iter().try_for_each(|(key, value)| is_like(value, &other[key], key))
        }
        (Value::Array(one), Value::Array(other)) => {
            ensure!(one.len() == other.len(), "{found} {wanted}");
            one.iter().zip(other).try_for_each(|(one, other)| is_like(one, other, name))
        }
        (Value::String(_), Value::String(any)) if any == "…" => Ok(()),
        (Value::Number(_), Value::Number(_)) if name == "disconnections" => Ok(()),
        (Value::Number(number), Value::Number(_)) if matches!(name, "expires_in" | "connections") => {
            ensure!(number.as_i64().is_some_and(|number| number > 0), "{name}: {number}");
            Ok(())
        }
        _ => {
            ensure!(found == wanted, "{name}: {found} is not {wanted}");
            Ok(())
        }
    }
}

#[tokio::test]
async fn h6_the_calls_of_the_older_front_ends_are_answered_as_documented() -> Result<()> {
    let partner = Partner::start(|_| Reply::Status(200)).await?;
    let world = World::new().await?;
    world.phone("15550001").await?;
    let pages = pages(&world.db).await?;
    let worker = Worker::start(worker(&world, &partner)).await?;
    let mut known = BTreeMap::from([("{partner_token}", PARTNER_TOKEN.to_owned())]);
    let mut replayed = 0;
    for example in examples()? {
        let Example { line, headers, body, answer } = &example;
        let fill = |text: &str| known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let headers: Vec<String> = headers.iter().map(|header| fill(header)).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let body = serde_json::from_str(&fill(&body.to_string()))?;
        let Some(wanted) = answer else {
            // The redirect, which a browser follows.
            let answer = pages.request(line, &headers, "").await?;
            ensure!(answer.status == 303, "{line}: {answer:?}");
            holds(world.pool(), "SELECT name = 'Salon Anna' FROM wa.company").await?;
            continue;
        };
        if line.ends_with("/marketplace/activate") {
            scan(&world, "company_962302", "15550001").await?;
        }
        let (status, found) = call(&pages, line, &headers, &body).await?;
        ensure!(matches!(status, 200 | 201), "{line}: {status} {found}");
        is_like(&found, wanted, "").with_context(|| line.clone())?;
        replayed += 1;
        if let Some(token) = found["token"].as_str() {
            known.insert("{token}", token.to_owned());
        }
        if let Some(asked) = partner.callbacks().first() {
            known.insert("{api_key}", asked.body["api_key"].as_str().unwrap_or_default().to_owned());
        }
    }
    ensure!(replayed >= 7, "{replayed} examples");
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h6_the_description_of_the_routes_is_openapi_and_documented() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let (status, described) = call(&pages, "GET /marketplace/openapi.json", &[], &Value::Null).await?;
    ensure!(status == 200 && described["openapi"].as_str().is_some_and(|it| it.starts_with("3.")), "{described}");
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE))?;
    let paths = described["paths"].as_object().context("paths")?;
    ensure!(paths.len() >= 11, "{paths:?}");
    for (path, methods) in paths {
        let shown = path.replace("{session}", "company_{salon_id}");
        for (method, about) in methods.as_object().context("methods")? {
            ensure!(
                text.contains(&format!("`{} {shown}`", method.to_uppercase())),
                "{method} {path} is not documented"
            );
            // Every described route is one: the router knows its method.
            let answer = pages.request(&format!("{} {path}", method.to_uppercase()), &[], "").await?;
            ensure!(answer.status != 405 && !answer.body.contains("NOT_FOUND\""), "{method} {path}: {answer:?}");
            ensure!(about["responses"].as_object().is_some_and(|it| !it.is_empty()), "{about}");
        }
    }
    // Every reference leads somewhere.
    let whole = described.to_string();
    for reference in whole.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap_or_default();
        ensure!(described.pointer(pointer).is_some(), "{pointer}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_every_statement_of_the_documentation_of_the_marketplace_runs() -> Result<()> {
    let db = fresh().await;
    let blocks = docs::blocks(PAGE, "sql")?;
    for block in blocks {
        run(&db.pool, &block).await?;
    }
    Ok(())
}

#[test]
fn h6_h8_every_setting_of_the_documentation_of_the_marketplace_is_accepted() -> Result<()> {
    docs::settings(PAGE)
}
