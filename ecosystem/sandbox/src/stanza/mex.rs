//! Queries in GraphQL (`w:mex`): an id names the query, and the answer is JSON.

use serde_json::json;
use wacore::iq::mex_operations::fetch_reachout_timelock;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::DeviceId;
use super::super::node::{leaf, server_jid, text, unix_now};
use super::super::server::Server;
use super::super::settings::Limit;
use super::Context;
use super::iq::Answer;

/// Answers a query by its id.
pub(super) fn query(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return Answer::Refused(401, "not-authorized") };
    let asked = query.get_optional_child("query").map(|asked| text(asked, "query_id")).unwrap_or_default();
    if asked != fetch_reachout_timelock::DOC_ID {
        context.server.stats.unknown(format!("iq get w:mex query {asked}"));
        return Answer::Refused(501, "feature-not-implemented");
    }
    let state = context.server.state();
    let limit = state.accounts.get(&own.number).and_then(|account| account.settings.limit_at(unix_now()));
    let answer = json!({ "data": { "xwa2_fetch_account_reachout_timelock": timelock(limit) } });
    Answer::Result(vec![leaf("result", answer.to_string())])
}

/// Notifies the account's devices of its limit.
pub(in super::super) fn notify_limit(server: &Server, number: &str) {
    let mut state = server.state();
    let Some(account) = state.accounts.get(number) else { return };
    let news =
        json!({ "data": { "xwa2_notify_account_reachout_timelock": timelock(account.settings.limit_at(unix_now())) } });
    let devices: Vec<u16> = account.devices.keys().copied().collect();
    for device in devices {
        let update = NodeBuilder::new("update").attr("op_name", "NotificationUserReachoutTimelockUpdate");
        let notification = NodeBuilder::new("notification")
            .attr("from", server_jid())
            .attr("type", "mex")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([update.bytes(news.to_string().into_bytes()).build()])
            .build();
        state.deliver(&DeviceId { number: number.to_owned(), device }, notification, &server.stats);
    }
}

/// A limit in the words of the protocol.
fn timelock(limit: Option<&Limit>) -> serde_json::Value {
    match limit {
        Some(limit) => json!({
            "is_active": true,
            "enforcement_type": limit.kind,
            "time_enforcement_ends": limit.until.to_string(),
        }),
        None => json!({ "is_active": false }),
    }
}
