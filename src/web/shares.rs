//! What one may have at a time of what all share: so many for each key, and so many in all.

use super::identity::Identity;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long somebody waits for a turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts what is taken. Clones share it.
#[derive(Debug)]
pub(super) struct Shares<K> {
    each: usize,
    all: usize,
    taken: Arc<Mutex<Taken<K>>>,
    /// One has come back.
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Taken<K> {
    count: usize,
    by_key: HashMap<K, usize>,
}

/// Who reads: a tenant, with all its tokens; a token that sees all tenants; all live views of such tokens, which they share; or
/// the pages of links, whoever looks at them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Reader {
    Tenant(String),
    Token(String),
    Views,
    Links,
}

impl Reader {
    pub(super) fn of(who: &Identity) -> Self {
        who.tenant.clone().map_or_else(|| Self::Token(who.name.clone()), Self::Tenant)
    }
}

/// One that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Share<K: Eq + Hash> {
    key: K,
    taken: Arc<Mutex<Taken<K>>>,
    freed: Arc<Notify>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// At most `each` for a key, and `all` together.
    pub(super) fn new(each: usize, all: usize) -> Self {
        let taken = Arc::new(Mutex::new(Taken { count: 0, by_key: HashMap::new() }));
        Self { each, all, taken, freed: Arc::default() }
    }

    /// Takes one, if there is one left.
    pub(super) fn take(&self, key: K) -> Option<Share<K>> {
        self.take_of(self.each, key)
    }

    /// Takes one as soon as there is one left, or none after a while. Whoever waits has no connection to the database.
    pub(super) async fn wait(&self, key: K) -> Option<Share<K>> {
        self.wait_for(key, PATIENCE).await
    }

    async fn wait_for(&self, key: K, most: Duration) -> Option<Share<K>> {
        let turn = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                // What comes back from now on is not missed.
                freed.as_mut().enable();
                match self.take(key.clone()) {
                    Some(share) => return share,
                    None => freed.await,
                }
            }
        };
        timeout(most, turn).await.ok()
    }

    /// Takes one for a key that may have all.
    pub(super) fn take_any(&self, key: K) -> Option<Share<K>> {
        self.take_of(self.all, key)
    }

    fn take_of(&self, each: usize, key: K) -> Option<Share<K>> {
        let mut taken = lock(&self.taken);
        let mine = taken.by_key.get(&key).copied().unwrap_or_default();
        if mine >= each || taken.count >= self.all {
            return None;
        }
        taken.count += 1;
        taken.by_key.insert(key.clone(), mine + 1);
        Some(Share { key, taken: self.taken.clone(), freed: self.freed.clone() })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.count -= 1;
        if let Some(mine) = taken.by_key.get_mut(&self.key) {
            *mine -= 1;
            if *mine == 0 {
                taken.by_key.remove(&self.key);
            }
        }
        drop(taken);
        self.freed.notify_waiters();
    }
}

fn lock<K>(taken: &Mutex<Taken<K>>) -> MutexGuard<'_, Taken<K>> {
    // A panic elsewhere leaves at worst one too many taken.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h2_h6_whoever_waits_for_a_share_gets_one_that_comes_back_or_none_after_a_while() {
        let shares = Shares::new(1, 2);
        let first = shares.take("a");
        assert!(shares.wait("b").await.is_some());
        assert!(shares.wait_for("a", Duration::from_millis(20)).await.is_none());
        let second = shares.wait("b").await;
        assert!(second.is_some() && shares.wait_for("c", Duration::from_millis(20)).await.is_none());
        let turn = async |key| {
            let share = shares.wait(key).await;
            tokio::task::yield_now().await;
            share.is_some()
        };
        let freed = async { drop((first, second)) };
        let got = tokio::join!(turn("a"), turn("a"), turn("b"), turn("c"), turn("c"), freed);
        assert_eq!(got, (true, true, true, true, true, ()));
    }

    #[test]
    fn h2_shares_are_bounded_by_key_and_in_all_and_come_back() {
        let shares = Shares::new(2, 3);
        let (a, b) = (shares.take("a"), shares.take("a"));
        assert!(a.is_some() && b.is_some() && shares.take("a").is_none());
        let c = shares.take("b");
        assert!(c.is_some() && shares.take("c").is_none());
        drop(a);
        assert!(shares.take_any("b").is_some());
        assert!(shares.take("a").is_some());
        drop((b, c));
        assert!(shares.taken.lock().is_ok_and(|taken| taken.by_key.is_empty() && taken.count == 0));
    }
}
