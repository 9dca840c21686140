//! The page of the documentation in Chromium, and its program in Node.js.

use super::client::home;
use super::{NUMBER, company, read_picture, scan, settings, token_of};
use crate::support::browser::Browser;
use crate::support::docs::blocks;
use crate::support::npm;
use crate::support::until::until;
use crate::support::world::World;
use crate::web::Pages;
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse as _};
use axum::routing::get;
use serde_json::json;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use wagres::config::OriginPattern;

const DOCS: &str = "docs/marketplace.md";

/// A server of the partner's: the page, and the client library beside it. Returns its URL.
async fn partner(page: String) -> Result<String> {
    let library = tokio::fs::read_to_string(home().join("node_modules/socket.io-client/dist/socket.io.min.js")).await?;
    let library = move || async move { ([(CONTENT_TYPE, "text/javascript")], library).into_response() };
    let routes =
        Router::new().route("/", get(move || async move { Html(page) })).route("/socket.io.min.js", get(library));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

/// The page of the documentation, for this server and with these options of the client.
fn page(server: &str, options: &str) -> Result<String> {
    let page = blocks(DOCS, "html")?.concat();
    let mut changed = page.clone();
    for (from, to) in [
        ("https://cdn.socket.io/4.8.1/", "/".to_owned()),
        ("https://wa.example.org", server.to_owned()),
        ("auth: { token }", format!("auth: {{ token }}, {options}")),
    ] {
        ensure!(changed.contains(from), "the page has no {from}");
        changed = changed.replace(from, &to);
    }
    Ok(changed)
}

#[tokio::test]
async fn h3_the_page_of_the_documentation_links_a_phone_in_a_browser() -> Result<()> {
    npm::install(&home()).await?;
    for options in ["", "transports: ['websocket']", "transports: ['polling'], withCredentials: true"] {
        let world = World::new().await?;
        let worker = world.worker().await?;
        let pages = Pages::with(&world.db, |config| {
            settings(config);
            // The browser may load a page before the partner's server has a port here, so any port is listed.
            config.marketplace.origins.extend(OriginPattern::try_from("http://127.0.0.1:<digits>".to_owned()));
        })
        .await?;
        let company = company(&world.db, 1).await?;
        world.phone(NUMBER).await?;
        let partner = partner(page(&pages.url, options)?).await?;
        let browser = Browser::start(390, 844).await?;
        browser.open(&format!("{partner}/?token={}", token_of(company)?)).await?;
        browser.shows("#state", "Scan within").await?;
        until("a code that the phone takes", async || {
            let shown = browser.run("return document.getElementById('qr').src").await?;
            let qr = read_picture(shown.as_str().unwrap_or_default())?;
            Ok(if scan(&world, &qr).await? { Ok(()) } else { Err(qr) })
        })
        .await?;
        browser.shows("#state", &format!("Connected as +{NUMBER}")).await?;
        let log: Vec<_> = browser.log().await?.into_iter().filter(|line| !line.contains("favicon")).collect();
        ensure!(!log.iter().any(|line| line.contains("SEVERE")), "{log:?}");
        pages.stop().await;
        worker.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn h3_a_page_of_another_origin_gets_nothing() -> Result<()> {
    npm::install(&home()).await?;
    let world = World::new().await?;
    let pages = Pages::with(&world.db, settings).await?;
    let company = company(&world.db, 1).await?;
    for options in ["transports: ['websocket']", "transports: ['polling']"] {
        let page = page(&pages.url, options)?.replace(
            "socket.on('error'",
            "socket.on('connect_error', () => show('state', 'refused'));\n  socket.on('error'",
        );
        let browser = Browser::start(390, 844).await?;
        browser.open(&format!("{}/?token={}", partner(page).await?, token_of(company)?)).await?;
        browser.shows("#state", "refused").await?;
        ensure!(world.count("SELECT count(*) FROM wa.session_job").await? == 0);
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_the_program_of_the_documentation_gets_a_pairing_code() -> Result<()> {
    npm::install(&home()).await?;
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::with(&world.db, settings).await?;
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let program = blocks(DOCS, "js")?.concat();
    let mut command = Command::new("node");
    // Text of a module resolves packages from the working folder.
    command.args(["--input-type=module", "--eval", &program]).current_dir(home()).envs([
        ("URL", pages.url.clone()),
        ("TOKEN", token_of(company)?),
        ("PHONE", format!("+{NUMBER}")),
    ]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let code = lines.next_line().await?.context("no code")?;
    world.control.post(&format!("/phones/{NUMBER}/confirm"), json!({ "code": code })).await?;
    ensure!(lines.next_line().await?.as_deref() == Some(NUMBER));
    ensure!(child.wait().await?.success());
    pages.stop().await;
    worker.stop().await
}
