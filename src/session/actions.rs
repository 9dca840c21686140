//! Group and contact actions: session jobs that ask WhatsApp for something and keep the answer (M2, M9).
//!
//! Which there are, and what each takes and gives, is said in `sql/schema/31_actions.sql`, whose checks every row has passed.

use super::holder::Sessions;
use crate::jobs::{JobError, SessionJob};
use crate::messages::json::storable;
use crate::messages::media::profile;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Display;
use std::time::Duration;
use wacore_binary::Jid;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::{
    GroupCreateOptions, GroupDescription, GroupMetadata, GroupParticipant, GroupParticipantOptions, GroupSubject,
    JoinGroupResult, ParticipantChangeResponse, PreviousDescription,
};

/// How long WhatsApp may take for all of it.
const ANSWER: Duration = Duration::from_mins(1);

/// Does what the row asks for and keeps the result in it.
///
/// # Errors
/// [`JobError::Permanent`] when WhatsApp says no, [`JobError::Retry`] when the connection was lost, so that the answer is not
/// known.
pub(super) async fn run(job: &SessionJob, sessions: &Sessions) -> Result<(), JobError> {
    // The worker may have died after it was made, or the answer been lost; twice would be worse than not known.
    if job.kind == "create_group" && job.attempts > 1 {
        return Err(JobError::Permanent(
            "an earlier attempt had no answer; list_groups shows whether it made the group".into(),
        ));
    }
    let held = sessions.get(job.fence).ok_or_else(|| JobError::Release("the session is not held here".into()))?;
    let client = held.client().ok_or_else(|| JobError::Release("the session is not connected".into()))?;
    let result = match job.kind.as_str() {
        // It takes the time that a file takes.
        "download" => sessions.media().download(job, &client, sessions.pool()).await?,
        "set_picture" => {
            let picture = profile::picture(job, sessions.pool()).await?;
            answer(&client, set_picture(&client, job, picture)).await?
        }
        _ => answer(&client, act(&client, job)).await?,
    };
    let (session_id, epoch) = (job.fence.session_id, job.fence.epoch);
    let keep = sqlx::query_file!("sql/session/action_result.sql", session_id, epoch, result, job.id);
    keep.execute(sessions.pool())
        .await
        .map(drop)
        .map_err(|error| JobError::Retry(format!("done, and not kept: {error}")))
}

