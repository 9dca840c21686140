//! X2: rules and scenarios.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wagres_sandbox::{Options, Sandbox, Scenario};

use super::{ALICE, BOB, counts, delete, set};
use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

#[tokio::test]
async fn x2_a_bad_rule_is_refused_with_the_accepted_values() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let lose = json!({ "lose": {} });
    let cases = [
        (json!({}), "fault"),
        (json!({ "fault": { "loose": {} } }), "lose"),
        (json!({ "fault": { "delay": {} } }), "ms"),
        (json!({ "fault": { "delay": { "ms": -1 } } }), "-1"),
        (json!({ "fault": { "lose": { "ms": 1 } } }), "ms"),
        (json!({ "fault": lose, "stansa": "ack" }), "stansa"),
        (json!({ "fault": lose, "stanza": " " }), "stanza"),
        (json!({ "fault": lose, "direction": "up" }), "`in` or `out`"),
        (json!({ "fault": lose, "number": "abc" }), "number"),
        (json!({ "fault": lose, "device": 70_000 }), "70000"),
        (json!({ "fault": lose, "probability": 1.5 }), "0 to 1"),
        (json!({ "fault": lose, "times": 0 }), "always"),
        (json!({ "fault": lose, "times": "never" }), "always"),
        (json!({ "fault": { "refuse": {} }, "number": ALICE }), "number"),
        (json!({ "fault": { "ban": { "code": 101 } } }), "seconds"),
        (json!({ "fault": { "ban": { "code": 101, "seconds": 1 } }, "stanza": "message" }), "stanza"),
        (json!({ "fault": { "drop": {} }, "direction": "in" }), "direction"),
        (json!({ "fault": { "stream_error": { "code": 200 } } }), "400 to 599"),
        (json!({ "fault": { "login_failure": { "reason": 600 } } }), "400 to 599"),
        (json!({ "fault": { "nack": { "code": 479 } }, "direction": "out" }), "in"),
        (json!({ "fault": { "nack": { "code": 479 } }, "stanza": "receipt" }), "message"),
        (json!({ "fault": { "corrupt": {} }, "stanza": "receipt" }), "message"),
        (json!({ "fault": { "duplicate": { "copies": 0 } } }), "copies"),
        (json!({ "fault": { "fail_media": { "status": 200 } } }), "400 to 599"),
        (json!({ "fault": { "cut_media": { "bytes": -1 } } }), "-1"),
        (json!({ "fault": { "slow_media": { "ms": 1 } }, "number": ALICE }), "direction \"in\""),
        (json!({ "fault": { "slow_media": { "ms": 1 } }, "device": 1, "direction": "out" }), "direction \"in\""),
        (json!({ "fault": { "slow_media": { "ms": 1 } }, "stanza": "message" }), "stanza"),
        (json!({ "fault": { "corrupt_app_state": { "what": "mac" } } }), "`patch_mac`"),
        (json!({ "fault": { "corrupt_app_state": { "what": "patch_mac" } }, "direction": "out" }), "direction"),
    ];
    for (rule, says) in cases {
        let (status, answer) = control.request("POST", "/faults", Some(rule.clone())).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(says), "{rule}: {status} {answer}");
    }
    assert_eq!(control.get("/faults").await?["faults"], json!([]));
    for (path, status) in [("/faults/7", 404), ("/faults/x", 400)] {
        assert_eq!(control.request("DELETE", path, None).await?.0, status, "{path}");
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_rules_are_listed_and_deleted() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let first = set(&control, json!({ "fault": { "lose": {} }, "number": "+15550001", "times": null })).await?;
    let second = set(&control, json!({ "fault": { "refuse": {} }, "at_ms": 60_000 })).await?;
    let listed = control.get("/faults").await?;
    let expected = json!({
        "id": first, "fault": { "lose": {} }, "number": ALICE, "skip": 0, "times": "always", "probability": 1.0,
        "at_ms": 0, "state": "active", "matched": 0, "struck": 0,
    });
    assert_eq!(listed["faults"][0], expected);
    assert_eq!(listed["faults"][1]["state"], "waiting");
    assert_eq!(delete(&control, &format!("/faults/{second}")).await?, json!({ "deleted": 1 }));
    assert_eq!(delete(&control, "/faults").await?, json!({ "deleted": 1 }));
    assert_eq!(control.get("/faults").await?["faults"], json!([]));
    sandbox.shutdown().await;
    Ok(())
}

