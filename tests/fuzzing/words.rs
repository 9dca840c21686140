//! Stanzas and requests made of the protocol's own words.

use super::seeds::part;
use super::stanzas::unflagged;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use wacore_binary::Node;
use wacore_binary::node::{Attrs, NodeContent};

/// Tags of stanzas, without those that rightly end a connection. `iq` stands three times because it is the most frequent.
const TAGS: &[&str] = &[
    "iq",
    "iq",
    "iq",
    "message",
    "receipt",
    "ack",
    "presence",
    "chatstate",
    "ib",
    "call",
    "notification",
    "usync",
    "query",
    "list",
    "user",
    "device",
    "devices",
    "sync",
    "collection",
    "patch",
    "snapshot",
    "key",
    "key_fetch",
    "registration",
    "identity",
    "skey",
    "rotate",
    "count",
    "digest",
    "enc",
    "participants",
    "to",
    "retry",
    "item",
    "group",
    "create",
    "participant",
    "add",
    "remove",
    "promote",
    "subject",
    "description",
    "invite",
    "leave",
    "ping",
    "props",
    "privacy",
    "tokens",
    "token",
    "clean",
    "active",
    "passive",
    "media_conn",
    "picture",
    "status",
    "composing",
    "paused",
    "link_code_companion_reg",
    "pair-device-sign",
    "device-identity",
    "contact",
    "lid",
    "meta",
    "x",
];
const KEYS: &[&str] = &[
    "id",
    "to",
    "from",
    "type",
    "xmlns",
    "jid",
    "participant",
    "recipient",
    "name",
    "version",
    "class",
    "t",
    "edit",
    "count",
    "index",
    "value",
    "v",
    "phash",
    "category",
    "stage",
    "code",
    "subject",
    "mediatype",
    "hash",
    "sid",
    "offline",
];
const VALUES: &[&str] = &[
    "get",
    "set",
    "result",
    "error",
    "encrypt",
    "usync",
    "w:sync:app:state",
    "passive",
    "md",
    "w:p",
    "w:g2",
    "w:m",
    "abt",
    "privacy",
    "blocklist",
    "w:profile:picture",
    "urn:xmpp:whatsapp:dirty",
    "status",
    "message",
    "receipt",
    "notification",
    "text",
    "pkmsg",
    "msg",
    "skmsg",
    "read",
    "retry",
    "played",
    "inactive",
    "sender",
    "available",
    "subscribe",
    "1",
    "7",
    "0",
    "-1",
    "99999999999999999999",
    "",
    "15550001@s.whatsapp.net",
    "15550002@s.whatsapp.net",
    "15550001:1@s.whatsapp.net",
    "15550002:99@s.whatsapp.net",
    "915550002@lid",
    "915550001:1@lid",
    "1@g.us",
    "status@broadcast",
    "s.whatsapp.net",
    "@",
    "1@newsletter",
    "critical_block",
    "regular_low",
    "companion_hello",
];

fn nodes() -> impl Strategy<Value = Node> {
    let word = |words: &'static [&'static str]| select(words).prop_map(str::to_owned);
    let tag = move || prop_oneof![12 => word(TAGS), 1 => "[a-z:_-]{1,12}"];
    let value = move || prop_oneof![12 => word(VALUES), 1 => "\\PC{0,12}"];
    let attrs = move || vec((word(KEYS), value()), 0..7);
    let bytes = vec(any::<u8>(), 0..40).prop_map(|bytes| Some(NodeContent::Bytes(bytes)));
    let leaf =
        prop_oneof![2 => Just(None), 1 => bytes, 1 => value().prop_map(|text| Some(NodeContent::String(text.into())))];
    let node = move |tag: String, attrs: Vec<(String, String)>, content| {
        let mut all = Attrs::new();
        for (key, value) in attrs {
            all.insert(key, value);
        }
        Node { tag: tag.into(), attrs: all, content }
    };
    let leaf = (tag(), attrs(), leaf).prop_map(move |(tag, attrs, content)| node(tag, attrs, content));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (tag(), attrs(), vec(inner, 0..4))
            .prop_map(move |(tag, attrs, children)| node(tag, attrs, Some(NodeContent::Nodes(children))))
    })
}

/// One stanza.
pub(super) fn stanzas() -> impl Strategy<Value = Vec<u8>> {
    nodes().prop_map(|node| unflagged(&node))
}

/// A sequence of stanzas from several clients.
pub(super) fn conversations() -> impl Strategy<Value = Vec<u8>> {
    vec((0..3_u8, nodes()), 1..12).prop_map(|stanzas| {
        let stanzas = stanzas.into_iter().filter_map(|(who, node)| {
            let bytes = wacore_binary::marshal(&node).ok()?;
            Some(part(&[&[who], bytes.as_slice()].concat()))
        });
        stanzas.collect::<Vec<_>>().concat()
    })
}

/// Requests with JSON bodies of known words.
pub(super) fn requests() -> impl Strategy<Value = Vec<u8>> {
    let paths = [
        "/phones",
        "/phones/15550001/send",
        "/phones/15550001/scan",
        "/phones/15550001/unlink",
        "/phones/15550001/app-state",
        "/phones/15550001/pace",
        "/phones/15550001/typing",
        "/phones/15550001/presence",
        "/phones/15550001/read",
        "/phones/15550001/about",
        "/phones/15550001/picture",
        "/groups",
        "/groups/join",
        "/groups/120363000000000001@g.us/participants",
        "/groups/120363000000000001@g.us/settings",
        "/qr",
        "/faults",
        "/scenario",
        "/devices/15550001/1/drop",
        "/phones/15550001/messages/x",
        "/phones/x/messages",
        "/phones/15550001/%ff",
    ];
    let request = (select(paths.to_vec()), bodies()).prop_map(|(path, body)| format!("POST {path}\n\n{body}"));
    vec(request, 1..4).prop_map(|requests| requests.join("\u{1e}").into_bytes())
}

fn bodies() -> impl Strategy<Value = Value> {
    let words = &[
        "number",
        "qr",
        "to",
        "text",
        "reply",
        "react",
        "edit",
        "revoke",
        "id",
        "emoji",
        "device",
        "data",
        "image",
        "by",
        "add",
        "remove",
        "subject",
        "creator",
        "participants",
        "fault",
        "lose",
        "drop",
        "times",
        "history",
        "chats",
    ];
    let values =
        vec!["15550002", "15550001", "status@broadcast", "1@g.us", "", "2@x,AA==,AA==,AA==", "2@,,,,,", "AA=="];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(values).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let fields = proptest::collection::btree_map(select(words.as_slice()), inner.clone(), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            fields.prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}
