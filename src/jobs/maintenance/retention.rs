//! `retention`: deletes finished rows that are older than a number of days (Q12).
//!
//! Tables with a growing id are walked in its order, page by page, along an index that they have anyway. The walk ends
//! at the first page without an old row: later ids were made later. A row's age counts from its end, by the database's
//! clock; queued and running rows stay, however old. Other tables have an index by age, and their oldest rows go first.
//! `leftovers` has what is no row by age: consumers that nobody reads for, and files of the media store.

use super::{Batches, sql};
use crate::db::Db;
use crate::jobs::JobError;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Days to keep the rows of each table; `None` keeps them for ever.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct RetentionDays {
    outbound_days: Option<i32>,
    inbox_days: Option<i32>,
    media_days: Option<i32>,
    upload_days: Option<i32>,
    event_days: Option<i32>,
    session_job_days: Option<i32>,
    maintenance_job_days: Option<i32>,
    schedule_tick_days: Option<i32>,
    contacted_days: Option<i32>,
    past_days: Option<i32>,
    campaign_days: Option<i32>,
    numbers_days: Option<i32>,
    minute_numbers_days: Option<i32>,
    delivery_days: Option<i32>,
    dead_delivery_days: Option<i32>,
    webhook_numbers_days: Option<i32>,
    company_days: Option<i32>,
    /// How long a consumer may claim nothing.
    pub(super) unread_days: Option<i32>,
    /// Most messages that a consumer may have to read.
    pub(super) unread_rows: Option<i64>,
    /// How long a file of the media store stays after its row.
    pub(super) file_days: Option<i32>,
    /// Only count.
    pub(super) dry_run: bool,
}

impl Default for RetentionDays {
    fn default() -> Self {
        Self {
            outbound_days: Some(90),
            inbox_days: Some(90),
            media_days: Some(90),
            upload_days: Some(90),
            event_days: Some(90),
            session_job_days: Some(30),
            maintenance_job_days: Some(30),
            schedule_tick_days: Some(30),
            contacted_days: Some(365),
            past_days: Some(365),
            campaign_days: Some(90),
            numbers_days: Some(400),
            minute_numbers_days: Some(2),
            delivery_days: Some(3),
            dead_delivery_days: Some(30),
            webhook_numbers_days: Some(90),
            company_days: Some(365),
            unread_days: Some(30),
            unread_rows: Some(1_000_000),
            file_days: Some(1),
            dry_run: false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Outbound,
    Inbox,
    Media,
    Upload,
    Event,
    SessionJob,
    MaintenanceJob,
    ScheduleTick,
    Contacted,
    Past,
    Campaign,
    Numbers,
    MinuteNumbers,
    LostOutbound,
    LostNumbers,
    Delivery,
    DeadDelivery,
    LostDelivery,
    WebhookNumbers,
    Company,
}

/// The result of one page.
#[derive(Debug, Clone, Copy)]
pub struct DeletedPage {
    /// Rows deleted, or counted in a dry run.
    pub count: i64,
    /// The id after which the next page begins; `None` ends the walk.
    pub next: Option<i64>,
}

/// Which of the ended messages to delete.
#[derive(Debug, Clone, Default)]
pub struct EndedMessages {
    /// Those that ended longer ago than this.
    pub days: f64,
    /// Only count.
    pub dry_run: bool,
    /// Only those of this session.
    pub session: Option<String>,
    /// Only those with this status.
    pub status: Option<String>,
}

impl EndedMessages {
    /// Deletes them from one page of `limit` messages after id `after`.
    pub async fn page(&self, pool: &Db, after: i64, limit: i64) -> sqlx::Result<DeletedPage> {
        let Self { days, dry_run, session, status } = self;
        let row = sqlx::query_file!(
            "sql/retention/outbound.sql",
            after,
            limit,
            days,
            dry_run,
            session.as_deref(),
            status.as_deref()
        )
        .fetch_one(pool)
        .await?;
        Ok(DeletedPage { count: row.count, next: row.last.filter(|_| row.go_on) })
    }
}

pub(super) async fn run(batches: &Batches<'_>, ages: &RetentionDays) -> Result<Map<String, Value>, JobError> {
    let mut counts = Map::from_iter([("dry_run".to_owned(), Value::from(ages.dry_run))]);
    for (table, days) in [
        (Table::Outbound, ages.outbound_days),
        (Table::Inbox, ages.inbox_days),
        (Table::Media, ages.media_days),
        (Table::Upload, ages.upload_days),
        (Table::Event, ages.event_days),
        (Table::SessionJob, ages.session_job_days),
        (Table::MaintenanceJob, ages.maintenance_job_days),
        (Table::ScheduleTick, ages.schedule_tick_days),
        (Table::Contacted, ages.contacted_days),
        (Table::Past, ages.past_days),
        (Table::Campaign, ages.campaign_days),
        (Table::Numbers, ages.numbers_days),
        (Table::MinuteNumbers, ages.minute_numbers_days),
        // Of sessions that were deleted, at any age; and of webhooks below.
        (Table::LostOutbound, Some(0)),
        (Table::LostNumbers, Some(0)),
        (Table::Delivery, ages.delivery_days),
        (Table::DeadDelivery, ages.dead_delivery_days),
        (Table::LostDelivery, Some(0)),
        (Table::WebhookNumbers, ages.webhook_numbers_days),
        (Table::Company, ages.company_days),
    ] {
        let Some(days) = days else { continue };
        let (mut total, mut after) = (0, 0);
        loop {
            let page = page(batches, table, after, days, ages.dry_run).await.map_err(sql)?;
            total += page.count;
            counts.insert(table.name().to_owned(), total.into());
            let Some(next) = page.next else { break };
            after = next;
            batches.rest(&Value::Object(counts.clone())).await?;
        }
    }
    Ok(counts)
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbox => "inbox",
            Self::Media => "media",
            Self::Upload => "upload",
            Self::Event => "event",
            Self::SessionJob => "session_job",
            Self::MaintenanceJob => "maintenance_job",
            Self::ScheduleTick => "schedule_tick",
            Self::Contacted => "contacted",
            Self::Past => "past",
            Self::Campaign => "campaign",
            Self::Numbers => "numbers",
            Self::MinuteNumbers => "minute_numbers",
            Self::LostOutbound => "lost_outbound",
            Self::LostNumbers => "lost_numbers",
            Self::Delivery => "delivery",
            Self::DeadDelivery => "dead_delivery",
            Self::LostDelivery => "lost_delivery",
            Self::WebhookNumbers => "webhook_numbers",
            Self::Company => "company",
        }
    }
}

