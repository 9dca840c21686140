//! The limit that WhatsApp may put on an account (S12): for a time the account may start no new chats, and messages to
//! such chats are refused. The session's row has the limit and its end.

use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::storable::{self, Storable};
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::sync::Notify;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::ReachoutTimelock;

/// When to ask again about a limit whose end WhatsApp did not say.
const UNKNOWN_END: Duration = Duration::from_hours(1);
/// The longest time between two questions while there is a limit.
const LONGEST: Duration = Duration::from_hours(24);
/// What a limit without a name is called.
const UNNAMED: &str = "unknown";

/// A limit as WhatsApp describes it.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    until: Option<DateTime<Utc>>,
    reason: Storable,
}

impl Limit {
    fn of(state: &ReachoutTimelock) -> Option<Self> {
        let seconds = || state.time_enforcement_ends.as_deref()?.parse().ok().filter(|seconds| *seconds > 0);
        let until = || DateTime::from_timestamp(seconds()?, 0).map(storable::time);
        let reason = || Storable::id(state.enforcement_type.as_deref().unwrap_or(UNNAMED));
        (state.is_active == Some(true)).then(|| Self { until: until(), reason: reason() })
    }
}

/// Whether a notification of WhatsApp is about this limit.
pub(super) fn concerns(operation: &str) -> bool {
    operation == "NotificationUserReachoutTimelockUpdate"
}

/// Asks WhatsApp for the limit when the connection begins, whenever `ask` is rung, and when a limit ends, and keeps it in
/// the session's row. `limited`: the row has a limit. Runs until the hold is lost; the caller ends it with the connection.
pub(super) async fn follow(hold: &Hold, client: &Client, ask: &Notify, mut limited: bool) {
    let mut known = None;
    loop {
        let answered = match client.mex().fetch_reachout_timelock().await {
            Ok(state) => {
                known = Limit::of(&state);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "WhatsApp did not say whether it limits the account");
                // The limit that is known may be over.
                known.is_some()
            }
        };
        let mut again = None;
        // Nothing is written at the many connections without a limit.
        if answered && (limited || known.is_some()) {
            let Some((now_limited, wait)) = write(hold, known.as_ref()).await else { return };
            (limited, again) = (now_limited, wait);
        }
        let end = async {
            match again {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hold.lost.cancelled() => return,
            () = ask.notified() => {}
            () = end => {}
        }
    }
}

/// Writes the limit. Returns whether there is one, and when to ask again; `None` when the hold is lost.
async fn write(hold: &Hold, limit: Option<&Limit>) -> Option<(bool, Option<Duration>)> {
    let Fence { session_id, epoch } = hold.fence;
    let (until, reason) = (limit.and_then(|limit| limit.until), limit.map(|limit| limit.reason.as_str()));
    let write = || sqlx::query_file!("sql/session/limit.sql", session_id, epoch, until, reason).fetch_one(&hold.db);
    match hold.ask(write).await {
        Ok(row) if !row.held => {
            hold.lost.cancel();
            None
        }
        Ok(row) => {
            let end = row.seconds.map_or(UNKNOWN_END, |left| Duration::try_from_secs_f64(left).unwrap_or(LONGEST));
            if row.limited {
                tracing::warn!(reason, seconds = row.seconds, "WhatsApp limits the account; it may start no new chats");
            }
            Some((row.limited, row.limited.then(|| end.min(LONGEST))))
        }
        Err(error) => {
            tracing::warn!(%error, "WhatsApp's limit on the account not written");
            Some((true, Some(UNKNOWN_END)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(active: Option<bool>, ends: Option<&str>, kind: Option<&str>) -> ReachoutTimelock {
        ReachoutTimelock {
            is_active: active,
            time_enforcement_ends: ends.map(str::to_owned),
            enforcement_type: kind.map(str::to_owned),
        }
    }

    #[test]
    fn s12_a_limit_is_read_whatever_whatsapp_leaves_out() {
        let limit = |until, reason| Some(Limit { until, reason: Storable::id(reason) });
        let at = DateTime::from_timestamp(1_770_000_000, 0);
        assert_eq!(Limit::of(&state(Some(true), Some("1770000000"), Some("DEFAULT"))), limit(at, "DEFAULT"));
        for unknown in [None, Some("0"), Some("soon"), Some("-5"), Some("99999999999999999999")] {
            assert_eq!(Limit::of(&state(Some(true), unknown, None)), limit(None, UNNAMED), "{unknown:?}");
        }
        for inactive in [None, Some(false)] {
            assert_eq!(Limit::of(&state(inactive, Some("1770000000"), Some("DEFAULT"))), None);
        }
    }
}
