//! Profile pictures and about texts: queries and changes of devices.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{JidExt as _, Node};

use super::super::media::StorageFull;
use super::super::node::{bytes, child_bytes, jid, text};
use super::super::profile::{self, Picture, PictureRefusal};
use super::Context;
use super::iq::Answer;

const NOT_AUTHORIZED: Answer = Answer::Refused(401, "not-authorized");

/// Returns a picture, or changes the device's own or a group's.
pub(super) fn picture(context: &mut Context<'_>, query: &Node) -> Answer {
    if text(query, "type") == "set" { set(context, query) } else { get(context, query) }
}

/// The address of an account's or a group's picture. Each has one size only.
fn get(context: &Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_AUTHORIZED };
    let state = context.server.state();
    let account = match jid(query, "target") {
        Some(target) if target.is_group() => {
            let group = state.groups.get(target.user.as_str()).filter(|group| group.role(&own.number).is_ok());
            return shown(context, query, group.and_then(|group| group.picture.clone()));
        }
        Some(target) => state.account_of(&target),
        None => state.accounts.get(&own.number),
    };
    shown(context, query, account.and_then(|account| account.profile.picture.clone()))
}

fn shown(context: &Context<'_>, query: &Node, picture: Option<Picture>) -> Answer {
    let Some(picture) = picture else {
        return Answer::Refused(404, "item-not-found");
    };
    let asked = query.get_optional_child("picture");
    let kind = asked.map(|asked| text(asked, "type")).filter(|kind| !kind.is_empty());
    let node = NodeBuilder::new("picture").attr("id", picture.id.as_str());
    // A client that already has this picture needs no address.
    if asked.is_some_and(|asked| text(asked, "id") == picture.id) {
        return Answer::Result(vec![node.build()]);
    }
    let node = node
        .attr("type", kind.unwrap_or_else(|| "image".to_owned()))
        .attr("url", context.server.media.url(&picture.direct_path))
        .attr("direct_path", picture.direct_path);
    Answer::Result(vec![node.build()])
}

/// Sets the picture of the own account or of a group; without a picture, deletes it.
fn set(context: &Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_AUTHORIZED };
    let picture = query.get_optional_child("picture").and_then(bytes).filter(|bytes| !bytes.is_empty());
    let target = jid(query, "target");
    if let Some(group) = target.as_ref().filter(|target| target.is_group()) {
        let set = profile::set_group_picture(context.server, &group.user, own, picture.map(Into::into));
        return match set {
            Ok(Some(id)) => Answer::Result(vec![NodeBuilder::new("picture").attr("id", id).build()]),
            Ok(None) => Answer::Result(vec![]),
            Err(PictureRefusal::Refused(refusal)) => {
                let (code, text) = refusal.wire();
                Answer::Refused(code, text)
            }
            Err(PictureRefusal::Full(_)) => Answer::Refused(507, "insufficient-storage"),
        };
    }
    if let Some(target) = target
        && context.server.state().number_of(&target).as_ref() != Some(&own.number)
    {
        context.server.stats.unknown(format!("picture of {}", target.server.as_str()));
        return Answer::Refused(403, "forbidden");
    }
    match profile::set_picture(context.server, &own.number, Some(own), picture.map(Into::into)) {
        Ok(Some(id)) => Answer::Result(vec![NodeBuilder::new("picture").attr("id", id).build()]),
        Ok(None) => Answer::Result(vec![]),
        Err(StorageFull { .. }) => Answer::Refused(507, "insufficient-storage"),
    }
}

/// Sets the about text of the own account.
pub(super) fn about(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return NOT_AUTHORIZED };
    let about = String::from_utf8_lossy(&child_bytes(query, "status")).into_owned();
    profile::set_about(context.server, &own.number, Some(own), &about);
    Answer::Result(vec![])
}
