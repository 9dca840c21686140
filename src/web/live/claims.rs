//! Under whose rights streams of the same are open. Whoever has lost them gets nothing new.

use crate::web::identity::{Claim, Scope};
use sqlx::postgres::PgPool;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The claims of the readers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<Claim>>>);

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

    pub(super) fn remove(&self, claim: &Claim) {
        self.lock().remove(claim);
    }

    /// Forgets those that are not valid any more, or have other rights now.
    pub(super) async fn check(&self, pool: &PgPool, tenant: Option<&str>, scope: Scope) -> sqlx::Result<()> {
        let asked: Vec<Claim> = self.lock().iter().cloned().collect();
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
        let mut claims = self.lock();
        for (place, claim) in asked.iter().enumerate() {
            if !live.contains(&place) {
                claims.remove(claim);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
