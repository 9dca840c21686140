//! The series of a worker's counters whose labels the parts of a worker know: each begins at 0.

use crate::auth::Kind;
use crate::db::quarantine::Source;
use crate::jobs::change::{Attempt, Reached};
use crate::jobs::failure::FailureClass;
use crate::jobs::maintenance::MaintenanceKind;
use crate::jobs::session_work;
use crate::session::ending::ENDS;
use crate::telemetry::exists;
use crate::webhooks::record;

/// Begins them.
pub(super) fn begin() {
    let ends: Vec<_> = ENDS.iter().map(|why| why.shown().name).collect();
    exists("wagres_connections_ended_total", &[("end", &ends)]);
    let outcomes = [
        Reached::Sent.name(),
        Attempt::Release.name(),
        Attempt::Retry.name(),
        Attempt::Expired.name(),
        Attempt::Failed.name(),
    ];
    exists("wagres_messages_total", &[("outcome", &outcomes)]);
    exists("wagres_messages_failed_total", &[("class", &FailureClass::ALL.map(FailureClass::name))]);
    let receipts = [Reached::Delivered, Reached::Read, Reached::Played].map(Reached::name);
    exists("wagres_receipts_total", &[("kind", &receipts)]);
    exists("wagres_quarantined_total", &[("source", &Source::ALL.map(Source::name))]);
    let statuses = ["done", "queued", "failed"];
    exists("wagres_session_jobs_total", &[("kind", session_work::KINDS), ("status", &statuses)]);
    let (kinds, ended) = (MaintenanceKind::ALL.map(MaintenanceKind::name), ["done", "retry", "release", "failed"]);
    exists("wagres_maintenance_jobs_total", &[("kind", &kinds), ("outcome", &ended)]);
    let keys = Kind::ALL.map(Kind::name);
    exists("wagres_keys_swept_total", &[("kind", &keys)]);
    exists("wagres_keys_quarantined_total", &[("kind", &keys)]);
    exists("wagres_webhook_deliveries_total", &[("outcome", &record::LABELS)]);
}
