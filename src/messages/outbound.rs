//! From a row of `wa.outbound` to the server's word about it.

use crate::jobs::{JobError, OutboundJob};
use crate::session::holder::Sessions;
use std::time::Duration;
use wacore_binary::Jid;
use whatsapp_rust::SendOptions;
use whatsapp_rust::waproto::whatsapp as wa;

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
    let to: Jid = job.chat.parse().map_err(|e| JobError::Permanent(format!("recipient: {}: {e}", job.chat)))?;
    let message = compose(job)?;
    let held =
        sender.sessions.get(job.fence).ok_or_else(|| JobError::Release("the session is not held here".into()))?;
    let client = held.client().ok_or_else(|| JobError::Release("the session is not connected".into()))?;

    let mut waiting = held.acks.expect(&job.message_id);
    let options = SendOptions::default().with_message_id(&job.message_id);
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

/// The WhatsApp message that a row stands for.
fn compose(job: &OutboundJob) -> Result<wa::Message, JobError> {
    match (job.kind.as_str(), &job.body) {
        ("text", Some(body)) => Ok(wa::Message { conversation: Some(body.clone()), ..Default::default() }),
        ("text", None) => Err(JobError::Permanent("body: missing; a text message needs one".into())),
        (kind, _) => Err(JobError::Permanent(format!("kind: \"{kind}\" is unknown to this version"))),
    }
}
