//! The guards of the protocol, each of which can be taken out.

/// A rule of the code that protects a promise. A model without one of them must fail: that shows that the model sees what the
/// rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Guard {
    /// A worker without a heartbeat for 0.8 of its lease closes its sockets (`GIVE_UP` in `src/session/lease.rs`).
    StopBeforeExpiry,
    /// A worker is ended only when its lease has expired (`lease_until < now()` in `sql/worker/expire_workers.sql`), or its
    /// connection is gone and no heartbeat has come since (`sql/worker/end_gone.sql`).
    ExpireBeforeTakeover,
    /// The epoch grows with each holder (`wa.next_epoch` in `sql/session/adopt.sql` and `sql/jobs/claim_session.sql`).
    EpochGrows,
    /// An outcome is accepted under the current epoch alone (`held` in `sql/jobs/record_sent.sql` and
    /// `sql/jobs/record_progress.sql`).
    EpochOnOutcome,
    /// A claim names the holder and its epoch (`held` in `sql/jobs/claim_outbound.sql`).
    EpochOnClaim,
    /// A received message is stored under the current epoch alone (`held` in `sql/messages/store_inbox.sql`).
    EpochOnInbox,
    /// After a failover, epochs start above all that were given (`first_epoch` in `wa.move_home`).
    EpochsAfterFailover,
    /// Each attempt carries the message id that the row got at INSERT (`wa.outbound_before_insert`).
    SameId,
    /// A lane has one message under way (`src/jobs/lanes.rs`).
    OneUnderWay,
    /// Nothing is claimed past a message that waits for its retry (`placed` in `sql/jobs/claim_outbound.sql`).
    RetryHoldsLane,
    /// A claim keeps what the worker has in hand in `wa.sending.taken` (`booked` in `sql/jobs/claim_outbound.sql`).
    ClaimKeepsHand,
    /// What nobody has in hand is resumed or given back (`src/session/comparison.rs`).
    Comparison,
    /// A received message is acknowledged after its commit (`InboxHook` in `src/messages/inbound.rs`).
    AcknowledgeAfterCommit,
    /// A received message is stored once (`ON CONFLICT` in `sql/messages/store_inbox.sql`).
    StoreOnce,
    /// The counter of a ratchet is stored before a key is used (the client library's reservation, `src/auth/ratchets.rs`).
    ReserveKeys,
    /// A heartbeat notices that the database failed over (`wa.home_change` in `sql/worker/heartbeat.sql`).
    HeartbeatNoticesFailover,
    /// A session whose ratchets are of an earlier home starts new ones (`wa.use_ratchets`).
    RenewRatchets,
    /// A session that was freed is adopted (`sql/session/adopt.sql`).
    Adopt,
    /// Only a worker that is registered can be the holder (`wa.lease.holder` refers to `wa.worker`).
    HolderIsRegistered,
    /// While the database has failed over and no heartbeat has noticed it, no lease is taken and no session connected
    /// (`wa.home_change` in `sql/session/adopt.sql`, `sql/jobs/claim_session.sql` and `sql/auth/creds_state.sql`).
    NothingNewAfterFailover,
    /// After a failover no lease is taken before the workers of the earlier home have stopped (`wa.auth_home.free_at`).
    WaitAfterFailover,
    /// The socket sends nothing when the worker's last heartbeat is too old, by the worker's own clock (`src/db/proof.rs`,
    /// `src/session/transport.rs`).
    SocketKnowsLease,
    /// The outcome of an attempt that is written again, because its answer was lost, counts once (`attempt` in
    /// `sql/jobs/record_progress.sql`).
    CountOnce,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::StopBeforeExpiry,
        Self::ExpireBeforeTakeover,
        Self::EpochGrows,
        Self::EpochOnOutcome,
        Self::EpochOnClaim,
        Self::EpochOnInbox,
        Self::EpochsAfterFailover,
        Self::SameId,
        Self::OneUnderWay,
        Self::RetryHoldsLane,
        Self::ClaimKeepsHand,
        Self::Comparison,
        Self::AcknowledgeAfterCommit,
        Self::StoreOnce,
        Self::ReserveKeys,
        Self::HeartbeatNoticesFailover,
        Self::RenewRatchets,
        Self::Adopt,
        Self::HolderIsRegistered,
        Self::NothingNewAfterFailover,
        Self::WaitAfterFailover,
        Self::SocketKnowsLease,
        Self::CountOnce,
    ];
}

/// The guards of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guards(u32);

impl Guards {
    /// What the product does.
    #[must_use]
    pub fn all() -> Self {
        Self(Guard::ALL.into_iter().fold(0, |bits, guard| bits | 1 << guard as u32))
    }

    /// The same without this guard.
    #[must_use]
    pub const fn without(self, guard: Guard) -> Self {
        Self(self.0 & !(1 << guard as u32))
    }

    /// Whether this guard is there.
    #[must_use]
    pub const fn has(self, guard: Guard) -> bool {
        self.0 & 1 << guard as u32 != 0
    }
}
