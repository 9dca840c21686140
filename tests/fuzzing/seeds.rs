//! Good inputs for each target, from which fuzzing starts and which property tests mutate. They are committed in
//! `fuzz/seeds/`, beside inputs that once did harm; `cargo test -- --ignored r5_write_the_seeds` renews them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp as wa;
use whatsapp_rust::buffa::{Message as _, MessageField};

/// Inputs by target and name.
pub(super) type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}

pub(super) fn seeds() -> Seeds {
    let mut all = Seeds::new();
    let mut add = |target, inputs: Vec<(&str, Vec<u8>)>| {
        all.extend(inputs.into_iter().map(|(name, input)| ((target, name.to_owned()), input)));
    };
    add("frames", frames());
    add("stanza", stanzas());
    add(
        "qr",
        texts(&[
            ("code", "{ref},{noise},{identity},{secret},1"),
            ("link", "https://wa.me/settings/linked_devices#{ref},{noise},{identity},{secret}"),
            ("stale", "2@00,{noise},{identity},{secret}"),
            ("typed", "ABCD-EFGH"),
        ]),
    );
    add("control", control());
    add("media", media());
    add("scenario", scenarios());
    add("saved", saved());
    add("auth", auth());
    add(
        "content",
        texts(&[
            (
                "text",
                r#"{"kind":"text","body":"Hi","content":{"quote":"3EB0AA","mentions":["15550009@s.whatsapp.net"]}}"#,
            ),
            ("location", r#"{"kind":"location","content":{"latitude":52.5,"longitude":13.4,"name":"Tor"}}"#),
            ("contact", r#"{"kind":"contact","content":{"name":"Bob; B","phone":"15550009@s.whatsapp.net"}}"#),
            (
                "poll",
                r#"{"kind":"poll","body":"?","content":{"options":["A","B"],"choices":1,"secret":{"type":"Buffer","data":"AAAA"}}}"#,
            ),
            ("forward", r#"{"kind":"forward","content":{"message_id":"3EB0AA","chat":"15550009@s.whatsapp.net"}}"#),
        ]),
    );
    add("worker_stanza", to_worker().into_iter().map(|(name, node)| (name, unflagged(&node))).collect());
    add("message", messages().into_iter().map(|(name, message)| (name, message.encode_to_vec())).collect());
    all
}

fn texts(texts: &[(&'static str, &str)]) -> Vec<(&'static str, Vec<u8>)> {
    texts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect()
}

/// One part of an input with several: its length in two bytes, then the part.
pub(super) fn part(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length, bytes].concat()
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let greeted = [b"WA\x06\x03\x00\x00\x26\x12\x24\x0a\x22".as_slice(), &[7; 34]].concat();
    let login = wa::ClientPayload { username: Some(15_550_001), device: Some(1), ..Default::default() };
    let keys = wa::client_payload::DevicePairingRegistrationData {
        e_regid: Some(vec![0, 0, 0, 1]),
        e_ident: Some(vec![5; 32]),
        e_skey_id: Some(vec![0, 0, 1]),
        e_skey_val: Some(vec![6; 32]),
        e_skey_sig: Some(vec![7; 64]),
        ..Default::default()
    };
    let registration = wa::ClientPayload { device_pairing_data: MessageField::some(keys), ..Default::default() };
    let ping = stanza(&query("p", "get", "w:p").build());
    let input = |how: u8, parts: &[&[u8]]| {
        std::iter::once(vec![how]).chain(parts.iter().map(|bytes| part(bytes))).collect::<Vec<_>>().concat()
    };
    vec![
        ("raw", input(0, &[&greeted])),
        ("raw_in_pieces", input(0, &[&greeted[..9], &greeted[9..], &greeted[4..]])),
        ("xx_login", input(1, &[&login.encode_to_vec(), &ping])),
        ("xx_registration", input(1, &[&registration.encode_to_vec(), &ping])),
        ("ik_login", input(2, &[&login.encode_to_vec(), &ping, &ping])),
        ("fallback_login_with_hint", input(7, &[&login.encode_to_vec(), &ping])),
    ]
}

fn stanza(node: &Node) -> Vec<u8> {
    wacore_binary::marshal(node).unwrap_or_default()
}

fn query(id: &'static str, kind: &'static str, namespace: &'static str) -> NodeBuilder {
    NodeBuilder::new("iq").attr("id", id).attr("type", kind).attr("xmlns", namespace).attr("to", "s.whatsapp.net")
}

fn tag(tag: &'static str) -> NodeBuilder {
    NodeBuilder::new(tag)
}

const ALICE: &str = "15550001@s.whatsapp.net";
const BOB: &str = "15550002@s.whatsapp.net";
const BOBS_DEVICE: &str = "15550002:1@s.whatsapp.net";
const GROUP: &str = "120363000000000001@g.us";

fn stanzas() -> Vec<(&'static str, Vec<u8>)> {
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
fn to_worker() -> Vec<(&'static str, Node)> {
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

/// Messages as their senders encode them.
fn messages() -> Vec<(&'static str, wa::Message)> {
    use wa::message::protocol_message::Type;
    let protocol = |kind, fill: fn(&mut wa::message::ProtocolMessage)| {
        let mut protocol = wa::message::ProtocolMessage { r#type: Some(kind), ..Default::default() };
        fill(&mut protocol);
        wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() }
    };
    let key = || MessageField::some(wa::MessageKey { id: Some("A".into()), from_me: Some(true), ..Default::default() });
    let text = |text: &str| wa::Message { conversation: Some(text.into()), ..Default::default() };
    let image = wa::message::ImageMessage {
        mimetype: Some("image/jpeg".into()),
        direct_path: Some("/v/t62.7118-24/1_n.enc?oe=1".into()),
        media_key: Some(vec![1; 32]),
        file_sha256: Some(vec![2; 32]),
        file_enc_sha256: Some(vec![3; 32]),
        file_length: Some(6),
        caption: Some("look".into()),
        ..Default::default()
    };
    let reaction = wa::message::ReactionMessage { key: key(), text: Some("\u{1f44d}".into()), ..Default::default() };
    let sent = wa::message::DeviceSentMessage {
        destination_jid: Some(BOB.into()),
        message: MessageField::some(text("from another device")),
        ..Default::default()
    };
    vec![
        ("text", text("hello\0")),
        ("image", wa::Message { image_message: MessageField::some(image), ..Default::default() }),
        ("reaction", wa::Message { reaction_message: MessageField::some(reaction), ..Default::default() }),
        ("copy", wa::Message { device_sent_message: MessageField::some(sent), ..Default::default() }),
        (
            "revoke",
            protocol(Type::REVOKE, |it| {
                it.key = MessageField::some(wa::MessageKey { id: Some("A".into()), ..Default::default() });
            }),
        ),
        (
            "keys",
            protocol(Type::APP_STATE_SYNC_KEY_REQUEST, |it| {
                let id = wa::message::AppStateSyncKeyId { key_id: Some(vec![0, 0, 0, 1]) };
                let request = wa::message::AppStateSyncKeyRequest { key_ids: vec![id] };
                it.app_state_sync_key_request = MessageField::some(request);
            }),
        ),
        ("timer", protocol(Type::EPHEMERAL_SETTING, |it| it.ephemeral_expiration = Some(86_400))),
    ]
    .into_iter()
    .chain(cards())
    .collect()
}

/// Answers, and messages within wrappers.
fn cards() -> Vec<(&'static str, wa::Message)> {
    let disappearing = |message| {
        let wrapper = wa::message::FutureProofMessage { message: MessageField::some(message) };
        wa::Message { ephemeral_message: MessageField::some(wrapper), ..Default::default() }
    };
    let answer = wa::message::ListResponseMessage {
        title: Some("Soup".into()),
        context_info: MessageField::some(wa::ContextInfo {
            stanza_id: Some("A\0".into()),
            expiration: Some(86_400),
            ..Default::default()
        }),
        ..Default::default()
    };
    let option = wa::message::poll_creation_message::Option { option_name: Some("Soup".into()), ..Default::default() };
    let poll = wa::Message {
        poll_creation_message_v3: MessageField::some(wa::message::PollCreationMessage {
            name: Some("Lunch?".into()),
            options: vec![option],
            ..Default::default()
        }),
        message_context_info: MessageField::some(wa::MessageContextInfo {
            message_secret: Some(vec![7; 32]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let card = wa::message::InteractiveMessage {
        body: MessageField::some(wa::message::interactive_message::Body { text: Some("Pay".into()) }),
        ..Default::default()
    };
    vec![
        ("answer", wa::Message { list_response_message: MessageField::some(answer), ..Default::default() }),
        ("poll", disappearing(poll)),
        ("card", disappearing(wa::Message { interactive_message: MessageField::some(card), ..Default::default() })),
    ]
}

fn control() -> Vec<(&'static str, Vec<u8>)> {
    let requests = |requests: &[(&str, &str, &str)]| {
        let texts: Vec<String> =
            requests.iter().map(|(method, path, body)| format!("{method} {path}\n\n{body}")).collect();
        texts.join("\u{1e}").into_bytes()
    };
    vec![
        (
            "phones",
            requests(&[
                ("POST", "/phones", r#"{"number":"+15550004","history":{"chats":2,"messages":3}}"#),
                ("POST", "/phones/15550001/send", r#"{"to":"15550002","text":"hi"}"#),
                ("POST", "/phones/15550001/send", r#"{"to":"120363000000000001@g.us","image":{"data":"aGk="}}"#),
                ("GET", "/phones/15550001/messages", ""),
                ("POST", "/phones/15550003/pace", r#"{"delivered_ms":1,"read_ms":2,"reads":true}"#),
                ("POST", "/phones/15550001/typing", r#"{"to":"15550002","state":"composing"}"#),
                ("POST", "/phones/15550001/reregister", "{}"),
            ]),
        ),
        (
            "linking",
            requests(&[
                ("POST", "/phones/15550001/scan", r#"{"qr":"2@x,AA==,AA==,AA=="}"#),
                ("POST", "/phones/15550001/confirm", r#"{"code":"ABCD-EFGH"}"#),
                ("POST", "/phones/15550001/unlink", r#"{"device":1}"#),
                ("POST", "/devices/15550001/1/drop", ""),
            ]),
        ),
        (
            "groups",
            requests(&[
                (
                    "POST",
                    "/groups",
                    r#"{"subject":"A","creator":"15550001","participants":["15550002"],"addressing":"pn"}"#,
                ),
                ("POST", "/groups/120363000000000001@g.us/participants", r#"{"by":"15550002","add":["15550001"]}"#),
                ("POST", "/groups/120363000000000001@g.us/settings", r#"{"by":"15550002","announce":true}"#),
                ("POST", "/groups/120363000000000001@g.us/leave", r#"{"number":"15550001"}"#),
            ]),
        ),
        (
            "app_state",
            requests(&[
                ("POST", "/phones/15550001/app-state", r#"{"pin":{"chat":"15550002","pinned":true}}"#),
                ("POST", "/phones/15550001/app-state/rotate-key", ""),
                ("GET", "/phones/15550001/app-state", ""),
            ]),
        ),
        (
            "truth",
            requests(&[
                ("GET", "/verdict?from=0&to=9&sender=15550001:1&limit=3", ""),
                ("GET", "/ledger?recipient=15550002@s.whatsapp.net&chat=15550001&id_prefix=A", ""),
                ("POST", "/faults", r#"{"fault":{"lose":{}},"stanza":"message","times":"always"}"#),
                ("DELETE", "/faults/1", ""),
            ]),
        ),
        ("elsewhere", b"POST /phones\nhost: evil.example\norigin: null\n\n{}".to_vec()),
    ]
}

fn media() -> Vec<(&'static str, Vec<u8>)> {
    let upload = "POST /mms/image/{hash}?auth={auth}&token={hash}";
    texts(&[
        (
            "there_and_back",
            &format!(
                "{upload}\n\nan encrypted file\u{1e}GET {{path}}\nrange: bytes=3-9\n\n\u{1e}GET {{path}}\nrange: bytes=-4\n\n"
            ),
        ),
        ("in_chunks", &format!("{upload}\n\nan encry\u{1d}pted file")),
        (
            "broken_off",
            &format!(
                "{upload}\n\nan encry\u{1d}\u{1e}{upload}&resume=1\n\nan encry\u{1e}{upload}&file_offset=8\n\nan encry"
            ),
        ),
        (
            "refused",
            &format!(
                "POST /mms/cat/{{hash}}?auth={{auth}}&token={{hash}}\n\nx\u{1e}POST /mms/image/AAAA?auth=AAAA\n\nx\u{1e}GET /v/t61.24694-24/x\n\n\u{1e}{upload}\n\n"
            ),
        ),
    ])
}

fn scenarios() -> Vec<(&'static str, Vec<u8>)> {
    let every: Vec<Value> = [
        json!({ "refuse": {} }),
        json!({ "drop": {} }),
        json!({ "black_hole": {} }),
        json!({ "login_failure": { "reason": 503 } }),
        json!({ "ban": { "code": 101, "seconds": 60 } }),
        json!({ "stream_error": { "code": 515, "close": false } }),
        json!({ "logout": {} }),
        json!({ "lose": {} }),
        json!({ "delay": { "ms": 1 } }),
        json!({ "late": { "ms": 1 } }),
        json!({ "duplicate": { "copies": 2 } }),
        json!({ "reorder": {} }),
        json!({ "nack": { "code": 400 } }),
        json!({ "corrupt": { "retries": true } }),
        json!({ "no_one_time_key": {} }),
        json!({ "unknown_pre_key": {} }),
        json!({ "slow_media": { "ms": 1 } }),
        json!({ "fail_media": { "status": 500 } }),
        json!({ "cut_media": { "bytes": 1 } }),
        json!({ "corrupt_app_state": { "what": "patch_mac" } }),
    ]
    .into_iter()
    .map(|fault| json!({ "fault": fault }))
    .collect();
    texts(&[
        (
            "toml",
            "seed = 7\nphones = [\"15550004\"]\n\n[[faults]]\nfault.lose = {}\nstanza = \"iq get\"\ndirection = \"in\"\ntimes = \"always\"\nprobability = 0.1\n\n[[faults]]\nfault.delay.ms = 1\nnumber = \"15550001\"\ndevice = 1\nskip = 1\nat_ms = 5\nfor_ms = 9\n",
        ),
        ("every_fault", &json!({ "faults": every }).to_string()),
        (
            "times",
            r#"{"seed":1,"faults":[{"fault":{"drop":{}},"times":2},{"fault":{"lose":{}},"times":null,"probability":0.5}]}"#,
        ),
    ])
}

fn saved() -> Vec<(&'static str, Vec<u8>)> {
    let changes = |changes: Value| changes.to_string();
    texts(&[
        ("as_it_was", "[]"),
        ("other_file", r#"{"format":"wagres sandbox","version":1}"#),
        (
            "numbers",
            &changes(json!([
                ["/accounts/0/last_device", 65535],
                ["/accounts/0/phone/next_key", 4_294_967_295_u32],
                ["/accounts/1/manner/pace/read", { "secs": 9, "nanos": 0 }],
                ["/sequence", u64::MAX],
            ])),
        ),
        (
            "bytes",
            &changes(json!([
                ["/accounts/0/key", "AAAA"],
                ["/accounts/0/devices/1/queue", ["AAAA"]],
                ["/accounts/0/phone/one_time_keys/0", ""],
                ["/accounts/0/phone/messages/0/content", "CgA="],
            ])),
        ),
        (
            "collections",
            &changes(json!([
                ["/accounts/0/app_state", { "regular_low": { "version": 1, "patches": [], "records": [] } }],
            ])),
        ),
    ])
}

fn auth() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |fill: u8, length: usize| json!({ "type": "Buffer", "data": vec![fill; length] });
    let base64 = |fill: u8| json!({ "type": "Buffer", "data": BASE64_STANDARD.encode([fill; 32]) });
    let pair = |fill| json!({ "private": base64(fill), "public": bytes(9, 32) });
    let indexed: Value =
        (0..64).map(|index| (index.to_string(), Value::from(3))).collect::<serde_json::Map<_, _>>().into();
    let creds = json!({
        "noiseKey": pair(1),
        "signedIdentityKey": pair(2),
        "signedPreKey": { "keyPair": pair(4), "keyId": 1, "signature": indexed },
        "registrationId": 77,
        "advSecretKey": BASE64_STANDARD.encode([5; 32]),
        "me": { "id": "15550001:1@s.whatsapp.net", "lid": "915550001:1@lid", "name": "Alice" },
        "account": { "details": { "buffer": true, "data": "AQI=" }, "accountSignatureKey": bytes(6, 32) },
        "nextPreKeyId": { "low": 31, "high": 0, "unsigned": true },
    });
    texts(&[
        ("creds", &creds.to_string()),
        (
            "shapes",
            r#"[{"type":"Buffer","data":"AQL/"},{"type":"Buffer","data":[1,2,255]},{"0":1,"1":2},{"buffer":true,"data":{"0":1}},"{\"type\":\"Buffer\",\"data\":\"AQ==\"}"]"#,
        ),
        ("mapping", r#"{"lid":"915550001","pn":"15550001","createdAt":1,"updatedAt":"2","source":"usync"}"#),
        ("devices", r#"{"devices":[{"id":1,"keyIndex":1,"hosted":false}],"timestamp":1,"phash":"2:AAAA","rawId":7}"#),
        ("token", r#"{"token":{"0":1,"1":2},"timestamp":1,"senderTimestamp":null}"#),
        (
            "session",
            r#"{"_sessions":{"BZgXSAwS3RIKbT6ZZqCegjbbgxB5M7ZQUYWhM18KrCYu":{"registrationId":77,"currentRatchet":{"ephemeralKeyPair":{"pubKey":"BSmvjIuGDWsvdEel+w7ZWbxcFuplKngzM/tn7KGeKvoU","privKey":"cIyqjw59uDQ1heLf5G2vmAQxuTtSVHZLe7dNUSgBu14="},"lastRemoteEphemeralKey":"BZjuCcTdrVx4kgS0tW8r0O/Jlj6nrn8eqwaKBEib29gz","previousCounter":0,"rootKey":"XhwVzZvs0xYMaHFIk5qyjO8PcAwMOoT5fYyQc0yyMc0="},"indexInfo":{"baseKey":"BZgXSAwS3RIKbT6ZZqCegjbbgxB5M7ZQUYWhM18KrCYu","baseKeyType":1,"closed":-1,"used":1795258295008,"created":1795258295008,"remoteIdentityKey":"BcSDAhbqXx63nyR2/PiUOyaHV5AMwYdz6tLFkLSe3jJe"},"_chains":{"BSmvjIuGDWsvdEel+w7ZWbxcFuplKngzM/tn7KGeKvoU":{"chainKey":{"counter":0,"key":"QeZoYWBEnCqpU+G2HqM9u2uHXCsCGjyM0F1D5ebRVEc="},"chainType":1,"messageKeys":{}}},"pendingPreKey":{"signedKeyId":1,"baseKey":"BZgXSAwS3RIKbT6ZZqCegjbbgxB5M7ZQUYWhM18KrCYu"}}},"version":"v1"}"#,
        ),
        (
            "sender_key",
            r#"[{"senderKeyId":7,"senderChainKey":{"iteration":1,"seed":{"type":"Buffer","data":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}},"senderSigningKey":{"public":{"type":"Buffer","data":"BSmvjIuGDWsvdEel+w7ZWbxcFuplKngzM/tn7KGeKvoU"},"private":[]},"senderMessageKeys":[{"iteration":0,"seed":[1,2,3]}]}]"#,
        ),
        (
            "version",
            r#"{"version":3,"hash":{"type":"Buffer","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"indexValueMap":{"AQI=":{"valueMac":{"0":1}}}}"#,
        ),
    ])
}
