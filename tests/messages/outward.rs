//! M1: messages of each kind reach each peer unchanged.

use super::stage::{PEERS, Peer, SHOP, Stage, matrix_table, phone_shows};
use crate::support::docs;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One of our messages.
struct Case {
    kind: &'static str,
    /// SQL arguments after session and recipient; `{own}` and `{theirs}` are messages of the chat.
    arguments: &'static str,
    /// The expected columns of the peer's `wa.inbox`, those that are set.
    columns: Value,
    /// The expected fields of the message, in the protocol's names.
    message: Value,
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let quoted = json!({ "stanza_id": "{theirs}", "quoted_message": "{hi}" });
    let case = |kind, arguments, columns, message| Case { kind, arguments, columns, message };
    vec![
        case(
            "text",
            "'Hello *there* https://example.org'",
            json!({ "kind": "text", "body": "Hello *there* https://example.org" }),
            json!({ "conversation": "Hello *there* https://example.org" }),
        ),
        case(
            "text",
            "'Of course, @15550009', quote => '{theirs}', mentions => '{+1 555 0009}'",
            json!({ "kind": "text", "body": "Of course, @15550009", "quoted_id": "{theirs}" }),
            json!({ "extended_text_message": {
                "text": "Of course, @15550009",
                "context_info": { "stanza_id": "{theirs}", "quoted_message": "{hi}", "mentioned_jid": ["15550009@s.whatsapp.net"] },
            } }),
        ),
        case(
            "location",
            "52.5163, 13.3777, name => 'Brandenburger Tor', address => 'Pariser Platz', quote => '{theirs}'",
            json!({ "kind": "location", "quoted_id": "{theirs}" }),
            json!({ "location_message": {
                "degrees_latitude": 52.5163, "degrees_longitude": 13.3777, "name": "Brandenburger Tor",
                "address": "Pariser Platz", "context_info": quoted,
            } }),
        ),
        case(
            "contact",
            "'Bob; Builder', phone => '+1 555 0009'",
            json!({ "kind": "contact" }),
            json!({ "contact_message": {
                "display_name": "Bob; Builder",
                "vcard": "BEGIN:VCARD\nVERSION:3.0\nN:;Bob\\; Builder;;;\nFN:Bob\\; Builder\nTEL;type=CELL;type=VOICE;waid=15550009:+15550009\nEND:VCARD",
            } }),
        ),
        case(
            "contact",
            "'Eve', vcard => E'BEGIN:VCARD\\nVERSION:3.0\\nFN:Eve\\nEND:VCARD', quote => '{theirs}'",
            json!({ "kind": "contact", "quoted_id": "{theirs}" }),
            json!({ "contact_message": {
                "display_name": "Eve", "vcard": "BEGIN:VCARD\nVERSION:3.0\nFN:Eve\nEND:VCARD", "context_info": quoted,
            } }),
        ),
        case(
            "poll",
            "'Lunch?', '{Soup,Salad,Nothing}'",
            json!({ "kind": "poll", "body": "Lunch?" }),
            json!({ "poll_creation_message_v3": {
                "name": "Lunch?", "selectable_options_count": 1,
                "options": [{ "option_name": "Soup" }, { "option_name": "Salad" }, { "option_name": "Nothing" }],
            } }),
        ),
        case(
            "poll",
            "'Days?', '{Mon,Tue}', choices => 0, quote => '{theirs}'",
            json!({ "kind": "poll", "body": "Days?", "quoted_id": "{theirs}" }),
            json!({ "poll_creation_message": {
                "context_info": quoted, "name": "Days?", "options": [{ "option_name": "Mon" }, { "option_name": "Tue" }],
            } }),
        ),
        case(
            "reaction",
            "'{theirs}', '👍'",
            json!({ "kind": "reaction", "body": "👍", "target_id": "{theirs}" }),
            json!({ "reaction_message": { "text": "👍", "key": { "id": "{theirs}", "from_me": false } } }),
        ),
        case(
            "reaction",
            "'{theirs}'",
            json!({ "kind": "reaction", "target_id": "{theirs}" }),
            json!({ "reaction_message": { "key": { "id": "{theirs}" } } }),
        ),
        case(
            "edit",
            "'Better words', '{own}'",
            json!({ "kind": "edit", "body": "Better words", "target_id": "{own}" }),
            json!({ "protocol_message": {
                "type": "MESSAGE_EDIT", "key": { "id": "{own}", "from_me": true },
                "edited_message": { "conversation": "Better words" },
            } }),
        ),
        case(
            "edit",
            "'Best words, @15550009', '{own}', mentions => '{15550009}'",
            json!({ "kind": "edit", "body": "Best words, @15550009", "target_id": "{own}" }),
            json!({ "protocol_message": {
                "type": "MESSAGE_EDIT", "key": { "id": "{own}", "from_me": true },
                "edited_message": { "extended_text_message": {
                    "text": "Best words, @15550009", "context_info": { "mentioned_jid": ["15550009@s.whatsapp.net"] },
                } },
            } }),
        ),
        case(
            "forward",
            "'{theirs}', chat => '{chat}'",
            json!({ "kind": "text", "body": "Hi" }),
            json!({ "extended_text_message": { "text": "Hi", "context_info": { "is_forwarded": true } } }),
        ),
        case(
            "forward",
            "'{theirs}'",
            json!({ "kind": "text", "body": "Hi" }),
            json!({ "extended_text_message": { "text": "Hi", "context_info": { "is_forwarded": true } } }),
        ),
        case(
            "revoke",
            "'{own}'",
            json!({ "kind": "revoke", "target_id": "{own}" }),
            json!({ "protocol_message": { "type": "REVOKE", "key": { "id": "{own}", "from_me": true } } }),
        ),
    ]
}

