//! Good stanzas: those that a client sends to the server, and those that a server sends to a worker.

use super::seeds::{messages, part};
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use whatsapp_rust::buffa::Message as _;

pub(super) fn stanza(node: &Node) -> Vec<u8> {
    wacore_binary::marshal(node).unwrap_or_default()
}

pub(super) fn query(id: &'static str, kind: &'static str, namespace: &'static str) -> NodeBuilder {
    NodeBuilder::new("iq").attr("id", id).attr("type", kind).attr("xmlns", namespace).attr("to", "s.whatsapp.net")
}

fn tag(tag: &'static str) -> NodeBuilder {
    NodeBuilder::new(tag)
}

const ALICE: &str = "15550001@s.whatsapp.net";
pub(super) const BOB: &str = "15550002@s.whatsapp.net";
const BOBS_DEVICE: &str = "15550002:1@s.whatsapp.net";
const GROUP: &str = "120363000000000001@g.us";

pub(super) fn stanzas() -> Vec<(&'static str, Vec<u8>)> {
    let user = |jid: &'static str| tag("user").attr("jid", jid).build();
    let enc =
        |kind: &'static str| tag("enc").attr("v", "2").attr("type", kind).bytes(vec![0x33, 8, 1, 18, 1, 5]).build();
    let to = |jid: &'static str, kind| tag("to").attr("jid", jid).children([enc(kind)]).build();
    let message =
        |id: &'static str, to: &'static str| tag("message").attr("id", id).attr("type", "text").attr("to", to);
    let asks = |list: Vec<Node>| {
        let protocols = [tag("devices").attr("version", "2").build(), tag("contact").build(), tag("lid").build()];
        let parts = [tag("query").children(protocols).build(), tag("list").children(list).build()];
        query("1", "get", "usync").children([tag("usync").attr("mode", "query").children(parts).build()]).build()
    };
    let one = |what: u8, node: Node| part(&[&[what], stanza(&node).as_slice()].concat());
    let from = |what: u8, nodes: Vec<Node>| nodes.into_iter().map(|node| one(what, node)).collect::<Vec<_>>().concat();
    let collection = tag("collection").attr("name", "regular_low").attr("version", "0").attr("return_snapshot", "true");
    let queries = vec![
        asks(vec![user(BOB), user("915550001@lid")]),
        query("2", "get", "encrypt").children([tag("key").children([user(BOBS_DEVICE), user(ALICE)]).build()]).build(),
        query("3", "get", "encrypt").children([tag("count").build()]).build(),
        query("4", "get", "encrypt").children([tag("digest").build()]).build(),
        query("5", "set", "w:sync:app:state").children([tag("sync").children([collection.build()]).build()]).build(),
        query("6", "set", "w:m").children([tag("media_conn").build()]).build(),
        query("7", "get", "privacy").children([tag("privacy").build()]).build(),
        query("8", "get", "w:profile:picture").attr("target", BOB).children([tag("picture").build()]).build(),
        query("9", "set", "md").children([tag("remove-companion-device").attr("jid", ALICE).build()]).build(),
    ];
    let lists = |kind| [tag("participants").children([to(BOB, kind), to(BOBS_DEVICE, kind), to(ALICE, kind)]).build()];
    let texts = vec![
        message("A", BOB).children(lists("pkmsg")).build(),
        message("A", BOB).children(lists("msg")).build(),
        message("B", GROUP).attr("phash", "2:AAAA").children([enc("skmsg")]).build(),
        message("C", "status@broadcast").children(lists("msg")).build(),
        tag("receipt").attr("id", "A").attr("to", BOB).attr("type", "read").build(),
        tag("ack").attr("id", "A").attr("class", "message").attr("to", BOB).build(),
    ];
    let retry = tag("retry").attr("id", "A").attr("count", "1").attr("v", "1").build();
    let answers = vec![
        tag("receipt")
            .attr("id", "A")
            .attr("to", "15550001:1@s.whatsapp.net")
            .attr("type", "retry")
            .children([retry])
            .build(),
        tag("presence").attr("type", "available").attr("name", "Bob").build(),
        tag("presence").attr("type", "subscribe").attr("to", ALICE).build(),
        tag("chatstate").attr("to", ALICE).children([tag("composing").build()]).build(),
        tag("call").attr("id", "D").attr("to", ALICE).children([tag("offer").attr("call-id", "E").build()]).build(),
    ];
    let group = |id, kind, child: Node| query(id, kind, "w:g2").attr("to", GROUP).children([child]).build();
    let groups = vec![
        group("1", "get", tag("query").attr("request", "interactive").build()),
        group("2", "set", tag("subject").string_content("Others").build()),
        group("3", "set", tag("remove").children([tag("participant").attr("jid", ALICE).build()]).build()),
        group("4", "set", tag("add").children([tag("participant").attr("jid", ALICE).build()]).build()),
        group("5", "get", tag("invite").build()),
        group("6", "set", tag("announcement").build()),
    ];
    let hello = [
        tag("link_code_pairing_wrapped_companion_ephemeral_pub").bytes(vec![1; 80]).build(),
        tag("companion_server_auth_key_pub").bytes(vec![2; 32]).build(),
    ];
    let hello = tag("link_code_companion_reg").attr("jid", ALICE).attr("stage", "companion_hello").children(hello);
    let words: Vec<u8> = messages()
        .into_iter()
        .flat_map(|(_, message)| {
            let message = message.encode_to_vec();
            [3, 4].map(|what| part(&[&[what], message.as_slice()].concat())).concat()
        })
        .collect();
    vec![
        ("queries", from(1, queries)),
        ("texts", [from(1, texts), from(2, answers)].concat()),
        ("groups", from(2, groups)),
        ("stranger", from(0, vec![query("1", "set", "md").children([hello.build()]).build()])),
        ("words", words),
    ]
}

