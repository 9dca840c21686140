//! State files.

use std::sync::Arc;

use serde_json::{Value, json};
use wacore_binary::Jid;
use wacore_binary::builder::NodeBuilder;

use super::super::control::router;
use super::super::node::leaf;
use super::super::server::Server;
use super::client::Client;
use super::request::Request;
use super::world::{check, close, fixture, restore, run};

/// Opens a state file, or a list of changes to a good one: pointers (RFC 6901) with the values to put there, in which
/// `{…}` is filled in. A sandbox must be able to work with each file that it accepts.
pub fn saved(data: &[u8]) {
    let changes = serde_json::from_slice::<Vec<(String, Value)>>(data);
    run(async |_| {
        let state = match changes {
            Ok(changes) => changed(changes),
            Err(_) => data.to_vec(),
        };
        match restore(&state) {
            Ok(server) => {
                use_sandbox(&server).await;
                check(&server).await;
                close(&server).await;
            }
            Err(why) => assert!(!why.is_empty(), "an error gives a reason"),
        }
    });
}

fn changed(changes: Vec<(String, Value)>) -> Vec<u8> {
    let mut state: Value = serde_json::from_slice(&fixture().state).expect("JSON");
    for (pointer, value) in changes {
        if let Some(place) = state.pointer_mut(&pointer) {
            *place = value;
        }
    }
    state.to_string().into_bytes()
}

/// Typical actions of owners and devices.
async fn use_sandbox(server: &Arc<Server>) {
    let (numbers, devices) = {
        let state = server.state();
        let numbers: Vec<String> = state.accounts.keys().cloned().collect();
        let devices: Vec<_> = numbers.iter().flat_map(|number| state.devices(number).skip(1)).collect();
        (numbers, devices)
    };
    for device in devices.iter().filter(|device| device.number.parse::<u64>().is_ok()) {
        let key = server.state().device(device).map(|device| device.noise_key).unwrap_or_default();
        let payload = waproto::whatsapp::ClientPayload {
            username: device.number.parse().ok(),
            device: Some(u32::from(device.device)),
            ..Default::default()
        };
        let mut client = Client::new(server, key, payload);
        let active = NodeBuilder::new("iq").attr("type", "set").attr("xmlns", "passive").attr("id", "1");
        client.send(server, active.children([NodeBuilder::new("active").build()]).build());
        let keys = NodeBuilder::new("iq").attr("type", "get").attr("xmlns", "encrypt").attr("id", "2");
        let users = numbers.iter().map(|number| NodeBuilder::new("user").attr("jid", Jid::pn(number.as_str())).build());
        client.send(server, keys.children([NodeBuilder::new("key").children(users).build()]).build());
        for (number, id) in numbers.iter().zip(3_u32..) {
            let to = NodeBuilder::new("to").attr("jid", Jid::pn(number.as_str())).children([leaf("enc", [1])]).build();
            let message = NodeBuilder::new("message").attr("to", Jid::pn(number.as_str())).attr("id", id);
            let list = NodeBuilder::new("participants").children([to]).build();
            client.send(server, message.attr("type", "text").children([list]).build());
        }
        client.received();
    }
    let router = router(Arc::clone(server));
    let post = async |path: String, body: Value| Request::post(&path, &body).ask(&router).await;
    for from in numbers.iter().filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        for to in &numbers {
            post(format!("/phones/{from}/send"), json!({ "to": to, "text": "still here" })).await;
        }
        post(format!("/phones/{from}/app-state"), json!({ "push_name": { "name": "Somebody" } })).await;
        post(format!("/phones/{from}/app-state/rotate-key"), json!({})).await;
    }
}