/// Replaces the placeholders by the ids of the chat's messages.
fn with_ids(value: &Value, peer: Peer, own: &str, theirs: &str) -> Result<Value> {
    // Baileys and the others encode a plain text differently.
    let hi = match peer {
        Peer::Baileys => r#"{"extended_text_message":{"text":"Hi"}}"#,
        Peer::Phone | Peer::Session => r#"{"conversation":"Hi"}"#,
    };
    // Baileys turns the key of the reacted-to message to its own side.
    let other = if peer == Peer::Baileys { r#""from_me":true"# } else { r#""from_me":false"# };
    let text = value.to_string().replace(r#""{hi}""#, hi).replace(r#""from_me":false"#, other);
    let text = text.replace("{own}", own).replace("{theirs}", theirs);
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test]
async fn m1_a_status_is_seen_by_its_audience_and_revoked() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let audience = format!("audience => '{{{}}}'", PEERS.map(Peer::number).join(","));
    let status = stage.send("text", "status@broadcast", &format!("'Open until ten', {audience}")).await?;
    let (columns, message) =
        (json!({ "kind": "text", "body": "Open until ten" }), json!({ "conversation": "Open until ten" }));
    for peer in PEERS {
        stage.check_received(peer, &status, &columns, &message).await.with_context(|| format!("{peer:?}"))?;
    }
    stage.world.holds(&format!("SELECT chat = 'status@broadcast' FROM wa.inbox WHERE message_id = '{status}'")).await?;
    stage.send("revoke", "status@broadcast", &format!("'{status}', {audience}")).await?;
    phone_shows(&stage, &status, |it| it["revoked"] == true).await?;
    let nobody =
        stage.world.count("SELECT wa.send_text('shop', 'status@broadcast', 'x', audience => '{15559998}')").await?;
    stage.world.message_is(nobody, "failed").await?;
    let errors = stage.errors(nobody).await?;
    ensure!(errors.contains("none of these people is on WhatsApp"), "{errors}");
    worker.stop().await
}

#[tokio::test]
async fn m1_group_messages_are_quoted_edited_and_revoked() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    for addressing in ["pn", "lid"] {
        let participants = [Peer::Baileys.number(), Peer::Session.number(), SHOP];
        let group = json!({
            "subject": addressing, "creator": Peer::Phone.number(), "participants": participants, "addressing": addressing,
        });
        let made = stage.world.control.post("/groups", group).await?;
        let group = made["jid"].as_str().context("no jid")?.to_owned();
        let asked = stage.world.send("anna", &group, "Hi all").await?;
        let theirs: String =
            stage.world.until(&format!("SELECT message_id FROM wa.outbound WHERE id = {asked}")).await?;
        stage
            .world
            .holds(&format!("SELECT true FROM wa.inbox WHERE session = 'shop' AND message_id = '{theirs}'"))
            .await?;

        let answer = stage
            .send("text", &group, &format!("'Hi @15550004', quote => '{theirs}', mentions => '{{15550004}}'"))
            .await?;
        let columns = json!({ "kind": "text", "body": "Hi @15550004", "quoted_id": theirs });
        for peer in PEERS {
            stage
                .check_received(peer, &answer, &columns, &json!({}))
                .await
                .with_context(|| format!("{addressing} {peer:?}"))?;
        }
        let wrote: String = stage
            .world
            .until(&format!("SELECT sender FROM wa.inbox WHERE session = 'anna' AND message_id = '{answer}'"))
            .await?;
        ensure!(wrote == format!("{SHOP}@s.whatsapp.net"), "{wrote}");
        stage.send("reaction", &group, &format!("'{theirs}', '👍'")).await?;
        phone_shows(&stage, &theirs, |it| {
            it["reactions"].as_object().is_some_and(|them| them.values().any(|one| one == "👍"))
        })
        .await?;
        stage.send("edit", &group, &format!("'Hello', '{answer}'")).await?;
        phone_shows(&stage, &answer, |it| it["edited"] == true && it["text"] == "Hello").await?;
        stage.send("read", &group, &format!("'{{{theirs}}}', sender => '{}'", Peer::Session.number())).await?;
        stage.world.holds(&format!("SELECT read_at IS NOT NULL FROM wa.outbound WHERE id = {asked}")).await?;
        stage.send("revoke", &group, &format!("'{answer}'")).await?;
        phone_shows(&stage, &answer, |it| it["revoked"] == true).await?;
        // An admin revokes the messages of others.
        let promote = json!({ "by": Peer::Phone.number(), "promote": [SHOP] });
        stage.world.control.post(&format!("/groups/{group}/participants"), promote).await?;
        stage.send("revoke", &group, &format!("'{theirs}'")).await?;
        phone_shows(&stage, &theirs, |it| it["revoked"] == true).await?;
        // A reaction to an unknown message fails.
        let unknown = stage.world.count(&format!("SELECT wa.send_reaction('shop', '{group}', 'NOBODY', '👍')")).await?;
        stage.world.message_is(unknown, "failed").await?;
        let errors = stage.errors(unknown).await?;
        ensure!(errors.contains("there is no message NOBODY"), "{errors}");
    }
    worker.stop().await
}

