//! Good inputs for each target, from which fuzzing starts and which property tests mutate. They are committed in
//! `fuzz/seeds/`, beside inputs that once did harm; `cargo test -- --ignored r5_write_the_seeds` renews them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::stanzas::{BOB, query, stanza, stanzas, to_worker, unflagged};
use serde_json::{Value, json};
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

/// Messages as their senders encode them.
pub(super) fn messages() -> Vec<(&'static str, wa::Message)> {
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
