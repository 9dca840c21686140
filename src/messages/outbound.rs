//! Sends a row of `wa.outbound` and waits for the server's ack.

use super::connection::{Connection, Connections};
use super::lookup::MessageLookup;
use super::media::Media;
use super::nack::{self, AfterRefusal};
use crate::auth::secret_of_row;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::proof::Proof;
use crate::db::storable::Storable;
use crate::jobs::failure::FailureClass;
use crate::jobs::lanes::Lanes;
use crate::jobs::{JobError, OutboundJob};
use crate::message::content::{ChatState, Content};
use crate::message::stored::with_secret;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::{ChatStateType, ContactError, StatusSendOptions};
use whatsapp_rust::{IqError, SendError, SendOptions};

/// How long "typing…" is shown for each letter, and the limits.
const TYPING_A_LETTER: Duration = Duration::from_millis(40);
const TYPING: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(5);

/// What sending needs.
#[derive(Clone)]
pub struct Sender {
    /// The connections to send over.
    pub connections: Connections,
    /// Uploads the files of messages.
    pub media: Media,
    /// Give a message its place to send once its file is uploaded.
    pub lanes: Lanes,
    /// Nothing is sent before the worker has proven that it lives.
    pub proof: Proof,
    /// How long to wait for the server's ack.
    pub ack_timeout: Duration,
}

/// Sends the message and returns when the server has acknowledged it (M3).
///
/// # Errors
/// [`JobError::Release`] without a connection, or when this worker ended it; [`JobError::Retry`] when the attempt failed, no
/// ack came or the connection was lost after the attempt had begun: the next attempt carries the same message id.
/// [`JobError::Permanent`] when the row can never be sent, [`JobError::Expired`] when it is too late.
pub async fn send(job: &OutboundJob, sender: &Sender) -> Result<(), JobError> {
    check_deadline(job)?;
    let to: Jid = job
        .chat
        .parse()
        .map_err(|e| JobError::Permanent(format!("recipient: {}: {e}", job.chat)).of_class(FailureClass::Content))?;
    let mut content = Content::read(&job.kind, job.body.as_deref(), job.content.as_ref())
        .map_err(|error| JobError::from(error).of_class(FailureClass::Content))?;
    let connection = sender.connections.of_job(job.fence)?;
    let Connection { hold, client, acks, traffic, limit, ending } = &*connection;

    if let Content::Media(media) = &mut content {
        let uploading = sender.media.uploaded(job, media.kind, &media.attachment, client, &hold.db);
        media.uploaded = Some(uploading.await.map_err(|error| error.of_class(FailureClass::Media))?);
        if !sender.lanes.uploaded(job).await {
            return Err(JobError::Release("the worker stopped".into()));
        }
        check_deadline(job)?;
    }
    let shown_typing = job.typing && typing(client, &to, job).await;
    // A reply turns the ratchet, and the library may send with the new key a moment before the key is stored. If the
    // worker died in that moment, or the database was away just then, the next holder could not decrypt what the
    // recipient answers (Bad MAC). So keys are stored first. Without a database this waits until the session is lost,
    // and nothing is sent meanwhile.
    if let Some(asked) = traffic.needs_flush() {
        if let Err(error) = client.flush_pending_signal_state().await {
            return Err(JobError::Release(format!("keys not stored: {error}")));
        }
        traffic.flushed(asked);
    }
    // The socket would wait for it, too, but then the attempt would have begun (P6).
    sender.proof.fresh().await;
    if !client.is_connected() {
        let text = "the connection was lost before the message was sent";
        // "Typing…" is part of the attempt: it may be what the server hangs up at.
        return Err(if shown_typing {
            JobError::Retry(text.into()).of_class(FailureClass::Connection)
        } else {
            JobError::Release(text.into())
        });
    }
    let mut waiting = acks.expect(&job.message_id);
    // Their row gives the whole message.
    let plain = job.kind == "text" && job.content.is_none() && job.timer.is_none();
    let _row = plain.then(|| traffic.sending_row(&job.message_id));
    // From here on the attempt counts, also when the connection ends with it, unless this worker ended it: the message may
    // be what the server hangs up at.
    let cut_off = |text: String| {
        if ending.load(Ordering::Relaxed) {
            JobError::Release(text)
        } else {
            JobError::Retry(text).of_class(FailureClass::Connection)
        }
    };
    let failed = |error: &dyn Display| {
        let what = if client.is_connected() { "not sent" } else { "the connection was lost" };
        cut_off(format!("{what}: {error}"))
    };
    let attempt = async {
        match &content {
            // The server does not acknowledge these.
            Content::Read(read) => {
                let ids: Vec<&str> = read.message_ids.iter().map(String::as_str).collect();
                return client.mark_as_read(&to, read.sender.as_ref(), &ids).await.map_err(|error| failed(&error));
            }
            Content::ChatState(it) => {
                let state = match it.state {
                    ChatState::Typing => ChatStateType::Composing,
                    ChatState::Recording => ChatStateType::Recording,
                    ChatState::Paused => ChatStateType::Paused,
                };
                return client.chatstate().send(&to, state).await.map_err(|error| failed(&error));
            }
            _ => {}
        }
        let audience = content.audience().to_vec();
        let lookup = MessageLookup { pool: &hold.db, session_id: job.fence.session_id, client };
        let composed = lookup.compose(content, &to, job.timer).await;
        let Some(mut message) = composed.map_err(|error| error.of_class(FailureClass::Content))? else { return Ok(()) };
        let device = client.persistence_manager().get_device_snapshot();
        with_secret(&mut message, || secret_of_row(&device.identity_key.private_key, &job.message_id).map(Vec::from));
        transmit(message, job, &to, audience, client, &failed).await?;
        match waiting.verdict().await {
            Some(Ok(())) => Ok(()),
            Some(Err(code)) => {
                let (then, class, text) = nack::refused(&code);
                if then == AfterRefusal::Pause {
                    limit.notify_one();
                    pause(job, hold, &text).await.map_err(|error| error.of_class(class))?;
                }
                Err(then.job_error(text).of_class(class))
            }
            None => Err(cut_off("the connection was lost before the server's ack".into())),
        }
    };
    tokio::time::timeout(sender.ack_timeout, attempt).await.unwrap_or_else(|_| {
        let text = format!("no ack from the server within {} s", sender.ack_timeout.as_secs());
        Err(JobError::Retry(text).of_class(FailureClass::Connection))
    })
}