#[tokio::test]
async fn m1_every_kind_reaches_every_client_unchanged() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let mut matrix: BTreeMap<String, BTreeSet<Peer>> = BTreeMap::new();
    let mut seen = |kind: &str, peer| matrix.entry(kind.to_owned()).or_default().insert(peer);
    for peer in PEERS {
        let to = peer.number();
        let theirs = stage.peer_says_hi(peer).await?;
        let own = stage.send("text", to, "'Our words'").await?;
        for Case { kind, arguments, columns, message } in cases() {
            let arguments = arguments.replace("{own}", &own).replace("{theirs}", &theirs).replace("{chat}", to);
            let message_id = stage.send(kind, to, &arguments).await?;
            let (columns, message) =
                (with_ids(&columns, peer, &own, &theirs)?, with_ids(&message, peer, &own, &theirs)?);
            let received = stage.check_received(peer, &message_id, &columns, &message).await;
            received.with_context(|| format!("{kind} {arguments} to {peer:?}"))?;
            seen(kind, peer);
        }
        stage.send("read", to, &format!("'{{{theirs}}}'")).await?;
        peer_sees_read(&mut stage, peer, &theirs).await?;
        seen("read", peer);
    }
    for (state, shown) in [("typing", "composing"), ("recording", "recording"), ("paused", "paused")] {
        stage.send("chat_state", Peer::Phone.number(), &format!("'{state}'")).await?;
        let path = format!("/phones/{}/presence", Peer::Phone.number());
        let is_shown = |it: &Value| {
            let chats = it["presence"].as_array()?;
            chats.iter().find(|p| p["chat"] == format!("{SHOP}@s.whatsapp.net") && p["typing"] == shown).map(|_| ())
        };
        stage.world.control.until(&path, is_shown).await?;
        seen("chat_state", Peer::Phone);
        stage.send("chat_state", Peer::Baileys.number(), &format!("'{state}'")).await?;
        // Baileys calls the end of typing "available".
        let shown = if state == "paused" { "available" } else { shown };
        let presence = |line: &Value| {
            let presences = line["data"]["presences"].as_object().filter(|_| line["name"] == "presence.update")?;
            presences.values().find(|p| p["lastKnownPresence"] == shown).map(|_| ())
        };
        stage.baileys()?.wait(presence).await?;
        seen("chat_state", Peer::Baileys);
    }
    let audience = Peer::Phone.number();
    let status = stage.send("text", "status@broadcast", &format!("'For a day', audience => '{{{audience}}}'")).await?;
    stage.send("revoke", "status@broadcast", &format!("'{status}', audience => '{{{audience}}}'")).await?;
    stage.send("read", Peer::Phone.number(), &format!("'{{{status}}}', sender => '{audience}'")).await?;
    // Every documented field was sent.
    let never = "SELECT string_agg(d.kind || '.' || d.field, ', ') AS never FROM wa.message_fields() d
                 WHERE d.kind NOT IN (SELECT m.kind FROM wa.media_kinds() m)
                   AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.kind = d.kind AND o.content ? d.field AND o.sent_at IS NOT NULL)";
    let never: Option<String> = sqlx::query_scalar(never).fetch_one(stage.world.pool()).await?;
    ensure!(never.is_none(), "never sent: {never:?}");
    let kinds = "SELECT string_agg(format('| `%s` | %s | %s | %s |', k.kind, k.body, concat_ws(' ', CASE WHEN k.kind IN (SELECT m.kind FROM wa.media_kinds() m) THEN 'A [file](#files).' END, f.fields), k.about), E'\n' ORDER BY k.place)
                 FROM wa.message_kinds() WITH ORDINALITY k (kind, body, about, place)
                 LEFT JOIN (SELECT d.kind, string_agg(format('`%s`%s: %s', d.field, CASE WHEN d.required THEN ' (required)' ELSE '' END, d.about), ' ' ORDER BY d.place) AS fields
                            FROM wa.message_fields() WITH ORDINALITY d (kind, field, type, required, low, high, about, place)
                            WHERE d.kind NOT IN (SELECT m.kind FROM wa.media_kinds() m) OR d.field NOT IN ('url', 'data', 'media', 'large_object', 'file')
                            GROUP BY d.kind) f USING (kind)";
    let kinds: String = sqlx::query_scalar(kinds).fetch_one(stage.world.pool()).await?;
    docs::table(
        "docs/messages.md",
        "kinds",
        &format!("| kind | body | content | what it is |\n| --- | --- | --- | --- |\n{kinds}\n"),
    )?;
    let files = "SELECT string_agg(format('| `%s` | %s |', d.field, d.about), E'\n' ORDER BY d.place)
                 FROM wa.message_fields() WITH ORDINALITY d (kind, field, type, required, low, high, about, place)
                 WHERE d.kind = 'image' AND d.field IN ('url', 'data', 'media', 'large_object', 'file')";
    let files: String = sqlx::query_scalar(files).fetch_one(stage.world.pool()).await?;
    docs::table("docs/messages.md", "files", &format!("| in content | what it is |\n| --- | --- |\n{files}\n"))?;
    docs::table("docs/messages.md", "kinds out", &matrix_table(&matrix, &PEERS))?;
    worker.stop().await
}

/// Waits until the peer sees that we read its message.
async fn peer_sees_read(stage: &mut Stage, peer: Peer, theirs: &str) -> Result<()> {
    match peer {
        Peer::Baileys => stage.baileys()?.wait_status(theirs, 4).await,
        Peer::Phone => {
            let path = format!("/phones/{}/messages", peer.number());
            let read = |it: &Value| {
                let messages = it["messages"].as_array()?;
                messages.iter().find(|m| m["id"] == theirs && m["ticks"] == "read").map(|_| ())
            };
            stage.world.control.until(&path, read).await
        }
        Peer::Session => {
            let read = format!(
                "SELECT read_at IS NOT NULL FROM wa.outbound WHERE session = 'anna' AND message_id = '{theirs}'"
            );
            stage.world.holds(&read).await
        }
    }
}
