//! Groups: creating and listing them, and the actions of their participants.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wacore_binary::Jid;

use super::super::account::Addressing;
use super::super::group::{Group, Membership, Setting};
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome, digits, group, phone};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/groups", get(list).post(create))
        .route("/groups/join", post(join))
        .route("/groups/{jid}", get(show))
        .route("/groups/{jid}/participants", post(participants))
        .route("/groups/{jid}/subject", post(subject))
        .route("/groups/{jid}/description", post(description))
        .route("/groups/{jid}/settings", post(settings))
        .route("/groups/{jid}/leave", post(leave))
        .route("/groups/{jid}/invite", get(invite).post(reset_invite))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    subject: String,
    creator: String,
    participants: Vec<String>,
    #[serde(default)]
    addressing: AddressingForm,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum AddressingForm {
    #[default]
    Lid,
    Pn,
}

async fn create(State(server): Shared, Body(body): Body<NewGroup>) -> Outcome {
    let by = number_with_phone(&server, "creator", &body.creator)?;
    let numbers = numbers_with_phones(&server, "participants", &body.participants)?;
    let addressing = match body.addressing {
        AddressingForm::Lid => Addressing::Lid,
        AddressingForm::Pn => Addressing::Pn,
    };
    let (id, _) = server.state().create_group(&server, &by, body.subject, addressing, numbers, &[])?;
    Ok(Json(json!({ "jid": Jid::group(id).to_string() })))
}

async fn list(State(server): Shared) -> Outcome {
    let groups: Vec<Value> = server.state().groups.values().map(described).collect();
    Ok(Json(json!({ "groups": groups })))
}

async fn show(State(server): Shared, Path(jid): Path<String>) -> Outcome {
    let jid = group("jid", &jid)?;
    Ok(Json(described(server.state().group(&jid)?)))
}

fn described(group: &Group) -> Value {
    let participants: Vec<Value> = group
        .participants
        .iter()
        .map(|(number, role)| json!({ "number": number, "role": role.name().unwrap_or("member") }))
        .collect();
    json!({
        "jid": group.jid().to_string(),
        "subject": group.subject.text,
        "creator": group.creator,
        "created": group.created,
        "description": group.description.as_ref().map(|words| &words.text),
        "addressing": group.addressing.name(),
        "announce": group.announce,
        "locked": group.locked,
        "admins_add": group.admins_add,
        "ephemeral": group.ephemeral,
        "participants": participants,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Participants {
    by: String,
    add: Option<Vec<String>>,
    remove: Option<Vec<String>>,
    promote: Option<Vec<String>>,
    demote: Option<Vec<String>>,
}

async fn participants(State(server): Shared, Path(jid): Path<String>, Body(body): Body<Participants>) -> Outcome {
    let (jid, by) = (group("jid", &jid)?, number_with_phone(&server, "by", &body.by)?);
    let mut changes = [
        (Membership::Add, body.add),
        (Membership::Remove, body.remove),
        (Membership::Promote, body.promote),
        (Membership::Demote, body.demote),
    ]
    .into_iter()
    .filter_map(|(change, numbers)| Some((change, numbers?)));
    let (Some((change, numbers)), None) = (changes.next(), changes.next()) else {
        return Err(Failure::bad(
            "the body needs by and exactly one of add, remove, promote and demote, a list of numbers",
        ));
    };
    let numbers = numbers_with_phones(&server, change.tag(), &numbers)?;
    let verdicts = server.state().change_members(&server, &jid.user, &by, change, &numbers)?;
    let verdicts: Vec<Value> =
        verdicts.into_iter().map(|(number, error)| json!({ "number": number, "error": error })).collect();
    Ok(Json(json!({ "participants": verdicts })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    by: String,
    subject: String,
}

async fn subject(State(server): Shared, Path(jid): Path<String>, Body(body): Body<Subject>) -> Outcome {
    change(&server, &jid, &body.by, vec![Setting::Subject(body.subject)])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    by: String,
    description: Option<String>,
}

async fn description(State(server): Shared, Path(jid): Path<String>, Body(body): Body<Description>) -> Outcome {
    let setting = Setting::Description { id: server.stanza_id(), text: body.description };
    change(&server, &jid, &body.by, vec![setting])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    by: String,
    announce: Option<bool>,
    locked: Option<bool>,
    admins_add: Option<bool>,
    ephemeral: Option<u32>,
}

async fn settings(State(server): Shared, Path(jid): Path<String>, Body(body): Body<Settings>) -> Outcome {
    let given = [
        body.announce.map(Setting::Announce),
        body.locked.map(Setting::Locked),
        body.admins_add.map(Setting::AdminsAdd),
        body.ephemeral.map(Setting::Ephemeral),
    ];
    change(&server, &jid, &body.by, given.into_iter().flatten().collect())
}

/// Applies changes, and returns the group as changed.
fn change(server: &Server, jid: &str, by: &str, settings: Vec<Setting>) -> Outcome {
    let (jid, by) = (group("jid", jid)?, number_with_phone(server, "by", by)?);
    let mut state = server.state();
    for setting in settings {
        state.change_group(server, &jid.user, &by, &setting)?;
    }
    Ok(Json(described(state.group(&jid)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupRequest {
    by: String,
}

async fn leave(State(server): Shared, Path(jid): Path<String>, Body(body): Body<GroupRequest>) -> Outcome {
    let (jid, by) = (group("jid", &jid)?, number_with_phone(&server, "by", &body.by)?);
    server.state().leave_group(&server, &jid.user, &by)?;
    Ok(Json(json!({ "left": true })))
}

async fn invite(State(server): Shared, Path(jid): Path<String>) -> Outcome {
    let jid = group("jid", &jid)?;
    Ok(Json(json!({ "code": server.state().group(&jid)?.invite })))
}

async fn reset_invite(State(server): Shared, Path(jid): Path<String>, Body(body): Body<GroupRequest>) -> Outcome {
    let (jid, by) = (group("jid", &jid)?, number_with_phone(&server, "by", &body.by)?);
    Ok(Json(json!({ "code": server.state().invitation(&server, &jid.user, &by, true)? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    by: String,
    code: String,
}

async fn join(State(server): Shared, Body(body): Body<Join>) -> Outcome {
    let by = number_with_phone(&server, "by", &body.by)?;
    let id = server.state().join_group(&server, &body.code, &by)?;
    Ok(Json(json!({ "jid": Jid::group(id).to_string() })))
}

/// The digits of a number that has a phone.
fn number_with_phone(server: &Server, field: &str, number: &str) -> Result<String, Failure> {
    let number = digits(field, number)?;
    phone(server, &number)?;
    Ok(number)
}

fn numbers_with_phones(server: &Server, field: &str, numbers: &[String]) -> Result<Vec<String>, Failure> {
    numbers.iter().map(|number| number_with_phone(server, field, number)).collect()
}
