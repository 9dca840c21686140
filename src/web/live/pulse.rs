//! What open streams are told besides their content: that the database does not answer, and that a token is not valid any more.
//! One statement for all streams of the process finds both.

use super::claims::Claims;
use super::{Hub, View};
use crate::web::identity::{Claim, Scope, begin};
use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

/// The time between two looks.
const REST: Duration = Duration::from_secs(2);
/// The longest time in which a database that lives answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// After so long the answer is not waited for any more: the network may have lost the connection.
const LOST: Duration = Duration::from_secs(30);

/// The rights that a claim has now; none when it is not valid.
type Rights = Option<(Scope, Option<String>)>;

impl Hub {
    /// Looks as long as streams are open.
    pub(super) async fn watch(self) {
        loop {
            tokio::time::sleep(REST).await;
            if self.answers.receiver_count() == 0 {
                continue;
            }
            let mut look = Box::pin(self.look());
            let mut looked = tokio::time::timeout(PATIENCE, &mut look).await;
            if looked.is_err() {
                self.tell(false);
                looked = tokio::time::timeout(LOST, look).await;
            }
            match &looked {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "database does not answer; open pages say so"),
                Err(_) => tracing::debug!("connection to the database given up; open pages say so"),
            }
            self.tell(matches!(looked, Ok(Ok(()))));
        }
    }

    fn tell(&self, answers: bool) {
        self.answers.send_if_modified(|before| std::mem::replace(before, answers) != answers);
    }

    /// Forgets the claims that are not valid any more, or have other rights.
    async fn look(&self) -> sqlx::Result<()> {
        let readers = self.readers();
        let claims: Vec<Claim> = readers.iter().flat_map(|(claims, ..)| claims.all()).collect();
        let (values, are_users): (Vec<String>, Vec<bool>) = claims
            .iter()
            .map(|claim| match claim {
                Claim::Secret(secret) => (secret.clone(), false),
                Claim::User(user) => (user.clone(), true),
            })
            .unzip();
        let mut tx = begin(&self.pool).await?;
        let live = sqlx::query_file!("sql/web/live_rights.sql", &values, &are_users).fetch_all(&mut tx).await?;
        tx.commit().await?;
        let mut rights: HashMap<Claim, Rights> = claims.iter().map(|claim| (claim.clone(), None)).collect();
        for row in live {
            let place = usize::try_from(row.place).ok().and_then(|place| place.checked_sub(1));
            if let (Some(claim), Some(scope)) = (place.and_then(|place| claims.get(place)), Scope::of(&row.scope)) {
                rights.insert(claim.clone(), Some((scope, row.tenant)));
            }
        }
        for (claims, scope, tenant) in readers {
            let wanted = Some((scope, tenant));
            for claim in claims.all() {
                // One that came after the statement is looked at the next time.
                if rights.get(&claim).is_some_and(|has| *has != wanted) {
                    claims.remove(&claim);
                }
            }
        }
        Ok(())
    }

    /// The claims of all streams, with the rights that each must have.
    fn readers(&self) -> Vec<(Claims, Scope, Option<String>)> {
        let views = self.views();
        let of_views = views.iter().filter_map(|(view, open)| match view {
            View::Screen { scope, tenant, .. } => Some((open.claims.clone(), *scope, tenant.clone())),
            View::Link { .. } => None,
        });
        let mut readers: Vec<_> = of_views.collect();
        drop(views);
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        readers.extend(feeds.iter().map(|((tenant, scope), feed)| (feed.claims(), *scope, tenant.clone())));
        readers
    }
}
