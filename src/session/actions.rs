//! Group and contact actions: session jobs that ask WhatsApp for something and store the answer (M2, M9).
//!
//! `sql/schema/31_actions.sql` defines the actions with their arguments and results, and INSERT has checked every row.

use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::storable::StorableJson;
use crate::jobs::session_work::{Action, FileAction, Participants};
use crate::jobs::{JobError, SessionJob};
use crate::messages::connection::{Connection, Connections};
use crate::messages::media::{Media, profile};
use chrono::DateTime;
use serde_json::{Value, json};
use std::fmt::Display;
use std::time::Duration;
use wacore_binary::Jid;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::{
    GroupCreateOptions, GroupDescription, GroupMetadata, GroupParticipant, GroupParticipantOptions, GroupSubject,
    JoinGroupResult, ParticipantChangeResponse, PreviousDescription,
};

/// How long an action may take in all.
const ANSWER: Duration = Duration::from_mins(1);

/// Does what the row asks for and stores the result in the row.
///
/// # Errors
/// [`JobError::Permanent`] when WhatsApp refuses, [`JobError::Retry`] when the connection was lost or no answer came,
/// so that the outcome is unknown.
pub(super) async fn run(action: &Action, job: &SessionJob, connections: &Connections) -> Result<(), JobError> {
    // The worker may have died after the group was made, or the answer was lost. Two groups would be worse than one
    // that is not reported.
    if matches!(action, Action::CreateGroup { .. }) && job.attempts > 1 {
        return Err(JobError::Permanent(
            "an earlier attempt had no answer; list_groups shows whether it made the group".into(),
        ));
    }
    let connection = connections.of_job(job.fence)?;
    let result = answer(&connection.client, act(&connection.client, action.clone())).await?;
    keep(job, result, &connection.hold.db).await
}

/// The same for actions that involve a file.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_with_file(
    action: &FileAction,
    job: &SessionJob,
    connections: &Connections,
    media: &Media,
) -> Result<(), JobError> {
    let connection = connections.of_job(job.fence)?;
    let Connection { hold, client, .. } = &*connection;
    let result = match action {
        // A download takes as long as its file needs.
        FileAction::Download { inbox_id } => media.download(job.fence, *inbox_id, client, &hold.db).await?,
        FileAction::SetPicture { group, media } => {
            let picture = match media {
                Some(media) => Some(profile::picture(job.fence, *media, &hold.db).await?),
                None => None,
            };
            answer(client, set_picture(client, group.as_ref(), picture)).await?
        }
    };
    keep(job, result, &hold.db).await
}

async fn keep(job: &SessionJob, result: Value, db: &Db) -> Result<(), JobError> {
    let Fence { session_id, epoch } = job.fence;
    let result = StorableJson::new(result);
    let keep = sqlx::query_file!("sql/session/action_result.sql", session_id, epoch, &result as &StorableJson, job.id);
    let kept = keep.execute(db).await;
    kept.map(drop).map_err(|error| JobError::Retry(format!("done, but the result is not stored: {error}")))
}

