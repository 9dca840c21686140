//! Queries about groups (`w:g2`): read here, carried out or refused by `group`.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::Addressing;
use super::super::group::{GroupRefusal, Membership, Setting};
use super::super::node::{bytes, children, jid, signature, text};
use super::super::state::State;
use super::iq::Answer;
use super::{Context, id};

/// The answer's children.
type Outcome = Result<Vec<Node>, GroupRefusal>;

pub(super) fn answer(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return Answer::Refused(401, "not-authorized") };
    let (Some(asked), Some(to)) = (children(query).first(), jid(query, "to")) else {
        return Answer::Refused(400, "bad-request");
    };
    let by = own.number.as_str();
    let group = to.user.as_str();
    let (server, tag) = (context.server, asked.tag.as_ref());
    let mut state = server.state();
    // Some queries go to a group, others to the group server itself.
    let outcome = match (text(query, "type").as_str(), tag, group.is_empty()) {
        ("set", "create", true) => match create(context, &mut state, by, query, asked) {
            Some(outcome) => outcome,
            None => return unknown(context, query),
        },
        ("get", "participating", true) => Ok(participating(&state, by)),
        ("set", "leave", true) => leave(context, &mut state, by, asked),
        ("get", "invite", true) => state.invited_to(&text(asked, "code")).map(|group| vec![group.node(&state)]),
        ("set", "invite", true) => state
            .join_group(server, &text(asked, "code"), by)
            .map(|group| vec![NodeBuilder::new("group").attr("jid", Jid::group(group)).build()]),
        ("get", "query", false) => metadata(&state, by, &to, asked),
        (kind @ ("get" | "set"), "invite", false) => state
            .invitation(server, group, by, kind == "set")
            .map(|code| vec![NodeBuilder::new("invite").attr("code", code).build()]),
        ("set", "add", false) => members(context, &mut state, by, group, asked, Membership::Add),
        ("set", "remove", false) => members(context, &mut state, by, group, asked, Membership::Remove),
        ("set", "promote", false) => members(context, &mut state, by, group, asked, Membership::Promote),
        ("set", "demote", false) => members(context, &mut state, by, group, asked, Membership::Demote),
        ("set", _, false) => match setting(query, asked) {
            Some(setting) => unchanged(&state, &to, asked)
                .and_then(|()| state.change_group(server, group, by, &setting))
                .map(|()| vec![]),
            None => return unknown(context, query),
        },
        _ => return unknown(context, query),
    };
    match outcome {
        Ok(children) => Answer::Result(children),
        Err(refusal) => {
            let (code, text) = refusal.wire();
            Answer::Refused(code, text)
        }
    }
}

fn unknown(context: &Context<'_>, query: &Node) -> Answer {
    context.server.stats.unknown(signature(query));
    Answer::Refused(501, "feature-not-implemented")
}

/// Creates a group. Unsupported options are refused: communities, joining by approval.
fn create(context: &Context<'_>, state: &mut State, by: &str, query: &Node, asked: &Node) -> Option<Outcome> {
    let mut settings = vec![];
    for part in children(asked) {
        match part.tag.as_ref() {
            "participant" | "member_link_mode" => {}
            "membership_approval_mode" => {
                let join = part.get_optional_child("group_join")?;
                if text(join, "state") == "on" {
                    return None;
                }
            }
            _ => settings.push(setting(query, part)?),
        }
    }
    let numbers = named(state, asked);
    let made = state.create_group(context.server, by, text(asked, "subject"), Addressing::Lid, numbers, &settings);
    Some(made.and_then(|(group, _)| Ok(vec![state.group(&Jid::group(group))?.node(state)])))
}

fn participating(state: &State, by: &str) -> Vec<Node> {
    let groups = state.groups.values().filter(|group| group.role(by).is_ok()).map(|group| group.node(state));
    vec![NodeBuilder::new("groups").children(groups.collect::<Vec<_>>()).build()]
}

fn leave(context: &Context<'_>, state: &mut State, by: &str, asked: &Node) -> Outcome {
    let groups: Vec<Jid> = asked.get_children_by_tag("group").filter_map(|group| jid(group, "id")).collect();
    let mut left = vec![];
    for group in groups {
        state.leave_group(context.server, &group.user, by)?;
        left.push(NodeBuilder::new("group").attr("id", group).build());
    }
    Ok(vec![NodeBuilder::new("leave").children(left).build()])
}

/// The whole group, for its members. A client that already has the current participants gets an empty answer.
fn metadata(state: &State, by: &str, to: &Jid, asked: &Node) -> Outcome {
    let group = state.group(to)?;
    group.role(by)?;
    let believed = text(asked, "phash");
    if !believed.is_empty() && group.hash(state).as_ref() == Some(&believed) {
        return Ok(vec![]);
    }
    Ok(vec![group.node(state)])
}

fn members(
    context: &Context<'_>,
    state: &mut State,
    by: &str,
    group: &str,
    asked: &Node,
    change: Membership,
) -> Outcome {
    let numbers = named(state, asked);
    let verdicts = state.change_members(context.server, group, by, change, &numbers)?;
    let addressed = state.group(&Jid::group(group))?;
    let answers = verdicts.into_iter().map(|(number, error)| {
        let (jid, other) = addressed.addresses(state, &number);
        let mut participant = NodeBuilder::new("participant").attr("jid", jid);
        if addressed.addressing == Addressing::Lid {
            participant = participant.attr("phone_number", other);
        }
        match error {
            Some(code) => participant.attr("error", code).build(),
            None => participant.build(),
        }
    });
    Ok(vec![NodeBuilder::new(change.tag()).children(answers.collect::<Vec<_>>()).build()])
}

/// The numbers of the participants that a query names. An unknown LID stands for itself and is refused later.
fn named(state: &State, asked: &Node) -> Vec<String> {
    let participants = asked.get_children_by_tag("participant").filter_map(|participant| jid(participant, "jid"));
    participants.map(|jid| state.number_of(&jid).unwrap_or_else(|| jid.user.to_string())).collect()
}

/// A description names the version that it replaces, so that nobody overwrites a version that they have not seen.
fn unchanged(state: &State, to: &Jid, asked: &Node) -> Result<(), GroupRefusal> {
    let current = state.group(to)?.description.as_ref().map_or("", |description| description.id.as_str());
    if asked.tag == "description" && text(asked, "prev") != current { Err(GroupRefusal::Conflict) } else { Ok(()) }
}

fn setting(query: &Node, asked: &Node) -> Option<Setting> {
    let content = || bytes(asked).and_then(|bytes| String::from_utf8(bytes).ok());
    Some(match asked.tag.as_ref() {
        "subject" => Setting::Subject(content()?),
        "description" => {
            let body = asked.get_optional_child("body").and_then(bytes).and_then(|body| String::from_utf8(body).ok());
            // A client that deletes a description may leave its id to the server.
            let given = text(asked, "id");
            Setting::Description { id: if given.is_empty() { id(query) } else { given }, text: body }
        }
        "announcement" => Setting::Announce(true),
        "not_announcement" => Setting::Announce(false),
        "locked" => Setting::Locked(true),
        "unlocked" => Setting::Locked(false),
        "ephemeral" => Setting::Ephemeral(text(asked, "expiration").parse().ok()?),
        "not_ephemeral" => Setting::Ephemeral(0),
        "member_add_mode" => Setting::AdminsAdd(content()? == "admin_add"),
        _ => return None,
    })
}
