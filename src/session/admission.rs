//! Admits connections to WhatsApp: so many handshakes at once, and one at a time while WhatsApp is away (S4).
//!
//! A connection holds its admission from dialling to WhatsApp's answer to the login. The tenants share the handshakes by
//! the rule of [`crate::jobs::shares`], so that one whose proxies do not answer leaves some to the others (R9). While WhatsApp does not answer at
//! all, the failures are not those of the sessions: one session after the other probes, with growing pauses, and the
//! others wait here. The first answer admits them all, as fast as handshakes are admitted. Sessions with a proxy have a
//! way of their own to WhatsApp; they neither wait for the probe nor are evidence for the others.

use crate::db::backoff::Backoff;
use crate::jobs::shares::Shares;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// WhatsApp is away when so many sessions in a row could not reach it …
const MANY: usize = 2;
/// … within this time.
const RECENT: Duration = Duration::from_mins(1);
/// Pauses between probes.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(15);

/// Admits the connections of one worker. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    handshakes: Handshakes,
    inner: Arc<Inner>,
}

/// The handshakes at once, and the sessions that wait for one.
#[derive(Debug, Clone)]
struct Handshakes(Arc<Mutex<Shares<oneshot::Sender<Handshake>>>>);

/// One of the handshakes at once.
#[derive(Debug)]
struct Handshake {
    of: Handshakes,
    tenant: Arc<str>,
    session: i64,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Changes when those who wait should look again.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    /// Sessions that could not reach WhatsApp since a session last did, and when.
    failed: HashMap<i64, Instant>,
    away: bool,
    probing: bool,
    next_probe: Instant,
    pauses: Backoff,
}

/// The right to shake hands; dropping it passes it on.
#[derive(Debug)]
pub(super) struct Admission {
    _handshake: Option<Handshake>,
    _probe: Option<Probe>,
}

/// The right to try while WhatsApp is away.
#[derive(Debug)]
struct Probe(Arc<Inner>);

impl Gate {
    /// A gate for so many handshakes at once.
    pub(super) fn new(handshakes: usize) -> Self {
        let state = State {
            failed: HashMap::new(),
            away: false,
            probing: false,
            next_probe: Instant::now(),
            pauses: Backoff::new(FIRST_PROBE, LONGEST_PROBE),
        };
        let inner = Inner { state: Mutex::new(state), changed: watch::Sender::new(()) };
        let handshakes = Handshakes(Arc::new(Mutex::new(Shares::new(handshakes))));
        Self { handshakes, inner: Arc::new(inner) }
    }

    /// Waits until a session of a tenant may connect. `direct`: without a proxy. `waits`: what to do first when it has to
    /// wait because WhatsApp is away.
    pub(super) async fn admit(
        &self,
        tenant: &Arc<str>,
        session: i64,
        direct: bool,
        waits: impl AsyncFnOnce(),
    ) -> Admission {
        let probe = if direct { self.while_away(waits).await } else { None };
        Admission { _handshake: self.handshakes.begin(tenant, session).await, _probe: probe }
    }

    /// Waits while WhatsApp is away, unless it is this session's turn to probe.
    async fn while_away(&self, waits: impl AsyncFnOnce()) -> Option<Probe> {
        let mut waits = Some(waits);
        let mut changed = self.inner.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let next_probe = {
                let mut state = self.inner.lock();
                if !state.away {
                    return None;
                }
                let now = Instant::now();
                if !state.probing && state.next_probe <= now {
                    state.probing = true;
                    return Some(Probe(self.inner.clone()));
                }
                (!state.probing).then_some(state.next_probe)
            };
            if let Some(waits) = waits.take() {
                waits().await;
                continue;
            }
            let due = async {
                match next_probe {
                    Some(moment) => tokio::time::sleep_until(moment.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as this gate.
                _ = changed.changed() => {}
                () = due => {}
            }
        }
    }

    /// WhatsApp has answered a session without a proxy.
    pub(super) fn answered(&self) {
        let mut state = self.inner.lock();
        state.failed.clear();
        if std::mem::take(&mut state.away) {
            state.pauses.reset();
            drop(state);
            tracing::info!("WhatsApp answers again; the waiting sessions connect");
            self.inner.changed.send_replace(());
        }
    }

    /// A session without a proxy could not reach WhatsApp. Returns whether WhatsApp is away for all, so that this is no
    /// failure of the session.
    pub(super) fn unreachable(&self, session_id: i64) -> bool {
        let mut state = self.inner.lock();
        let now = Instant::now();
        state.failed.retain(|_, at| now.duration_since(*at) < RECENT);
        state.failed.insert(session_id, now);
        if !state.away && state.failed.len() >= MANY {
            state.away = true;
            state.next_probe = now + state.pauses.pause();
            tracing::warn!("WhatsApp cannot be reached; one session at a time probes, the others wait");
        }
        state.away
    }

    /// Whether WhatsApp is away for all sessions.
    #[cfg(test)]
    fn is_away(&self) -> bool {
        self.inner.lock().away
    }
}

impl Handshakes {
    /// Waits for the session's turn. Who stops waiting gives up the turn.
    async fn begin(&self, tenant: &Arc<str>, session: i64) -> Option<Handshake> {
        let (turn, granted) = oneshot::channel();
        self.lock().add(tenant, session, turn);
        self.fill();
        // The sender is dropped only in `fill`, which sends first.
        granted.await.ok()
    }