async fn answer(client: &Client, asked: impl Future<Output = Result<Value, String>> + Send) -> Result<Value, JobError> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) if client.is_connected() => Err(JobError::Permanent(error)),
        Ok(Err(error)) => Err(JobError::Retry(format!("the connection was lost: {error}"))),
        Err(_) => Err(JobError::Retry(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

/// Sets the picture of a group or of the session; without a picture, removes the current one.
async fn set_picture(client: &Client, group: Option<&Jid>, picture: Option<Vec<u8>>) -> Result<Value, String> {
    let (removed, picture) = (picture.is_none(), picture.unwrap_or_default());
    let set = match group {
        Some(group) => client.groups().set_profile_picture(group.clone(), picture).await.map_err(text)?,
        None => client.profile().set_profile_picture(picture).await.map_err(text)?,
    };
    Ok(if removed { Value::Null } else { json!({ "id": set.id }) })
}

/// The result, or why WhatsApp refused.
async fn act(client: &Client, action: Action) -> Result<Value, String> {
    let groups = client.groups();
    let nothing = |()| Value::Null;
    Ok(match action {
        Action::CheckNumbers { numbers } => {
            let found = client.contacts().is_on_whatsapp(&numbers).await.map_err(text)?;
            let line = |person: wacore::iq::usync::IsOnWhatsAppResult| {
                json!({
                    "jid": person.jid.to_string(), "lid": person.lid.map(|lid| lid.to_string()),
                    "on_whatsapp": person.contact_error.is_none().then_some(person.is_registered),
                    "business": person.is_business,
                })
            };
            found.into_iter().map(line).collect()
        }
        Action::ContactPicture { contact } => {
            let picture = client.contacts().get_profile_picture(&contact, false).await.map_err(text)?;
            json!(picture.map(|picture| json!({ "id": picture.id, "url": picture.url })))
        }
        Action::SetPresence { available } => {
            let presence = client.presence();
            let set = if available { presence.set_available().await } else { presence.set_unavailable().await };
            set.map(nothing).map_err(text)?
        }
        Action::WatchPresence { contact } => {
            // WhatsApp shows no presence to those who hide their own.
            client.presence().set_available().await.map_err(text)?;
            client.presence().subscribe(&contact).await.map(nothing).map_err(text)?
        }
        Action::BlockContact { contact } => client.blocking().block(&contact).await.map(nothing).map_err(text)?,
        Action::UnblockContact { contact } => client.blocking().unblock(&contact).await.map(nothing).map_err(text)?,
        Action::ListGroups {} => groups.get_participating().await.map_err(text)?.values().map(described).collect(),
        Action::ShowGroup { group } => described(&groups.get_metadata(&group).await.map_err(text)?),
        Action::CreateGroup { subject, participants } => {
            let participants = participants.into_iter().map(GroupParticipantOptions::new).collect();
            let options = GroupCreateOptions::builder().subject(subject).participants(participants).build();
            described(&groups.create_group(options).await.map_err(text)?.metadata)
        }
        Action::AddParticipants(Participants { group, participants }) => {
            changed(groups.add_participants(group, &participants).await.map_err(text)?)
        }
        Action::RemoveParticipants(Participants { group, participants }) => {
            changed(groups.remove_participants(group, &participants).await.map_err(text)?)
        }
        Action::PromoteParticipants(Participants { group, participants }) => {
            changed(groups.promote_participants(group, &participants).await.map_err(text)?)
        }
        Action::DemoteParticipants(Participants { group, participants }) => {
            changed(groups.demote_participants(group, &participants).await.map_err(text)?)
        }
        Action::SetGroupSubject { group, subject } => {
            let subject = GroupSubject::new(subject).map_err(text)?;
            groups.set_subject(group, subject).await.map(nothing).map_err(text)?
        }
        Action::SetGroupDescription { group, description } => {
            let description = description.map(GroupDescription::new).transpose().map_err(text)?;
            let set = groups.set_description(group, description, PreviousDescription::Resolve).await;
            set.map(nothing).map_err(text)?
        }
        Action::GroupInviteLink { group, reset } => {
            json!({ "link": groups.get_invite_link(group, reset).await.map_err(text)? })
        }
        Action::JoinGroup { link } => {
            let joined = groups.join_with_invite_code(&link).await.map_err(text)?;
            let pending = matches!(joined, JoinGroupResult::PendingApproval(_));
            json!({ "jid": joined.group_jid().to_string(), "pending": pending })
        }
        Action::LeaveGroup { group } => groups.leave(group).await.map(nothing).map_err(text)?,
    })
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// A group in the form of `show_group`.
fn described(group: &GroupMetadata) -> Value {
    // One form for one person, whichever form the group uses.
    let person = |participant: &GroupParticipant| {
        let pn = participant.phone_number.as_ref().unwrap_or(&participant.jid);
        let lid = participant.lid.as_ref().or_else(|| Some(&participant.jid).filter(|jid| jid.is_lid()));
        json!({ "jid": pn.to_string(), "lid": lid.map(Jid::to_string), "admin": participant.is_admin() })
    };
    let created = group.creation_time.and_then(|time| DateTime::from_timestamp(i64::try_from(time).ok()?, 0));
    json!({
        "jid": group.id.to_string(), "subject": group.subject,
        "description": group.description,
        "owner": group.creator_pn.as_ref().or(group.creator.as_ref()).map(Jid::to_string), "created_at": created,
        "locked": group.is_locked, "announcement": group.is_announcement,
        "participants": group.participants.iter().map(person).collect::<Vec<_>>(),
    })
}

/// The result for each person.
fn changed(people: Vec<ParticipantChangeResponse>) -> Value {
    let person = |it: ParticipantChangeResponse| json!({ "jid": it.phone_number.unwrap_or(it.jid).to_string(), "error": it.error });
    people.into_iter().map(person).collect()
}