async fn answer(client: &Client, asked: impl Future<Output = Result<Value, String>> + Send) -> Result<Value, JobError> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) if client.is_connected() => Err(JobError::Permanent(error)),
        Ok(Err(error)) => Err(JobError::Retry(format!("the connection was lost: {error}"))),
        Err(_) => Err(JobError::Retry(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

/// Without a picture, the one that there is goes.
async fn set_picture(client: &Client, job: &SessionJob, picture: Option<Vec<u8>>) -> Result<Value, String> {
    let (removed, picture) = (picture.is_none(), picture.unwrap_or_default());
    let set = match job.args["group"].as_str() {
        Some(group) => client.groups().set_profile_picture(parsed(group)?, picture).await.map_err(said)?,
        None => client.profile().set_profile_picture(picture).await.map_err(said)?,
    };
    Ok(if removed { Value::Null } else { json!({ "id": set.id }) })
}

/// What the actions take.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Args {
    numbers: Vec<String>,
    contact: String,
    group: String,
    participants: Vec<String>,
    subject: String,
    description: Option<String>,
    link: String,
    reset: bool,
    available: bool,
}

/// What came of it, or why not.
async fn act(client: &Client, job: &SessionJob) -> Result<Value, String> {
    let Args { numbers, contact, group, participants, subject, description, link, reset, available } =
        Args::deserialize(&job.args).map_err(|error| format!("args: {error}"))?;
    let (groups, people) = (client.groups(), participants);
    let group = || parsed(&group);
    let people = || people.iter().map(|person| parsed(person)).collect::<Result<Vec<Jid>, String>>();
    Ok(match job.kind.as_str() {
        "check_numbers" => {
            let asked = numbers.iter().map(|number| parsed(number)).collect::<Result<Vec<_>, _>>()?;
            let found = client.contacts().is_on_whatsapp(&asked).await.map_err(said)?;
            let line = |person: wacore::iq::usync::IsOnWhatsAppResult| {
                json!({
                    "jid": person.jid.to_string(), "lid": person.lid.map(|lid| lid.to_string()),
                    "on_whatsapp": person.contact_error.is_none().then_some(person.is_registered),
                    "business": person.is_business,
                })
            };
            found.into_iter().map(line).collect()
        }
        "contact_picture" => {
            let picture = client.contacts().get_profile_picture(&parsed(&contact)?, false).await.map_err(said)?;
            json!(picture.map(|picture| json!({ "id": picture.id, "url": picture.url })))
        }
        "set_presence" => {
            let presence = client.presence();
            let set = if available { presence.set_available().await } else { presence.set_unavailable().await };
            set.map(|()| Value::Null).map_err(said)?
        }
        "watch_presence" => {
            // Those who show themselves to nobody are told of nobody.
            client.presence().set_available().await.map_err(said)?;
            client.presence().subscribe(&parsed(&contact)?).await.map(|()| Value::Null).map_err(said)?
        }
        "block_contact" => client.blocking().block(&parsed(&contact)?).await.map(|()| Value::Null).map_err(said)?,
        "unblock_contact" => client.blocking().unblock(&parsed(&contact)?).await.map(|()| Value::Null).map_err(said)?,
        "list_groups" => groups.get_participating().await.map_err(said)?.values().map(shown).collect(),
        "show_group" => shown(&groups.get_metadata(&group()?).await.map_err(said)?),
        "create_group" => {
            let participants = people()?.into_iter().map(GroupParticipantOptions::new).collect();
            let options = GroupCreateOptions::builder().subject(subject).participants(participants).build();
            shown(&groups.create_group(options).await.map_err(said)?.metadata)
        }
        "add_participants" => changed(groups.add_participants(group()?, &people()?).await.map_err(said)?),
        "remove_participants" => changed(groups.remove_participants(group()?, &people()?).await.map_err(said)?),
        "promote_participants" => changed(groups.promote_participants(group()?, &people()?).await.map_err(said)?),
        "demote_participants" => changed(groups.demote_participants(group()?, &people()?).await.map_err(said)?),
        "set_group_subject" => {
            let subject = GroupSubject::new(subject).map_err(said)?;
            groups.set_subject(group()?, subject).await.map(|()| Value::Null).map_err(said)?
        }
        "set_group_description" => {
            let description = description.map(GroupDescription::new).transpose().map_err(said)?;
            let set = groups.set_description(group()?, description, PreviousDescription::Resolve).await;
            set.map(|()| Value::Null).map_err(said)?
        }
        "group_invite_link" => json!({ "link": groups.get_invite_link(group()?, reset).await.map_err(said)? }),
        "join_group" => {
            let joined = groups.join_with_invite_code(&link).await.map_err(said)?;
            let pending = matches!(joined, JoinGroupResult::PendingApproval(_));
            json!({ "jid": joined.group_jid().to_string(), "pending": pending })
        }
        "leave_group" => groups.leave(group()?).await.map(|()| Value::Null).map_err(said)?,
        kind => return Err(format!("kind: \"{kind}\" is unknown to this version")),
    })
}

fn parsed(jid: &str) -> Result<Jid, String> {
    jid.parse().map_err(|error| format!("{jid}: {error}"))
}

fn said(error: impl Display) -> String {
    error.to_string()
}

/// A group as `show_group` gives it.
fn shown(group: &GroupMetadata) -> Value {
    // One form for one person, whichever the group uses.
    let person = |participant: &GroupParticipant| {
        let pn = participant.phone_number.as_ref().unwrap_or(&participant.jid);
        let lid = participant.lid.as_ref().or_else(|| Some(&participant.jid).filter(|jid| jid.is_lid()));
        json!({ "jid": pn.to_string(), "lid": lid.map(Jid::to_string), "admin": participant.is_admin() })
    };
    let created = group.creation_time.and_then(|time| DateTime::from_timestamp(i64::try_from(time).ok()?, 0));
    json!({
        "jid": group.id.to_string(), "subject": storable(&group.subject),
        "description": group.description.as_deref().map(storable),
        "owner": group.creator_pn.as_ref().or(group.creator.as_ref()).map(Jid::to_string), "created_at": created,
        "locked": group.is_locked, "announcement": group.is_announcement,
        "participants": group.participants.iter().map(person).collect::<Vec<_>>(),
    })
}

/// What became of each person.
fn changed(people: Vec<ParticipantChangeResponse>) -> Value {
    let person = |it: ParticipantChangeResponse| json!({ "jid": it.phone_number.unwrap_or(it.jid).to_string(), "error": it.error });
    people.into_iter().map(person).collect()
}
