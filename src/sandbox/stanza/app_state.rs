//! App state: settings that a phone and its devices share. The sandbox keeps none, so every collection is up to date.

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::node::{children, text};
use super::Context;
use super::iq::Answer;

/// Says of each collection that the client has its newest version. A client is not connected before it has heard this.
pub(super) fn sync(_context: &mut Context<'_>, query: &Node) -> Answer {
    let asked = query.get_optional_child("sync").map(children).unwrap_or_default();
    let collections = asked.iter().map(|collection| {
        NodeBuilder::new("collection")
            .attr("name", text(collection, "name"))
            .attr("version", text(collection, "version"))
            .build()
    });
    Answer::Result(vec![NodeBuilder::new("sync").children(collections).build()])
}
