//! The places of messages under way: to send, and before that for the file, if the message has one.
//!
//! A message gets its place by the rule of [`super::shares`]. A message with a file first gets one of the places for
//! files, and a place to send when its file is on WhatsApp's servers. So files that take long never take the places of
//! other messages.

use super::OutboundJob;
use super::shares::Shares;
use crate::message::attachment::MediaKind;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Session id and id of a message.
type Key = (i64, i64);

/// The places of a worker, and the messages that have one or wait for one.
#[derive(Debug)]
pub(super) struct Places {
    /// `None` after [`Places::close`]: no message starts any more.
    feed: Option<mpsc::Sender<OutboundJob>>,
    sending: Shares<Next>,
    files: Shares<OutboundJob>,
    taken: HashMap<Key, (Arc<str>, Place)>,
}

/// What waits for a place to send.
#[derive(Debug)]
enum Next {
    /// A message that starts with it.
    Start(OutboundJob),
    /// A message that has started and whose file is uploaded.
    Uploaded(Arc<str>, Key, oneshot::Sender<()>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Sending,
}

impl Places {
    /// Messages that start go into `feed`, which must have room for everything in hand.
    pub(super) fn new(feed: mpsc::Sender<OutboundJob>, sending: usize, files: usize) -> Self {
        let (sending, files) = (Shares::new(sending), Shares::new(files));
        Self { feed: Some(feed), sending, files, taken: HashMap::new() }
    }

    /// A message may start when it gets a place. [`Places::fill`] follows.
    pub(super) fn start(&mut self, job: OutboundJob) {
        let (tenant, session) = (job.tenant.clone(), job.fence.session_id);
        if MediaKind::parse(&job.kind).is_some() {
            self.files.add(&tenant, session, job);
        } else {
            self.sending.add(&tenant, session, Next::Start(job));
        }
    }

    /// The file of a message is uploaded. Tells when the message has a place to send; until then it keeps the other.
    pub(super) fn uploaded(&mut self, job: &OutboundJob) -> oneshot::Receiver<()> {
        let (granted, place) = oneshot::channel();
        let session = job.fence.session_id;
        self.sending.add(&job.tenant, session, Next::Uploaded(job.tenant.clone(), (session, job.id), granted));
        self.fill();
        place
    }

    /// The attempt to send a message has ended. [`Places::fill`] follows.
    pub(super) fn finished(&mut self, job: &OutboundJob) {
        let key = (job.fence.session_id, job.id);
        if let Some((tenant, place)) = self.taken.remove(&key) {
            self.release(&tenant, key.0, place);
        }
    }

    /// Gives the free places to those whose turn it is.
    pub(super) fn fill(&mut self) {
        loop {
            let (job, place) = if let Some(job) = self.files.take() {
                (job, Place::File)
            } else {
                match self.sending.take() {
                    Some(Next::Start(job)) => (job, Place::Sending),
                    Some(Next::Uploaded(tenant, key, granted)) => {
                        self.grant(&tenant, key, granted);
                        continue;
                    }
                    None => return,
                }
            };
            self.taken.insert((job.fence.session_id, job.id), (job.tenant.clone(), place));
            // Only a stopping worker fails here.
            if self.feed.as_ref().is_none_or(|feed| feed.try_send(job).is_err()) {
                tracing::debug!("worker stopping; the claimed message stays queued");
            }
        }
    }

    /// Starts no more messages. Returns those that wait for a place; a message whose file is uploaded gets none.
    pub(super) fn close(&mut self) -> Vec<OutboundJob> {
        self.feed = None;
        let mut waiting = self.files.drain();
        waiting.extend(self.sending.drain().into_iter().filter_map(|next| match next {
            Next::Start(job) => Some(job),
            Next::Uploaded(..) => None,
        }));
        waiting
    }

    /// Exchanges the place of a message for the one to send that was taken for it.
    fn grant(&mut self, tenant: &Arc<str>, key: Key, granted: oneshot::Sender<()>) {
        // A sender that has given up has finished its message, or soon will.
        let had = if granted.send(()).is_ok() { self.taken.get_mut(&key) } else { None };
        let place = had.map_or(Place::Sending, |(_, place)| std::mem::replace(place, Place::Sending));
        self.release(tenant, key.0, place);
    }

    fn release(&mut self, tenant: &Arc<str>, session: i64, place: Place) {
        match place {
            Place::File => self.files.release(tenant, session),
            Place::Sending => self.sending.release(tenant, session),
        }
    }
}
