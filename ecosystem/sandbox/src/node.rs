//! Small helpers over the client library's stanza type.

use std::time::{SystemTime, UNIX_EPOCH};

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{BinaryError, Jid, Node, NodeContent, Server};

/// Decodes a stanza from the wire, compressed or not.
pub(super) fn read(bytes: &[u8]) -> Result<Node, BinaryError> {
    let plain = wacore_binary::util::unpack(bytes)?;
    Ok(wacore_binary::marshal::unmarshal_ref(&plain)?.to_owned())
}

/// An attribute as text; empty when missing, because no attribute of this protocol may be empty.
pub(super) fn text(node: &Node, key: &str) -> String {
    node.attrs.get(key).map(|value| value.as_str().into_owned()).unwrap_or_default()
}

/// An attribute as an address.
pub(super) fn jid(node: &Node, key: &str) -> Option<Jid> {
    node.attrs.get(key)?.to_jid()
}

/// The children; none when the node has other content.
pub(super) fn children(node: &Node) -> &[Node] {
    node.children().unwrap_or_default()
}

/// The tag of the first child, empty when there is none.
pub(super) fn first_tag(node: &Node) -> &str {
    children(node).first().map_or("", |child| child.tag.as_ref())
}

/// The bytes of a node; text counts as bytes.
pub(super) fn bytes(node: &Node) -> Option<Vec<u8>> {
    match node.content.as_ref()? {
        NodeContent::Bytes(bytes) => Some(bytes.clone()),
        NodeContent::String(text) => Some(text.as_bytes().to_vec()),
        NodeContent::Nodes(_) => None,
    }
}

/// The bytes of a named child, empty when there is none.
pub(super) fn child_bytes(node: &Node, tag: &str) -> Vec<u8> {
    node.get_optional_child(tag).and_then(bytes).unwrap_or_default()
}

/// The address of the server itself.
pub(super) fn server_jid() -> Jid {
    Jid::new("", Server::Pn)
}

/// A node that holds bytes.
pub(super) fn leaf(tag: &'static str, content: impl Into<Vec<u8>>) -> Node {
    NodeBuilder::new(tag).bytes(content).build()
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The message ids of a receipt: the one in its head and those in its list.
pub(super) fn listed_ids(receipt: &Node) -> Vec<String> {
    let listed = receipt.get_optional_child("list").into_iter().flat_map(|list| list.get_children_by_tag("item"));
    std::iter::once(receipt).chain(listed).map(|node| text(node, "id")).collect()
}

/// The kind of a stanza, short enough to be counted: `iq get encrypt count`.
pub(super) fn signature(node: &Node) -> String {
    // Computed for every stanza, so it allocates no string for each part.
    let mut signature = node.tag.to_string();
    let mut add = |part: &str| {
        if !part.is_empty() {
            signature.push(' ');
            signature.push_str(part);
        }
    };
    let keys: &[&str] = match node.tag.as_ref() {
        "iq" => &["type", "xmlns"],
        "ack" | "message" => &["class", "type"],
        _ => &["type"],
    };
    for value in keys.iter().filter_map(|key| node.attrs.get(key)) {
        add(&value.as_str());
    }
    if !matches!(node.tag.as_ref(), "ack" | "message") {
        add(first_tag(node));
    }
    signature
}
