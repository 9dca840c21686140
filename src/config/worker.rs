//! The worker's settings (`[worker]`, `WAGRES_WORKER__…`).

use super::ConfigError;
use super::allowed::{self, Allowed};
use super::limits::within;
use serde::{Deserialize, Serialize};

/// The worker's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Length of a worker's lease, in seconds. A worker whose heartbeats stop for this long is dead, and its sessions
    /// go to the others.
    pub lease_seconds: u32,
    /// Pause between polls for work without a wake-up, in milliseconds; jittered by a quarter.
    pub poll_ms: u32,
    /// Messages that are sent at once, over all sessions. Tenants share these places: one alone gets seven eighths of
    /// them. Files of messages are uploaded before, in places of their own.
    pub outbound_concurrency: usize,
    /// Memory of the messages that the worker has claimed and not finished, in bytes. Tenants share it in the same way.
    pub in_hand_bytes: usize,
    /// Jobs that link, connect and close sessions, at once; a logout that waits for its login does not count. As many actions
    /// run beside them, and three quarters as many downloads, 16 at most. Tenants share each in the same way.
    pub session_concurrency: usize,
    /// Connections that dial or log in at once. Tenants share them in the same way.
    pub max_handshakes: usize,
    /// Time to wait for the server's ack of a message before the worker sends it again under the same id, in seconds.
    pub ack_timeout_seconds: u32,
    /// Time that a stop waits for messages in hand, in seconds.
    pub drain_seconds: u32,
    /// Database connections of the pool. Claims, outcomes, ratchets, heartbeat and listener have one more each.
    pub connections: u32,
    /// Most sessions that this worker holds.
    pub max_sessions: u32,
    /// Proxies in private networks and on this machine that `wa.set_proxy` may name: hosts such as `proxy.internal`,
    /// addresses, and networks such as `10.0.0.0/8`.
    pub proxy_allow: Vec<Allowed>,
    /// Interval of the log line about memory, processor and sessions, in seconds.
    pub report_seconds: u32,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            lease_seconds: 15,
            poll_ms: 1000,
            outbound_concurrency: 256,
            in_hand_bytes: 64 << 20,
            session_concurrency: 16,
            max_handshakes: 32,
            ack_timeout_seconds: 20,
            drain_seconds: 10,
            connections: 16,
            max_sessions: 1000,
            proxy_allow: vec![],
            report_seconds: 60,
        }
    }
}

impl WorkerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("worker.lease_seconds", &self.lease_seconds, &(3..=600), "seconds")?;
        within("worker.poll_ms", &self.poll_ms, &(50..=60_000), "milliseconds")?;
        within("worker.outbound_concurrency", &self.outbound_concurrency, &(1..=10_000), "messages")?;
        within("worker.in_hand_bytes", &self.in_hand_bytes, &(1 << 20..=1 << 40), "bytes")?;
        within("worker.session_concurrency", &self.session_concurrency, &(1..=1000), "jobs")?;
        within("worker.max_handshakes", &self.max_handshakes, &(1..=10_000), "connections")?;
        within("worker.ack_timeout_seconds", &self.ack_timeout_seconds, &(1..=600), "seconds")?;
        within("worker.drain_seconds", &self.drain_seconds, &(0..=600), "seconds")?;
        within("worker.connections", &self.connections, &(2..=1000), "connections")?;
        within("worker.max_sessions", &self.max_sessions, &(1..=100_000), "sessions")?;
        within("worker.report_seconds", &self.report_seconds, &(1..=86_400), "seconds")?;
        allowed::check("worker.proxy_allow", &self.proxy_allow)
    }
}