/// A stanza as a client reads it, without the byte before it that says that nothing is compressed.
pub(super) fn unflagged(node: &Node) -> Vec<u8> {
    stanza(node).split_off(1)
}

/// Stanzas from the server, among them what only a hostile peer or server would send.
pub(super) fn to_worker() -> Vec<(&'static str, Node)> {
    let from = |kind: &'static str, jid: &'static str| tag(kind).attr("id", "A").attr("from", jid).attr("t", "1");
    let long: &'static str = "A".repeat(3000).leak();
    let enc = || [tag("enc").attr("v", "2").attr("type", "msg").bytes(vec![0x33, 8, 1, 18, 1, 5]).build()];
    let item = |id: &'static str| tag("item").attr("id", id).build();
    let user = |jid: &'static str| tag("user").attr("jid", jid).attr("t", "-1").attr("type", "played").build();
    let person = |jid: &'static str| tag("participant").attr("jid", jid).attr("phone_number", BOB).build();
    let group =
        |child: Node| from("notification", GROUP).attr("type", "w:gp2").attr("participant", BOB).children([child]);
    let offer = |id: &'static str| tag("offer").attr("call-id", id).attr("call-creator", BOB).attr("group-jid", GROUP);
    let error = tag("stream:error").attr("code", "99999999999");
    vec![
        (
            "receipt",
            from("receipt", BOB).attr("type", "read").children([tag("list").children([item("B")]).build()]).build(),
        ),
        ("receipt_with_nul", from("receipt", BOB).attr("type", "read").attr("id", "A\0B").build()),
        ("receipt_with_a_long_id", from("receipt", GROUP).attr("participant", "1@lid").attr("id", long).build()),
        (
            "receipt_of_many",
            from("receipt", GROUP)
                .children([tag("participants").attr("message_id", "A\0").children([user(BOB), user("@")]).build()])
                .build(),
        ),
        ("receipt_without_sender", tag("receipt").attr("offline", "1").attr("t", "99999999999999999999").build()),
        ("redelivered", from("message", BOB).attr("offline", "1").attr("type", "text").children(enc()).build()),
        (
            "redelivered_with_nul",
            from("message", GROUP)
                .attr("offline", "1")
                .attr("participant", "1@lid")
                .attr("id", "\0")
                .children(enc())
                .build(),
        ),
        ("redelivered_from_nobody", tag("message").attr("offline", "").attr("id", long).children(enc()).build()),
        ("redelivered_to_own_device", from("message", ALICE).attr("offline", "0").attr("category", "peer").build()),
        ("call", from("call", BOB).children([offer("C").children([tag("video").build()]).build()]).build()),
        ("call_with_nul", from("call", BOB).children([offer("\0").build()]).build()),
        ("group_add", group(tag("add").children([person(ALICE), person("1@lid"), person("@")]).build()).build()),
        ("group_subject", group(tag("subject").attr("subject", "\0\u{fffe}").attr("s_t", "-1").build()).build()),
        ("group_timer", group(tag("ephemeral").attr("expiration", "4294967295").build()).build()),
        ("presence", from("presence", BOB).attr("last", "99999999999999").build()),
        ("success", tag("success").build()),
        ("stream_error", error.children([tag("conflict").attr("type", "replaced").build()]).build()),
    ]
}
