//! `wagres token add | list | revoke | login`.

use super::listing::{Cell, Listing};
use super::{connect, print};
use crate::config::Config;
use crate::db::Db;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Add a token for the web pages, and print its secret, which nothing can show again
    Add(AddArgs),
    /// Show all tokens, without their secrets
    List,
    /// Revoke a token, its login links, and the browsers that are signed in with it
    Revoke {
        /// Name of the token
        name: String,
    },
    /// Print a link that signs one browser in, once, with the rights of a token
    Login {
        /// Name of the token
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Name of the token: 1 to 100 letters, digits, and . _ @ + -
    name: String,
    /// Rights: viewer reads, operator also sends and links, admin does everything for all tenants
    #[arg(long, value_name = "SCOPE", default_value = "operator", value_parser = ["viewer", "operator", "admin"])]
    scope: String,
    /// Tenant whose rows the token sees [default: all tenants]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How long the token is valid: 12h, 90d, "1 year" … [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = with_unit)]
    valid: Option<String>,
    /// Let in the user of this name without the secret, when a trusted proxy has signed them in
    #[arg(long)]
    proxy_user: bool,
}

/// A time as Postgres reads it. Without a unit Postgres would read seconds.
pub(super) fn with_unit(text: &str) -> Result<String, String> {
    if text.contains(|letter: char| letter.is_ascii_alphabetic()) {
        return Ok(text.to_owned());
    }
    Err("accepted is a number with its unit, such as 30min, 12h or 90d".to_owned())
}

pub(super) async fn run(config: &Config, command: TokenCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        TokenCommand::Add(args) => add(&pool, args, json).await?,
        TokenCommand::List => list(&pool).await?.show(json),
        TokenCommand::Revoke { name } => {
            sqlx::query!("SELECT wa.revoke_token($1)::text", name).fetch_one(&pool).await?;
            print(json, &json!({ "token": name, "revoked": true }), &format!("token {name} is revoked"));
        }
        TokenCommand::Login { name } => {
            let url = sqlx::query_scalar!(r#"SELECT wa.login_link($1) AS "url!""#, name).fetch_one(&pool).await?;
            print(json, &json!({ "token": name, "url": url }), &url);
        }
    }
    Ok(())
}

async fn add(pool: &Db, args: AddArgs, json: bool) -> anyhow::Result<()> {
    let AddArgs { name, scope, tenant, valid, proxy_user } = args;
    let secret = sqlx::query_scalar!(
        r#"SELECT wa.add_token($1, $2, $3, ($4::text)::interval, $5) AS "secret!""#,
        name,
        scope,
        tenant,
        valid,
        proxy_user
    )
    .fetch_one(pool)
    .await?;
    print(json, &json!({ "token": name, "secret": secret }), &secret);
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["TOKEN", "STATE", "SCOPE", "TENANT", "EXPIRES", "LAST USED", "PROXY USER"],
        "no tokens; wagres token add NAME adds one",
    );
    for row in sqlx::query_file!("sql/cli/list_tokens.sql").fetch_all(pool).await? {
        let value = json!({
            "token": row.name, "scope": row.scope, "tenant": row.tenant, "state": row.state, "expires_at": row.expires_at,
            "last_used_at": row.last_used_at, "created_at": row.created_at, "proxy_user": row.proxy_user,
        });
        let cells = [
            Cell::text(row.name),
            Cell::status(row.state),
            Cell::text(row.scope),
            Cell::text(row.tenant.unwrap_or_else(|| "all".to_owned())),
            Cell::when_or(row.expires_at, "never"),
            Cell::when_or(row.last_used_at, "never"),
            Cell::text(if row.proxy_user { "yes" } else { "no" }),
        ];
        listing.add(&["token"], value, cells);
    }
    Ok(listing)
}
