//! Writes ratchets of all sessions of a worker together.
//!
//! The client library writes the ratchets of each session some 25 ms after they advanced, and holds the session's locks
//! meanwhile. With many sessions that is a statement and a commit for nearly each message. So one writer takes whatever
//! is asked for while its last statement ran, at once and without waiting for more.
//!
//! What a common statement does not write, the session writes with a statement of its own: when its lease is locked or
//! gone, or when the statement fails for whatever reason.

use super::kind::Kind;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::pieces::code;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Most keys of one statement, unless one session has more.
const MOST: usize = 500;

/// Takes ratchets to write. Clones share the writer.
#[derive(Debug, Clone)]
pub struct RatchetWriter(mpsc::UnboundedSender<Request>);

/// Keys of one kind with their sealed values, in the order in which their rows are locked.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) kind: Kind,
    pub(super) key_ids: Vec<String>,
    pub(super) values: Vec<Value>,
}

#[derive(Debug)]
struct Request {
    fence: Fence,
    keys: Arc<Keys>,
    written: oneshot::Sender<()>,
}

/// The columns of a statement's rows.
#[derive(Default)]
struct Columns {
    sessions: Vec<i64>,
    epochs: Vec<i64>,
    kinds: Vec<String>,
    key_ids: Vec<String>,
    values: Vec<Value>,
    ttls: Vec<Option<f64>>,
}

impl RatchetWriter {
    /// Starts a writer. The future ends with `over`; what is asked for later is not written.
    pub fn start(db: Db, over: CancellationToken) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let run = async move {
            over.run_until_cancelled(run(db, requests)).await;
        };
        (Self(sender), run)
    }

    /// Writes keys under a fence. False when they are not known to be written.
    pub(super) async fn put(&self, fence: Fence, keys: Arc<Keys>) -> bool {
        let (written, answer) = oneshot::channel();
        self.0.send(Request { fence, keys, written }).is_ok() && answer.await.is_ok()
    }
}

async fn run(db: Db, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut next = None;
    while let Some(first) = match next.take() {
        Some(request) => Some(request),
        None => requests.recv().await,
    } {
        let (mut count, mut sessions) = (first.keys.key_ids.len(), HashSet::from([first.fence.session_id]));
        let mut together = vec![first];
        while count < MOST
            && let Ok(request) = requests.try_recv()
        {
            count += request.keys.key_ids.len();
            // Of one session only one at a time: a statement cannot write a row twice.
            if !sessions.insert(request.fence.session_id) {
                next = Some(request);
                break;
            }
            together.push(request);
        }
        match write(&db, &together).await {
            Ok(held) => {
                for request in together.into_iter().filter(|request| held.contains(&request.fence.session_id)) {
                    // Whoever asked may have gone.
                    let _ = request.written.send(());
                }
            }
            Err(error) => {
                let sessions = together.len();
                tracing::debug!(
                    code = code(&error),
                    sessions,
                    "ratchets not written together; each session writes its own"
                );
            }
        }
    }
}

/// Returns the sessions that are held under the requests' epochs, and whose keys are written.
async fn write(db: &Db, requests: &[Request]) -> sqlx::Result<HashSet<i64>> {
    let mut columns = Columns::default();
    for Request { fence, keys, .. } in requests {
        let Keys { kind, key_ids, values } = &**keys;
        columns.sessions.extend(key_ids.iter().map(|_| fence.session_id));
        columns.epochs.extend(key_ids.iter().map(|_| fence.epoch));
        columns.kinds.extend(key_ids.iter().map(|_| kind.name().to_owned()));
        columns.key_ids.extend(key_ids.iter().cloned());
        columns.values.extend(values.iter().cloned());
        columns.ttls.extend(key_ids.iter().map(|_| kind.seconds_to_live()));
    }
    let Columns { sessions, epochs, kinds, key_ids, values, ttls } = columns;
    let write = sqlx::query_file_scalar!(
        "sql/auth/put_together.sql",
        &sessions,
        &epochs,
        &kinds,
        &key_ids,
        &values,
        &ttls as &[Option<f64>]
    );
    Ok(write.fetch_one(db).await?.into_iter().collect())
}
