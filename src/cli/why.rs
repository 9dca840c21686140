//! `wagres why`: what a session or a message waits for.

use super::{connect, print};
use crate::config::Config;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Name of a session, or id of a message in wa.outbound
    #[arg(value_name = "SESSION|MESSAGE_ID")]
    target: String,
}

pub(super) async fn run(config: &Config, WhyArgs { target }: WhyArgs, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    // The name of a session may be a number.
    let named = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM wa.session WHERE name = $1) AS "named!""#, target);
    let (line, why) = match target.parse::<i64>() {
        Ok(id) if !named.fetch_one(&pool).await? => {
            let why = sqlx::query_scalar!(r#"SELECT wa.why($1::bigint) AS "why!""#, id).fetch_one(&pool).await?;
            (json!({ "message": id, "why": why }), why)
        }
        _ => {
            let why = sqlx::query_scalar!(r#"SELECT wa.why($1::text) AS "why!""#, target).fetch_one(&pool).await?;
            (json!({ "session": target, "why": why }), why)
        }
    };
    print(json, &line, &why);
    Ok(())
}
