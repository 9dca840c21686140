//! Events beside messages and receipts (M8): calls, changes of groups, presence and the like.
//! `sql/schema/13_events.sql` lists the kinds.

use crate::messages::address::phone_form;
use crate::messages::events::undecryptable;
use serde_json::{Map, Value, json};
use wacore::stanza::groups::GroupNotificationAction as Group;
use wacore::types::call::CallAction;
use wacore::types::events::{DecryptFailMode, Event, GroupUpdate, UnavailableType, UndecryptableMessage};
use wacore::types::presence::{ChatPresence, ChatPresenceMedia};
use wacore_binary::Jid;
use whatsapp_rust::client::Client;

/// Kind and data of the row for `wa.event`; `None` for an event that gets no row.
pub(super) async fn event_of(client: &Client, event: &Event) -> Option<(&'static str, Value)> {
    let form = async |jid: &Jid| phone_form(client, jid, None).await.to_string();
    Some(match event {
        Event::IncomingCall(call) => {
            let mut data = call_data(&call.action)?;
            data["from"] = form(&call.from).await.into();
            ("call", data)
        }
        Event::MissedCall(call) => {
            let from = form(&call.from).await;
            ("call", json!({ "call_id": call.call_id, "from": from, "action": "missed" }))
        }
        Event::GroupUpdate(update) => ("group_changed", group_data(client, update).await?),
        Event::PictureUpdate(update) => {
            let (contact, by) = (form(&update.jid).await, update.author.as_ref());
            let by = match by {
                Some(by) => Some(form(by).await),
                None => None,
            };
            let (id, removed) = (&update.picture_id, update.removed);
            ("picture_changed", json!({ "contact": contact, "by": by, "picture_id": id, "removed": removed }))
        }
        Event::Presence(update) => {
            let (contact, last_seen) = (form(&update.from).await, update.last_seen);
            ("presence", json!({ "contact": contact, "available": !update.unavailable, "last_seen": last_seen }))
        }
        Event::ChatPresence(update) => {
            let (chat, sender) = (form(&update.source.chat).await, form(&update.source.sender).await);
            let state = match (&update.state, &update.media) {
                (ChatPresence::Composing, ChatPresenceMedia::Audio) => "recording",
                (ChatPresence::Composing, _) => "typing",
                (ChatPresence::Paused, _) => "paused",
            };
            ("chat_state", json!({ "chat": chat, "sender": sender, "state": state }))
        }
        Event::ContactNumberChanged(change) => {
            let (from, to) = (change.old_jid.to_string(), change.new_jid.to_string());
            ("contact_number_changed", json!({ "from": from, "to": to }))
        }
        Event::UndecryptableMessage(lost) => {
            let hidden = lost.decrypt_fail_mode == DecryptFailMode::Hide;
            return undecryptable(client, &lost.info, reason(lost), hidden).await;
        }
        Event::IdentityChange(change) => ("security_code_changed", json!({ "contact": form(&change.user).await })),
        _ => return None,
    })
}

/// Why a message could not be read.
fn reason(lost: &UndecryptableMessage) -> &'static str {
    match lost.unavailable_type {
        _ if !lost.is_unavailable => "not_decrypted",
        UnavailableType::ViewOnce => "view_once",
        UnavailableType::Hosted => "hosted",
        UnavailableType::Bot => "bot",
        UnavailableType::Unknown => "unavailable",
    }
}

/// The data of a call's stanza, without the caller.
fn call_data(action: &CallAction) -> Option<Value> {
    let offered = |id: &str, video: bool, group: Option<String>| json!({ "call_id": id, "action": "offered", "video": video, "group": group });
    let ended =
        |id: &str, action: &str, reason: Option<&str>| json!({ "call_id": id, "action": action, "reason": reason });
    Some(match action {
        CallAction::Offer { call_id, is_video, group_jid, .. } => {
            offered(call_id, *is_video, group_jid.as_ref().map(ToString::to_string))
        }
        CallAction::OfferNotice { call_id, is_video, .. } => offered(call_id, *is_video, None),
        CallAction::Accept { call_id, .. } => ended(call_id, "accepted", None),
        CallAction::Reject { call_id, reason, .. } => ended(call_id, "rejected", reason.as_deref()),
        CallAction::Terminate { call_id, reason, .. } => ended(call_id, "terminated", reason.as_deref()),
        // Signalling between the two sides.
        _ => return None,
    })
}

async fn group_data(client: &Client, update: &GroupUpdate) -> Option<Value> {
    let mut data = Map::new();
    data.insert("group".into(), update.group_jid.to_string().into());
    data.insert("action".into(), update.action.tag_name().into());
    if let Some(by) = &update.participant {
        let by = phone_form(client, by, update.participant_pn.as_ref()).await;
        data.insert("by".into(), by.to_string().into());
    }
    let people = match &update.action {
        Group::Add { participants, .. }
        | Group::Remove { participants, .. }
        | Group::Promote { participants }
        | Group::Demote { participants }
        | Group::Modify { participants } => participants.as_slice(),
        Group::CreatedMembershipRequests { requests, .. } => requests.as_slice(),
        _ => &[],
    };
    if !people.is_empty() {
        let mut named = vec![];
        for person in people {
            named.push(Value::from(phone_form(client, &person.jid, person.phone_number.as_ref()).await.to_string()));
        }
        data.insert("participants".into(), named.into());
    }
    let more = match &update.action {
        Group::Subject { subject, .. } => Some(("subject", subject.as_str().into())),
        Group::Description { description, .. } => Some(("description", description.as_deref().into())),
        Group::Ephemeral { expiration, .. } => Some(("seconds", (*expiration).into())),
        Group::MembershipApprovalMode { enabled } => Some(("enabled", (*enabled).into())),
        Group::MemberAddMode { mode } => Some(("mode", mode.as_str().into())),
        _ => None,
    };
    if let Some((name, value)) = more {
        data.insert(name.into(), value);
    }
    Some(data.into())
}
