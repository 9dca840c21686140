//! From a row of `wa.outbound` to the server's word about it.

use crate::jobs::{JobError, OutboundJob};
use crate::session::holder::Sessions;
use std::time::{Duration, Instant};
use wacore_binary::Jid;
use whatsapp_rust::SendOptions;
use whatsapp_rust::client::Client;
use whatsapp_rust::waproto::whatsapp as wa;

/// How long "typing…" is shown for each letter, and at least and at most.
const TYPING_A_LETTER: Duration = Duration::from_millis(40);
const TYPING: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(5);

/// What sending needs.
#[derive(Clone)]
pub struct Sender {
    /// The sessions of this worker.
    pub sessions: Sessions,
    /// How long to wait for the server's ack.
    pub ack_timeout: Duration,
}

/// Sends the message and returns when the server has acknowledged it (M3).
///
/// # Errors
/// [`JobError::Release`] when there is no connection, [`JobError::Retry`] when the attempt failed or no ack came; the next
/// attempt carries the same message id. [`JobError::Permanent`] when the row cannot be sent at all.
pub async fn send(job: &OutboundJob, sender: &Sender) -> Result<(), JobError> {
    if job.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(JobError::Expired);
    }
    let to: Jid = job.chat.parse().map_err(|e| JobError::Permanent(format!("recipient: {}: {e}", job.chat)))?;
    let message = compose(job)?;
    let held =
        sender.sessions.get(job.fence).ok_or_else(|| JobError::Release("the session is not held here".into()))?;
    let client = held.client().ok_or_else(|| JobError::Release("the session is not connected".into()))?;

    if job.typing {
        typing(&client, &to, job).await;
    }
    // An answer turns the ratchet, and the library may send with the new key a moment before it is kept. Were that moment
    // our last, or the database away just then, the next holder could read nothing that the recipient answers (Bad MAC).
    // Without a database this waits until the session is lost, and nothing is sent meanwhile.
    if let Err(error) = client.flush_pending_signal_state().await {
        return Err(JobError::Release(format!("the keys are not kept: {error}")));
    }
    let mut waiting = held.acks.expect(&job.message_id);
    let options = SendOptions::default().with_message_id(&*job.message_id);
    let attempt = async {
        if let Err(error) = client.send_message_with_options(to, message, options).await {
            return Err(if client.is_connected() {
                JobError::Retry(format!("not sent: {error}"))
            } else {
                JobError::Release(format!("the connection was lost: {error}"))
            });
        }
        match waiting.verdict().await {
            Some(Ok(())) => Ok(()),
            Some(Err(code)) => Err(JobError::Retry(format!("refused by the server with code {code}"))),
            None => Err(JobError::Release("the connection was lost before the server's ack".into())),
        }
    };
    tokio::time::timeout(sender.ack_timeout, attempt).await.unwrap_or_else(|_| {
        Err(JobError::Retry(format!("no ack from the server within {} s", sender.ack_timeout.as_secs())))
    })
}

/// Shows "typing…" for as long as a quick typist would need, within limits.
async fn typing(client: &Client, to: &Jid, job: &OutboundJob) {
    let letters = job.body.as_ref().map_or(0, |body| body.chars().count());
    let time = (TYPING_A_LETTER * u32::try_from(letters).unwrap_or(u32::MAX)).clamp(TYPING.start, TYPING.end);
    // It is an ornament: a message is not held up because it could not be shown.
    if let Err(error) = client.chatstate().send_composing(to).await {
        tracing::debug!(id = job.id, %error, "typing not shown");
        return;
    }
    tokio::time::sleep(time).await;
}

/// The WhatsApp message that a row stands for.
fn compose(job: &OutboundJob) -> Result<wa::Message, JobError> {
    match (job.kind.as_str(), &job.body) {
        ("text", Some(body)) => Ok(wa::Message { conversation: Some(body.clone()), ..Default::default() }),
        ("text", None) => Err(JobError::Permanent("body: missing; a text message needs one".into())),
        (kind, _) => Err(JobError::Permanent(format!("kind: \"{kind}\" is unknown to this version"))),
    }
}
