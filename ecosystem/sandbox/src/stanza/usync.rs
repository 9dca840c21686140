//! User queries: devices, LIDs, and whether a number is on WhatsApp.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::{Account, Addressing};
use super::super::node::{bytes, children, jid, text, unix_now};
use super::Context;
use super::iq::Answer;

/// Answers every requested protocol for every named user.
pub(super) fn query(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(usync) = query.get_optional_child("usync") else { return Answer::Refused(400, "bad-request") };
    let part = |name: &str| usync.get_optional_child(name).map(children).unwrap_or_default();
    let protocols: Vec<&str> = part("query").iter().map(|protocol| protocol.tag.as_ref()).collect();
    let mut state = context.server.state();
    let mut users = vec![];
    for user in part("list") {
        let Some(asked) = jid(user, "jid").or_else(|| contact(user)) else { continue };
        let number = state.number_of(&asked);
        match number.and_then(|number| state.accounts.get_mut(&number)) {
            Some(account) => {
                if let (Some(device), true) = (context.device, protocols.contains(&"devices")) {
                    account.watchers.insert(device.clone());
                }
                let facts = protocols.iter().filter_map(|protocol| protocol_result(account, protocol));
                users.push(NodeBuilder::new("user").attr("jid", asked.to_non_ad()).children(facts).build());
            }
            // A number without an account gets an entry only in a contact check.
            None if protocols.contains(&"contact") => {
                let out = NodeBuilder::new("contact").attr("type", "out").build();
                users.push(NodeBuilder::new("user").attr("jid", asked.to_non_ad()).children([out]).build());
            }
            None => {}
        }
    }
    drop(state);
    let known = protocols.iter().map(|protocol| NodeBuilder::new_dynamic((*protocol).to_owned()).build());
    Answer::Result(vec![
        NodeBuilder::new("usync")
            .attr("sid", text(usync, "sid"))
            .attr("mode", "query")
            .attr("context", "message")
            .attr("index", "0")
            .attr("last", "true")
            .children([
                NodeBuilder::new("result").children(known).build(),
                NodeBuilder::new("list").children(users).build(),
            ])
            .build(),
    ])
}

/// A user given as a typed phone number, not as an address.
fn contact(user: &Node) -> Option<Jid> {
    let typed = String::from_utf8(bytes(user.get_optional_child("contact")?)?).ok()?;
    let digits = typed.trim_start_matches('+');
    (!digits.is_empty()).then(|| Jid::pn(digits))
}

fn protocol_result(account: &Account, protocol: &str) -> Option<Node> {
    match protocol {
        "devices" => {
            let mut devices = vec![NodeBuilder::new("device").attr("id", 0_u16).build()];
            devices.extend(
                account
                    .devices
                    .keys()
                    .map(|id| NodeBuilder::new("device").attr("id", *id).attr("key-index", *id).build()),
            );
            let list = NodeBuilder::new("device-list").children(devices).build();
            let signed = account.key_index_list().ok()?;
            Some(NodeBuilder::new("devices").attr("ts", unix_now()).children([list, signed]).build())
        }
        "lid" => Some(NodeBuilder::new("lid").attr("val", account.jid(Addressing::Lid, 0)).build()),
        "picture" => {
            Some(NodeBuilder::new("picture").attr("id", account.profile.picture.as_ref()?.id.as_str()).build())
        }
        "status" => {
            let profile = &account.profile;
            let node = NodeBuilder::new("status").attr("t", profile.about_at);
            Some(node.bytes(profile.about.as_bytes().to_vec()).build())
        }
        "contact" => Some(NodeBuilder::new("contact").attr("type", "in").build()),
        "disappearing_mode" => {
            let (duration, since) = account.settings.disappearing;
            Some(NodeBuilder::new("disappearing_mode").attr("duration", duration).attr("t", since).build())
        }
        // No account here is a business, and the real server then leaves the entry out.
        _ => None,
    }
}
