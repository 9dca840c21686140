//! The rows of the companies that pages are open for: read in one statement for all of them, when a notification says that
//! a session has changed, and after a moment without one.
//!
//! The rows decide, and not this process. While a page of a company is open here, its row in `wa.company_watch` is renewed.
//! When all pages have gone, or the web process with them, the row expires, and any process closes the company's session if
//! it is not linked (`wa.close_unwatched`). So a page that continues at another web process keeps its linking.

use crate::web::identity::begin;
use crate::web::live::Hub;
use crate::web::marketplace::Company;
use sqlx::postgres::PgPool;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The shortest time between two readings: somebody holds a phone in front of the page.
const REST: Duration = Duration::from_millis(250);
/// The longest, for what no notification announces.
const TICK: Duration = Duration::from_secs(2);
/// The pause while the database does not answer. Pages are told that it is tried again after this time.
pub(super) const AWAY: Duration = Duration::from_secs(5);

/// What the database says of a company and its session.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) company_id: i64,
    pub(super) session: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    /// Whether workers should link or connect it.
    pub(super) is_wanted: bool,
    pub(super) phone: Option<String>,
    /// The number that a pairing code was asked for.
    pub(super) link_phone: Option<String>,
    pub(super) qr: Option<String>,
    /// For how long the QR code was valid when the row was read.
    pub(super) qr_seconds: Option<f64>,
    pub(super) code: Option<String>,
    pub(super) code_seconds: Option<f64>,
    /// The last job of the kind `link`.
    pub(super) job: Option<i64>,
    pub(super) job_status: Option<String>,
    pub(super) job_error: Option<String>,
    /// How the last connection ended, if nobody wants another one; see `wa.event`.
    pub(super) end: Option<String>,
    /// Which reading of this process the row is from.
    pub(super) reading: u64,
}

impl Row {
    /// Whether they say the same. What is left of a validity differs in each reading.
    fn says(&self, other: &Self) -> bool {
        let session = |row: &Self| (row.session.clone(), row.status.clone(), row.reason.clone(), row.is_wanted);
        let phone = |row: &Self| (row.phone.clone(), row.link_phone.clone());
        let codes = |row: &Self| (row.qr.clone(), row.code.clone());
        let job = |row: &Self| (row.job, row.job_status.clone(), row.job_error.clone(), row.end.clone());
        session(self) == session(other)
            && phone(self) == phone(other)
            && codes(self) == codes(other)
            && job(self) == job(other)
    }
}

/// What is known of a company.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// Not read yet.
    Nothing,
    Row(Arc<Row>, Instant),
    /// There is no such company.
    Missing,
    /// The database does not answer.
    Away,
}

impl Seen {
    fn says(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Row(one, _), Self::Row(other, _)) => one.says(other),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

/// A company that pages are open for.
struct Open {
    seen: watch::Sender<Seen>,
    /// Whether its row in `wa.company_watch` has been written.
    is_watched: bool,
}

/// All of this process. Clones share it.
#[derive(Clone)]
pub(super) struct Board(Arc<Shared>);

struct Shared {
    pool: PgPool,
    companies: Mutex<HashMap<Company, Open>>,
    /// Somebody waits for a reading.
    poked: Notify,
    /// Readings that have begun.
    readings: AtomicU64,
    /// How long a company counts as watched after the last renewal.
    hold: Duration,
}

impl Board {
    pub(super) fn new(pool: PgPool, hold: Duration) -> Self {
        Self(Arc::new(Shared {
            pool,
            companies: Mutex::default(),
            poked: Notify::new(),
            readings: AtomicU64::new(0),
            hold,
        }))
    }

    /// What is known of this company, from now on.
    pub(super) fn watch(&self, company: Company) -> watch::Receiver<Seen> {
        let mut companies = self.companies();
        let open = companies
            .entry(company)
            .or_insert_with(|| Open { seen: watch::Sender::new(Seen::Nothing), is_watched: false });
        let seen = open.seen.subscribe();
        drop(companies);
        self.0.poked.notify_one();
        seen
    }

    /// Asks for a reading soon; returns the number of the last one that has begun.
    pub(super) fn poke(&self) -> u64 {
        self.0.poked.notify_one();
        self.0.readings.load(Ordering::SeqCst)
    }

