//! Scenario files.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wacore_binary::builder::NodeBuilder;

use super::super::control::router;
use super::super::faults::{self, FaultRule, Inward, Scenario};
use super::super::stanza::Context;
use super::client::Client;
use super::request::Request;
use super::world::{ALICE, BOB, check, device, run};

/// How long to wait for a stanza that a rule may hold.
const MOMENT: Duration = Duration::from_millis(2);

/// Plays a scenario, in JSON or TOML, while two devices are connected.
pub fn scenario(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let scenario = match Scenario::read(&text) {
        Ok(scenario) => scenario,
        Err(error) => {
            assert!(error.to_string().len() > "the scenario: ".len(), "an error gives a reason");
            return;
        }
    };
    run(async |server| {
        let clients = [Client::login(&server, &device(ALICE, 1)), Client::login(&server, &device(BOB, 1))];
        scenario.play(&server).expect("a scenario that was read can be played");
        for mut client in clients {
            faults::at_login(&server.faults, client.device.as_ref());
            let mut inward = Inward::default();
            let message = NodeBuilder::new("message").attr("id", "A").attr("to", format!("{BOB}@s.whatsapp.net"));
            let ping = NodeBuilder::new("iq").attr("id", "B").attr("type", "get").attr("xmlns", "w:p");
            for stanza in [message.attr("type", "text").build(), ping.build()] {
                let mut context = Context { server: &server, link: &client.link, device: client.device.as_ref() };
                // Some rules hold or delay a stanza for good.
                let _ = tokio::time::timeout(MOMENT, inward.pass(&mut context, stanza)).await;
            }
            client.received();
        }
        reads_again(&Request::get("/faults").ask(&router(Arc::clone(&server))).await.body);
        server.faults.clear();
        check(&server).await;
    });
}

/// Each listed rule can be added again, and stays the same.
fn reads_again(listed: &[u8]) {
    let mut listed: Value = serde_json::from_slice(listed).expect("JSON");
    for rule in listed["faults"].as_array_mut().into_iter().flatten() {
        for added in ["id", "state", "matched", "struck"] {
            rule.as_object_mut().and_then(|rule| rule.remove(added));
        }
        let again = FaultRule::read(rule.clone()).expect("a listed rule can be added again");
        assert_eq!(serde_json::to_value(again).expect("JSON"), *rule);
    }
}