async fn page(batches: &Batches<'_>, table: Table, after: i64, days: i32, dry_run: bool) -> sqlx::Result<DeletedPage> {
    let (pool, limit) = (batches.pool(), batches.pace.batch);
    macro_rules! walk {
        ($file:literal) => {{
            let row = sqlx::query_file!($file, after, limit, days, dry_run).fetch_one(pool).await?;
            DeletedPage { count: row.count, next: row.last.filter(|_| row.go_on) }
        }};
    }
    macro_rules! oldest {
        ($file:literal) => {{
            let count = sqlx::query_file_scalar!($file, limit, days, dry_run).fetch_one(pool).await?;
            DeletedPage { count, next: (!dry_run && count == limit).then_some(0) }
        }};
    }
    macro_rules! lost {
        ($file:literal) => {{
            let count = sqlx::query_file_scalar!($file, limit, dry_run).fetch_one(pool).await?;
            DeletedPage { count, next: (!dry_run && count == limit).then_some(0) }
        }};
    }
    Ok(match table {
        Table::Outbound => {
            let messages = EndedMessages { days: days.into(), dry_run, ..EndedMessages::default() };
            messages.page(pool, after, limit).await?
        }
        Table::Inbox => walk!("sql/retention/inbox.sql"),
        Table::Media => walk!("sql/retention/media.sql"),
        Table::Upload => walk!("sql/retention/upload.sql"),
        Table::Event => walk!("sql/retention/event.sql"),
        Table::SessionJob => walk!("sql/retention/session_job.sql"),
        Table::MaintenanceJob => walk!("sql/retention/maintenance_job.sql"),
        Table::Contacted => oldest!("sql/retention/contacted.sql"),
        Table::Past => oldest!("sql/retention/past.sql"),
        Table::Campaign => oldest!("sql/retention/campaign.sql"),
        Table::Numbers => oldest!("sql/retention/numbers.sql"),
        Table::MinuteNumbers => oldest!("sql/retention/minute_numbers.sql"),
        Table::LostOutbound => lost!("sql/retention/lost_outbound.sql"),
        Table::LostNumbers => lost!("sql/retention/lost_numbers.sql"),
        Table::Delivery => walk!("sql/retention/delivery.sql"),
        Table::DeadDelivery => walk!("sql/retention/dead_delivery.sql"),
        Table::LostDelivery => lost!("sql/retention/lost_delivery.sql"),
        Table::WebhookNumbers => oldest!("sql/retention/webhook_numbers.sql"),
        Table::Company => {
            // Of three tables.
            let rows = sqlx::query_file_scalar!("sql/retention/company.sql", limit, days, dry_run);
            let count = rows.fetch_one(pool).await?;
            DeletedPage { count, next: (!dry_run && count >= limit).then_some(0) }
        }
        Table::ScheduleTick if dry_run => {
            let count = sqlx::query_file_scalar!("sql/retention/count_schedule_tick.sql", days).fetch_one(pool).await?;
            DeletedPage { count, next: None }
        }
        Table::ScheduleTick => {
            let done = sqlx::query_file!("sql/retention/schedule_tick.sql", limit, days).execute(pool).await?;
            let count = i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
            DeletedPage { count, next: (count == limit).then_some(0) }
        }
    })
}
