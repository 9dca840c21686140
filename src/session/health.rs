//! The health check: asks WhatsApp for an answer on every connection (S9).

use super::registry::Sessions;
use crate::db::Db;
use crate::messages::connection::Connection;
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;
use wacore::iq::keepalive::KeepaliveSpec;
use wacore::iq::spec::IqSpec as _;
use whatsapp_rust::request::IqError;

/// How long WhatsApp may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How many sessions are asked at the same time.
const CHECKS: usize = 64;

/// Asks WhatsApp for an answer on every connection. A connection without an answer is made again.
pub async fn check(db: &Db, sessions: &Sessions) {
    let checks = sessions.connections().all().into_iter().map(|connection| async move {
        let span = connection.hold.span();
        (answers(sessions, &connection).instrument(span).await, connection.hold.fence)
    });
    let (mut ids, mut epochs) = (vec![], vec![]);
    let mut checks = futures::stream::iter(checks).buffer_unordered(CHECKS);
    while let Some((alive, fence)) = checks.next().await {
        if alive {
            ids.push(fence.session_id);
            epochs.push(fence.epoch);
        } else {
            sessions.dead(fence);
        }
    }
    let checked = sqlx::query_file!("sql/session/checked.sql", &ids, &epochs).execute(db).await;
    if let Err(error) = checked {
        tracing::warn!(%error, "result of the health check not written");
    }
}

async fn answers(sessions: &Sessions, connection: &Arc<Connection>) -> bool {
    let ping = KeepaliveSpec::with_timeout(ANSWER).build_iq();
    // A refusal is an answer, too.
    let answered = matches!(connection.client.send_iq(ping).await, Ok(_) | Err(IqError::ServerError { .. }));
    let ended = || {
        // The supervisor handles a connection that has ended meanwhile.
        sessions.connections().get(connection.hold.fence).is_none_or(|now| !Arc::ptr_eq(&now, connection))
    };
    (answered && connection.client.is_logged_in()) || ended()
}