    /// Gives what is free to those whose turn it is.
    fn fill(&self) {
        loop {
            let Some((tenant, session, turn)) = self.lock().take_with_owner() else { return };
            if turn.is_closed() {
                self.lock().release(&tenant, session);
            } else {
                // If it has just closed, the dropped handshake goes to the next one.
                drop(turn.send(Handshake { of: self.clone(), tenant, session }));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shares<oneshot::Sender<Handshake>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.of.lock().release(&self.tenant, self.session);
        self.of.fill();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.probing = false;
        state.next_probe = Instant::now() + state.pauses.pause();
        drop(state);
        self.0.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn acme() -> Arc<str> {
        "acme".into()
    }

    #[tokio::test]
    async fn s4_so_many_handshakes_at_once_and_no_more() {
        let gate = Gate::new(2);
        let (acme, bolt, core) = (acme(), "bolt".into(), "core".into());
        let first = gate.admit(&acme, 1, true, async || {}).await;
        let _second = gate.admit(&bolt, 2, false, async || {}).await;
        let third = gate.admit(&core, 3, true, async || {});
        tokio::pin!(third);
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn r9_handshakes_that_nobody_answers_leave_some_to_another_tenant() {
        let gate = Gate::new(8);
        let acme = acme();
        let mut silent: Vec<_> =
            (1..=100).filter_map(|n| gate.admit(&acme, n, false, async || {}).now_or_never()).collect();
        assert_eq!(silent.len(), 7, "of 8");
        // Those who waited and gave up take nothing.
        let bolt = "bolt".into();
        let other = gate.admit(&bolt, 101, false, async || {}).now_or_never();
        assert!(other.is_some(), "the other tenant waits behind them");
        let next = gate.admit(&acme, 102, false, async || {});
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none());
        drop(other);
        assert!(next.as_mut().now_or_never().is_none(), "the last one is left to others");
        silent.pop();
        assert!(next.now_or_never().is_some());
    }

    #[tokio::test]
    async fn s4_one_session_probes_while_whatsapp_is_away_and_its_answer_admits_all() {
        let gate = Gate::new(8);
        assert!(!gate.unreachable(1));
        assert!(!gate.unreachable(1), "one session alone proves nothing");
        assert!(gate.unreachable(2) && gate.is_away());
        // A session with a proxy has a way of its own.
        assert!(gate.admit(&acme(), 3, false, async || {}).now_or_never().is_some());
        let probe = gate.admit(&acme(), 1, true, async || {}).await;
        let others: Vec<_> = (2..5)
            .map(|session| {
                tokio::spawn({
                    let gate = gate.clone();
                    async move { gate.admit(&acme(), session, true, async || {}).await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(others.iter().all(|other| !other.is_finished()));
        gate.answered();
        drop(probe);
        for other in others {
            assert!(other.await.is_ok());
        }
        assert!(!gate.is_away());
    }

    #[tokio::test]
    async fn s4_the_next_session_probes_when_a_probe_has_failed() {
        let gate = Gate::new(8);
        gate.unreachable(1);
        assert!(gate.unreachable(2));
        for session in 1..3 {
            let probe = gate.admit(&acme(), session, true, async || {}).await;
            assert!(gate.unreachable(session), "a probe that fails is no failure of its session");
            drop(probe);
        }
        assert!(gate.is_away());
    }
}
