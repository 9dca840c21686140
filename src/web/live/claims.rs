//! Under whose rights streams of the same are open. Whoever has lost them gets nothing new.

use crate::web::identity::{Claim, Scope};
use sqlx::postgres::PgPool;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The claims of the readers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    valid: Mutex<HashSet<Claim>>,
    /// Sent when some are not valid any more.
    removed: watch::Sender<()>,
}

impl Claims {
    pub(super) fn add(&self, claim: Claim) {
        self.lock().insert(claim);
    }

    /// Whether this one was valid when something was last made for its readers.
    pub(super) fn has(&self, claim: &Claim) -> bool {
        self.lock().contains(claim)
    }

    /// One of them.
    pub(super) fn any(&self) -> Option<Claim> {
        self.lock().iter().next().cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Claim> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn remove(&self, claim: &Claim) {
        if self.lock().remove(claim) {
            self.0.removed.send_replace(());
        }
    }

    /// Takes all of them for lost.
    pub(super) fn end(&self) {
        self.lock().clear();
        self.0.removed.send_replace(());
    }

    /// Waits until this one is not valid any more.
    pub(super) async fn lost(&self, claim: &Claim) {
        let mut removed = self.0.removed.subscribe();
        while self.has(claim) {
            // The sender is there as long as this is.
            if removed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forgets those that are not valid any more, or have other rights now.
    pub(super) async fn check(&self, pool: &PgPool, tenant: Option<&str>, scope: Scope) -> sqlx::Result<()> {
        let asked = self.all();
        let (values, are_users): (Vec<String>, Vec<bool>) = asked
            .iter()
            .map(|claim| match claim {
                Claim::Secret(secret) => (secret.clone(), false),
                Claim::User(user) => (user.clone(), true),
            })
            .unzip();
        let mut tx = crate::web::identity::begin(pool).await?;
        let live = sqlx::query_file_scalar!("sql/web/live_claims.sql", &values, &are_users, scope.name(), tenant);
        let live = live.fetch_all(&mut tx).await?;
        tx.commit().await?;
        let live: HashSet<usize> =
            live.into_iter().filter_map(|place| usize::try_from(place).ok()?.checked_sub(1)).collect();
        for (_, claim) in asked.iter().enumerate().filter(|(place, _)| !live.contains(place)) {
            self.remove(claim);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.0.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
