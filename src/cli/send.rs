//! `wagres send`.

use super::{connect, print};
use crate::config::Config;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Name of the session that sends
    pub(super) session: String,
    /// Phone number with country code, or JID
    pub(super) recipient: String,
    /// Text of the message
    pub(super) body: String,
}

pub(super) async fn run(config: &Config, args: SendArgs, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    let id =
        sqlx::query_scalar!(r#"SELECT wa.send_text($1, $2, $3) AS "id!""#, args.session, args.recipient, args.body)
            .fetch_one(&pool)
            .await?;
    print(json, &json!({ "id": id, "status": "queued" }), &format!("queued as message {id} of wa.outbound"));
    Ok(())
}