/// Which of 40 messages were acknowledged under a random rule.
async fn acked(seed: u64) -> Result<(Vec<bool>, u64)> {
    let sandbox = Sandbox::start(Options { seed, ..Options::default() }).await?;
    let control = Control::new(&sandbox.control_url());
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let rule = json!({ "fault": { "nack": { "code": 500 } }, "times": "always", "probability": 0.5 });
    let rule = set(&control, rule).await?;
    let mut decided = vec![];
    for index in 0..40 {
        let id = alice.send(BOB, &format!("message {index}")).await?;
        let ack = alice.wait("the ack", |event| match event {
            wacore::types::events::Event::ServerAck(ack) if ack.id == id => Some(ack.error.is_none()),
            _ => None,
        });
        decided.push(ack.await?);
    }
    let (matched, struck) = counts(&control, rule).await?;
    assert_eq!(matched, 40);
    sandbox.shutdown().await;
    Ok((decided, struck))
}

#[tokio::test]
async fn x2_the_same_seed_decides_the_same() -> Result<()> {
    let (first, again, other) = futures::try_join!(acked(7), acked(7), acked(8))?;
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert_eq!(first.0.iter().filter(|acked| !**acked).count() as u64, first.1);
    assert!((10..=30).contains(&first.1), "half of 40 is not {}", first.1);
    Ok(())
}

#[tokio::test]
async fn x2_a_scenario_reads_the_same_as_json_and_toml() -> Result<()> {
    let toml = r#"
        seed = 3
        phones = ["15550001", "+15550002"]
        [[faults]]
        fault.ban = { code = 101, seconds = 60 }
        number = "15550001"
        times = "always"
        at_ms = 60000
        [[faults]]
        fault.delay.ms = 5
        stanza = "ack message"
        probability = 0.25
    "#;
    let json = json!({ "seed": 3, "phones": [ALICE, BOB], "faults": [
        { "fault": { "ban": { "code": 101, "seconds": 60 } }, "number": ALICE, "times": null, "at_ms": 60_000 },
        { "fault": { "delay": { "ms": 5 } }, "stanza": "ack message", "probability": 0.25 },
    ] });
    let mut reports = vec![];
    for text in [toml.to_owned(), json.to_string()] {
        let (sandbox, control) = sandbox().await?;
        sandbox.play(Scenario::read(&text)?)?;
        assert_eq!(control.get("/phones").await?["phones"].as_array().map(Vec::len), Some(2));
        reports.push(control.get("/faults").await?);
        sandbox.shutdown().await;
    }
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0]["seed"], 3);
    Ok(())
}

#[tokio::test]
async fn x2_a_scenario_replaces_the_rules_and_a_bad_one_is_refused() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    set(&control, json!({ "fault": { "refuse": {} } })).await?;
    for (scenario, says) in [
        (json!({ "sed": 1 }), "sed"),
        (json!({ "phones": ["15550001", "x"] }), "phones[1]"),
        (json!({ "faults": [{ "fault": { "lose": {} } }, { "fault": { "loose": {} } }] }), "faults[1]"),
    ] {
        let (status, answer) = control.request("POST", "/scenario", Some(scenario.clone())).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(says), "{scenario}: {status} {answer}");
    }
    assert_eq!(
        control.get("/faults").await?["faults"].as_array().map(Vec::len),
        Some(1),
        "a bad scenario changed nothing"
    );
    let scenario = json!({ "phones": [ALICE], "faults": [{ "fault": { "lose": {} }, "stanza": "ack" }] });
    let played = control.post("/scenario", scenario).await?;
    assert_eq!((&played["seed"], &played["phones"]), (&json!(1), &json!([ALICE])));
    let listed = control.get("/faults").await?;
    let ids: Vec<&Value> = listed["faults"].as_array().context("faults")?.iter().map(|rule| &rule["id"]).collect();
    assert_eq!(json!(ids), played["faults"]);
    let error = Scenario::read("seed: 1").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("TOML"), "{error}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_timed_rule_strikes_at_its_time_and_an_expired_one_never() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let stream_error = json!({ "stream_error": { "code": 440 } });
    let early = set(&control, json!({ "fault": { "logout": {} }, "stanza": "message", "for_ms": 0 })).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let id = alice.send(BOB, "goes through").await?;
    alice.receipt(&id, wacore::types::presence::ReceiptType::Delivered).await?;
    let start = std::time::Instant::now();
    let timed = set(&control, json!({ "fault": stream_error, "at_ms": 150 })).await?;
    alice
        .wait("StreamReplaced", |event| matches!(event, wacore::types::events::Event::StreamReplaced(_)).then_some(()))
        .await?;
    assert!(start.elapsed().as_millis() >= 150, "{:?}", start.elapsed());
    assert_eq!(counts(&control, timed).await?, (1, 1));
    let listed = control.get("/faults").await?;
    assert_eq!((&listed["faults"][0]["id"], &listed["faults"][0]["state"]), (&json!(early), &json!("expired")));
    assert_eq!(listed["faults"][1]["state"], "spent");
    sandbox.shutdown().await;
    Ok(())
}