    fn companies(&self) -> MutexGuard<'_, HashMap<Company, Open>> {
        self.0.companies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until the process stops.
    pub(super) async fn keep(self, hub: Hub) {
        let mut changed = hub.sessions();
        let period = self.0.hold / 3;
        let mut renewed = None::<Instant>;
        // After a start and an outage the other processes first renew what their pages watch.
        let mut sweeps = Instant::now() + self.0.hold;
        loop {
            let begun = Instant::now();
            let mut rest = REST;
            let (pages, has_new) = self.open();
            if !pages.is_empty() {
                let renews = has_new || renewed.is_none_or(|last| begun - last >= period);
                match self.read(&pages, renews).await {
                    Ok(()) if renews => renewed = Some(begun),
                    Ok(()) => {}
                    Err(error) => {
                        tracing::warn!(%error, "companies of open pages not read; retrying");
                        self.all_are(&pages, &Seen::Away);
                        (rest, sweeps) = (AWAY, begun + AWAY + self.0.hold);
                    }
                }
            }
            if sweeps <= begun {
                sweeps = begun + period;
                if let Err(error) = self.sweep().await {
                    tracing::debug!(%error, "sessions without a page not closed; retrying");
                    sweeps = begun + self.0.hold;
                }
            }
            let longest = if pages.is_empty() { period } else { TICK.min(period) };
            let woken = async {
                tokio::select! {
                    () = self.0.poked.notified() => {}
                    () = changed.next(), if !pages.is_empty() => {}
                }
            };
            let _ = tokio::time::timeout(longest, woken).await;
            tokio::time::sleep_until(begun + rest).await;
        }
    }

    /// The companies that pages are open for, and whether one of them is new.
    fn open(&self) -> (Vec<Company>, bool) {
        let mut companies = self.companies();
        companies.retain(|_, open| open.seen.receiver_count() > 0);
        let has_new = companies.values().any(|open| !open.is_watched);
        (companies.keys().copied().collect(), has_new)
    }

    async fn read(&self, pages: &[Company], renews: bool) -> sqlx::Result<()> {
        let reading = self.0.readings.fetch_add(1, Ordering::SeqCst) + 1;
        let hold = renews.then(|| self.0.hold.as_secs_f64());
        let mut tx = begin(&self.0.pool).await?;
        let (ids, salons): (Vec<i64>, Vec<i64>) = pages.iter().map(|page| (page.id, page.salon_id)).unzip();
        let rows = sqlx::query_file!("sql/web/company_pages.sql", &ids, &salons, hold).fetch_all(&mut tx).await?;
        tx.commit().await?;
        let at = Instant::now();
        let mut companies = self.companies();
        let mut missing: Vec<Company> = pages.to_owned();
        for row in rows {
            let company = Company { id: row.company_id, salon_id: row.salon_id };
            missing.retain(|page| *page != company);
            let Some(open) = companies.get_mut(&company) else { continue };
            open.is_watched |= renews;
            let row = Row {
                company_id: row.company_id,
                session: row.session,
                status: row.status,
                reason: row.status_reason,
                is_wanted: row.is_wanted,
                phone: row.phone,
                link_phone: row.link_phone,
                qr: row.qr,
                qr_seconds: row.qr_seconds,
                code: row.code,
                code_seconds: row.code_seconds,
                job: row.job_id,
                job_status: row.job_status,
                job_error: row.job_error,
                end: row.connection_end,
                reading,
            };
            tell(&open.seen, Seen::Row(Arc::new(row), at));
        }
        drop(companies);
        self.all_are(&missing, &Seen::Missing);
        Ok(())
    }

    fn all_are(&self, pages: &[Company], seen: &Seen) {
        let companies = self.companies();
        for open in pages.iter().filter_map(|page| companies.get(page)) {
            tell(&open.seen, seen.clone());
        }
    }

    async fn sweep(&self) -> sqlx::Result<()> {
        let mut tx = begin(&self.0.pool).await?;
        let closed = sqlx::query_scalar!(r#"SELECT wa.close_unwatched() AS "closed!""#).fetch_one(&mut tx).await?;
        tx.commit().await?;
        if closed > 0 {
            tracing::info!(closed, "sessions closed that are not linked and have no page");
        }
        Ok(())
    }

    /// Begins to link the company's session, or continues; with a number also for a pairing code. Returns the number of the
    /// last reading that had begun when that was done.
    pub(super) async fn link(&self, company: Company, phone: Option<&str>) -> sqlx::Result<u64> {
        let mut tx = begin(&self.0.pool).await?;
        sqlx::query_scalar!("SELECT wa.company_page_link($1, $2, $3)", company.id, company.salon_id, phone)
            .fetch_one(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(self.poke())
    }
}

fn tell(sender: &watch::Sender<Seen>, seen: Seen) {
    sender.send_if_modified(|before| {
        let is_new = !before.says(&seen);
        if is_new {
            *before = seen;
        }
        is_new
    });
}
