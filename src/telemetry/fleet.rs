//! What the database holds for all workers, as the worker shows it that counted it last.
//!
//! One worker counts each minute (`resource_report`), and it shows its count until the next one is due. Then the series
//! are absent there, so that a scrape of all workers sees one count, or two at most while one follows the other: take the
//! `max`, not the `sum`.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a count is shown: until the next one, which may be late by some seconds.
const SHOWN: Duration = Duration::from_secs(75);

/// What a worker counted of the whole database.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// `wagres_fleet_workers`
    pub workers: f64,
    /// `wagres_fleet_sessions`, by status.
    pub sessions: Vec<(String, f64)>,
    /// `wagres_fleet_sessions_down`
    pub down: f64,
    /// `wagres_fleet_queue_messages`, by status.
    pub messages: Vec<(&'static str, f64)>,
    /// `wagres_fleet_queue_age_seconds`
    pub message_age: f64,
    /// `wagres_fleet_jobs`, by table.
    pub jobs: Vec<(&'static str, f64)>,
    /// `wagres_fleet_notification_queue_ratio`
    pub notifications: f64,
    /// `wagres_fleet_transaction_age_seconds`
    pub transaction_age: f64,
    /// `wagres_fleet_database_bytes`
    pub database_bytes: f64,
}

/// The last count of this process.
static LAST: Mutex<Option<(Instant, Fleet)>> = Mutex::new(None);

/// Shows a new count.
pub(crate) fn show(fleet: Fleet) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), fleet));
}

/// Adds the count to the metrics if it is not too old. HELP and TYPE are there in any case.
pub(super) fn render(text: &mut String) {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let shown = last.filter(|(at, _)| at.elapsed() < SHOWN).map(|(_, fleet)| fleet);
    let values = shown.map(|fleet| fleet.values()).unwrap_or_default();
    for (name, description) in super::DESCRIPTIONS.iter().filter(|(name, _)| name.starts_with("wagres_fleet_")) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {description}\n# TYPE {name} gauge");
        for (_, labels, value) in values.iter().filter(|(of, ..)| of == name) {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        text.push('\n');
    }
}

impl Fleet {
    /// Name, labels and value of each series.
    fn values(&self) -> Vec<(&'static str, String, f64)> {
        let plain = |name, value: f64| (name, String::new(), value);
        let by = |name, label: &str, of: &str, value: f64| (name, format!("{{{label}=\"{of}\"}}"), value);
        let mut values = vec![
            plain("wagres_fleet_workers", self.workers),
            plain("wagres_fleet_sessions_down", self.down),
            plain("wagres_fleet_queue_age_seconds", self.message_age),
            plain("wagres_fleet_notification_queue_ratio", self.notifications),
            plain("wagres_fleet_transaction_age_seconds", self.transaction_age),
            plain("wagres_fleet_database_bytes", self.database_bytes),
        ];
        values.extend(self.sessions.iter().map(|(of, count)| by("wagres_fleet_sessions", "status", of, *count)));
        values.extend(self.messages.iter().map(|(of, count)| by("wagres_fleet_queue_messages", "status", of, *count)));
        values.extend(self.jobs.iter().map(|(of, count)| by("wagres_fleet_jobs", "table", of, *count)));
        values
    }
}
