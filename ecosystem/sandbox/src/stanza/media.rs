//! The address of the media server.

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::media::{AUTH_TTL, HOSTS_TTL};
use super::Context;
use super::iq::Answer;

/// The media server's host, and an upload token.
pub(super) fn connection(context: &mut Context<'_>, _query: &Node) -> Answer {
    let Some(device) = context.device else { return Answer::Refused(401, "not-authorized") };
    let media = &context.server.media;
    let host = NodeBuilder::new("host").attr("hostname", media.host()).attr("type", "primary").build();
    Answer::Result(vec![
        NodeBuilder::new("media_conn")
            .attr("auth", media.token(device))
            .attr("ttl", HOSTS_TTL)
            .attr("auth_ttl", AUTH_TTL)
            .attr("max_buckets", 12_u16)
            .children([host])
            .build(),
    ])
}
