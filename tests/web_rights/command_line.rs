//! Tokens and links from the command line.

use super::{page, request, secret_of, text};
use crate::support::db::TestDb;
use crate::support::logins::{run, two_tenants, web_process};
use crate::support::until::LIMIT;
use crate::support::world::wagres;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Runs a command and returns its lines of JSON, or its error output.
async fn command(db: &TestDb, arguments: &[&str]) -> Result<Result<Vec<Value>, String>> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &db.url]).args(arguments);
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    if !done.status.success() {
        return Ok(Err(String::from_utf8(done.stderr)?));
    }
    let lines = String::from_utf8(done.stdout)?;
    Ok(Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
}

#[tokio::test]
async fn h2_h7_tokens_and_links_from_the_command_line() -> Result<()> {
    let db = two_tenants().await?;
    let web = web_process(&db, "process").await?;
    let done = async |arguments: &[&str]| command(&db, arguments).await?.map_err(anyhow::Error::msg);
    let refusal = async |arguments: &[&str]| command(&db, arguments).await?.err().context("accepted");
    let added = done(&["token", "add", "anna", "--scope", "viewer", "--tenant", "acme", "--valid", "90d"]).await?;
    let secret = added[0]["secret"].as_str().context("no secret")?;
    ensure!(request(&web, secret, "viewer", "SELECT FROM wa.session").await == Ok(1));
    done(&["token", "add", "bot", "--proxy-user"]).await?;
    let listed = done(&["token", "list"]).await?;
    ensure!(listed.len() == 2 && !format!("{listed:?}").contains("wat_"), "{listed:?}");
    let (anna, bot) = (&listed[0], &listed[1]);
    ensure!(anna["scope"] == "viewer" && anna["tenant"] == "acme" && anna["state"] == "live", "{anna}");
    ensure!(anna["last_used_at"].is_string() && anna["expires_at"].is_string(), "{anna}");
    ensure!(bot["scope"] == "operator" && bot["tenant"].is_null() && bot["proxy_user"] == true, "{bot}");
    ensure!(bot["last_used_at"].is_null() && bot["expires_at"].is_null(), "{bot}");

    let early = refusal(&["token", "login", "anna"]).await?;
    ensure!(early.contains("no web process has registered") && early.contains("wa.register_web"), "{early}");
    run(&db.pool, "SELECT wa.register_web('http://127.0.0.1:7470')").await?;
    let url = done(&["token", "login", "anna"]).await?[0]["url"].as_str().context("no url")?.to_owned();
    ensure!(url.starts_with("http://127.0.0.1:7470/login/wal_"), "{url}");
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(secret_of(&url)).fetch_one(&web).await?;
    ensure!(request(&web, &cookie, "viewer", "SELECT FROM wa.session").await == Ok(1));
    let url = done(&["session", "link", "a", "--url", "--valid", "2h"]).await?[0]["url"]
        .as_str()
        .context("no url")?
        .to_owned();
    ensure!(page(&web, secret_of(&url)).await?["session"] == "a", "{url}");
    let lives = "SELECT extract(epoch FROM expires_at - created_at)::int::text FROM wa.token WHERE purpose = 'link'";
    ensure!(text(&db.pool, lives).await? == "7200");

    done(&["token", "revoke", "anna"]).await?;
    ensure!(done(&["token", "list"]).await?[0]["state"] == "revoked");
    ensure!(request(&web, &cookie, "viewer", "SELECT").await == Err("WA050".into()));
    let cases: [(&[&str], &str); 8] = [
        (&["token", "add", "bot"], "a live token is named"),
        (&["token", "add", "x", "--scope", "owner"], "possible values: viewer, operator, admin"),
        (&["token", "add", "x", "--tenant", "nobody"], "does not exist"),
        (&["token", "add", "x", "--valid", "90"], "such as 30min, 12h or 90d"),
        (&["token", "add", "x", "--valid", "soon"], "soon"),
        (&["token", "revoke", "anna"], "no live token is named"),
        (&["session", "link", "a", "--valid", "2h"], "--url"),
        (&["session", "link", "a", "--url", "--valid", "8d"], "1 second to 7 days"),
    ];
    for (arguments, words) in cases {
        let said = refusal(arguments).await?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}