/// Gives the message to the library, which encrypts it and sends it. `failed` tells what an error of the library means.
async fn transmit(
    message: wa::Message,
    job: &OutboundJob,
    to: &Jid,
    audience: Vec<Jid>,
    client: &Client,
    failed: &impl Fn(&dyn Display) -> JobError,
) -> Result<(), JobError> {
    let sent = if to.is_status_broadcast() {
        let audience = with_account(client, audience).await.map_err(|error| failed(&error))?;
        if audience.is_empty() {
            let text = "content.audience: none of these people is on WhatsApp";
            return Err(JobError::Permanent(text.into()).of_class(FailureClass::NotOnWhatsapp));
        }
        let options = StatusSendOptions { message_id: Some(job.message_id.to_string()), ..Default::default() };
        client.status().send_raw(message, &audience, options).await
    } else {
        // A number without an account is found before the server refuses it, by a query that is made once.
        if to.is_pn() && with_account(client, vec![to.clone()]).await.map_err(|error| failed(&error))?.is_empty() {
            let text = format!("{} is not on WhatsApp", to.user);
            return Err(JobError::Permanent(text).of_class(FailureClass::NotOnWhatsapp));
        }
        let options = SendOptions::default().with_message_id(&*job.message_id);
        client.send_message_with_options(to.clone(), message, options).await
    };
    sent.map(drop).map_err(|error| refused_group(job, &error).unwrap_or_else(|| failed(&error)))
}

/// What the server's refusal of the query for the members of a group means, if it would refuse it again.
fn refused_group(job: &OutboundJob, error: &SendError) -> Option<JobError> {
    let SendError::Iq(IqError::ServerError { code, .. }) = error else { return None };
    if !job.chat.parse::<Jid>().is_ok_and(|chat| chat.is_group()) {
        return None;
    }
    match nack::refused(&code.to_string()) {
        (AfterRefusal::Fail, class, text) => Some(JobError::Permanent(text).of_class(class)),
        _ => None,
    }
}

fn check_deadline(job: &OutboundJob) -> Result<(), JobError> {
    let over = job.deadline.is_some_and(|deadline| deadline <= Instant::now());
    if over { Err(JobError::Expired) } else { Ok(()) }
}

/// Pauses the session until somebody resumes it.
async fn pause(job: &OutboundJob, hold: &Hold, reason: &str) -> Result<(), JobError> {
    let Fence { session_id, epoch } = job.fence;
    let stored = Storable::error(reason);
    let pause = || sqlx::query_file!("sql/session/pause.sql", session_id, epoch, stored.as_str()).execute(&hold.db);
    hold.ask(pause)
        .await
        .map(drop)
        .map_err(|error| JobError::Retry(format!("{reason}; the session could not be paused: {error}")))
}

/// Those who are on WhatsApp, and those about whom WhatsApp gave no answer. A status is encrypted for LIDs, and the
/// library leaves out people whose LID it does not know.
async fn with_account(client: &Client, people: Vec<Jid>) -> Result<Vec<Jid>, ContactError> {
    let (mut known, mut unknown) = (vec![], vec![]);
    for person in people {
        let has_lid = person.is_lid() || matches!(client.get_lid_pn_entry(&person).await, Ok(Some(_)));
        if has_lid { known.push(person) } else { unknown.push(person) }
    }
    // Makes no query for an empty list.
    let found = client.contacts().is_on_whatsapp(&unknown).await?;
    let may_have_one = found.into_iter().filter(|person| person.is_registered || person.contact_error.is_some());
    known.extend(may_have_one.map(|person| person.jid));
    Ok(known)
}

/// Shows "typing…" for as long as a fast typist would need, within the limits. Returns whether it was sent.
async fn typing(client: &Client, to: &Jid, job: &OutboundJob) -> bool {
    let letters = job.body.as_ref().map_or(0, |body| body.chars().count());
    let time = (TYPING_A_LETTER * u32::try_from(letters).unwrap_or(u32::MAX)).clamp(TYPING.start, TYPING.end);
    // If this fails, the message is sent all the same.
    if let Err(error) = client.chatstate().send_composing(to).await {
        tracing::debug!(%error, "\"typing…\" not shown; the message is sent without");
        return false;
    }
    tokio::time::sleep(time).await;
    true
}
