//! Property tests over every entry point (R5): good inputs that were spoilt, noise, and for stanzas and requests trees made
//! of the protocol's own words. Beside them every seed that is committed, among which are the inputs that once did harm.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use wacore_binary::Node;
use wacore_binary::node::{Attrs, NodeContent};

use super::seeds::{folder, part, seeds};

type Target = fn(&[u8]);

/// The fuzz targets by name.
const TARGETS: &[(&str, Target)] = &[
    ("auth", super::auth),
    ("content", super::content),
    ("control", super::control),
    ("frames", super::frames),
    ("media", super::media),
    ("message", super::message),
    ("qr", super::qr),
    ("saved", super::saved),
    ("scenario", super::scenario),
    ("stanza", super::stanza),
];

fn names(folder: &std::path::Path) -> std::io::Result<BTreeSet<String>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[test]
fn r5_every_target_is_fuzzed_and_has_seeds() -> std::io::Result<()> {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder())?, targets);
    let files = names(&folder().with_file_name("fuzz_targets"))?;
    assert_eq!(files, targets.iter().map(|name| format!("{name}.rs")).collect());
    Ok(())
}

#[test]
fn r5_the_seeds_are_those_that_are_committed() {
    for ((target, name), input) in seeds() {
        let committed = std::fs::read(folder().join(target).join(&name)).unwrap_or_default();
        assert_eq!(committed, input, "{target}/{name} is another one; run the test r5_write_the_seeds");
    }
}

#[test]
#[ignore = "writes files"]
fn r5_write_the_seeds() -> std::io::Result<()> {
    for ((target, name), input) in seeds() {
        std::fs::create_dir_all(folder().join(target))?;
        std::fs::write(folder().join(target).join(name), input)?;
    }
    Ok(())
}

/// Whatever a target was once found to stumble over, it has learnt.
#[test]
fn r5_every_committed_input_does_no_harm() -> std::io::Result<()> {
    for (target, run) in TARGETS {
        for name in names(&folder().join(target))? {
            eprintln!("{target}/{name}");
            run(&std::fs::read(folder().join(target).join(name))?);
        }
    }
    Ok(())
}

/// Noise, or a good input with some bytes changed, left out, put in or repeated.
fn spoilt(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let good: Vec<Vec<u8>> = seeds().into_iter().filter(|((of, _), _)| *of == target).map(|(_, input)| input).collect();
    let change = (any::<Index>(), any::<u8>(), 0..4_u8);
    let spoilt = (select(good), vec(change, 0..6)).prop_map(|(mut input, changes)| {
        for (at, byte, how) in changes {
            if input.is_empty() {
                break;
            }
            let at = at.index(input.len());
            match how {
                0 => input[at] = byte,
                1 => drop(input.remove(at)),
                2 => input.insert(at, byte),
                _ => {
                    let again = input[at..].iter().copied().take(usize::from(byte)).collect::<Vec<_>>();
                    input.splice(at..at, again);
                }
            }
        }
        input
    });
    prop_oneof![1 => vec(any::<u8>(), 0..200), 9 => spoilt]
}

macro_rules! spoilt {
    ($($test:ident: $target:ident, $cases:expr;)*) => { $(
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases($cases) })]
            #[test]
            fn $test(input in spoilt(stringify!($target))) {
                super::$target(&input);
            }
        }
    )* };
}

spoilt! {
    r5_no_first_words_do_harm: frames, 32;
    r5_no_conversation_does_harm: stanza, 16;
    r5_no_code_does_harm: qr, 24;
    r5_no_request_does_harm: control, 16;
    r5_no_media_does_harm: media, 40;
    r5_no_scenario_does_harm: scenario, 40;
    r5_no_state_file_does_harm: saved, 40;
    r5_no_auth_state_does_harm: auth, 256;
    r5_no_message_does_harm: message, 256;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn r5_no_words_of_the_protocol_do_harm(input in conversations()) {
        super::stanza(&input);
    }

    #[test]
    fn r5_no_json_does_harm(input in requests()) {
        super::control(&input);
    }
}

/// The words that stanzas are made of, those left out that end a connection by right.
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

/// A few stanzas from each client, one after the other.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    vec((0..3_u8, nodes()), 1..12).prop_map(|stanzas| {
        let stanzas = stanzas.into_iter().filter_map(|(who, node)| {
            let bytes = wacore_binary::marshal(&node).ok()?;
            Some(part(&[&[who], bytes.as_slice()].concat()))
        });
        stanzas.collect::<Vec<_>>().concat()
    })
}

/// A request with a body that is JSON, of the words that there are.
fn requests() -> impl Strategy<Value = Vec<u8>> {
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
