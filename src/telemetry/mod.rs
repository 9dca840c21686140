//! Metrics, for `GET /metrics`.
//!
//! Counters belong to the process and start at 0 with it; what must outlive a process is in rows. Labels have few
//! values: never a session, a number or an id. The client library's metrics (`wa_…`, about connections, retries and
//! decryption) go through the same recorder. The next metric: a function here with its name, its line in
//! [`DESCRIPTIONS`], and its first value, which is 0: in [`install`], or with `exists` where its labels are known.

pub mod crypto;
mod fleet;
pub mod log;
mod usage;

use chrono::{DateTime, Utc};
use crypto::{BadMacRecorder, CryptoError};
use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;

pub use fleet::Fleet;
pub(crate) use fleet::show as fleet;
pub use usage::Usage;

/// Name and description. A name that ends in `_total` is a counter, one in `_seconds` a histogram unless it is an age;
/// the others are gauges. What has a unit says it at the end of its name, before `_total`: seconds, bytes or ratio.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    ("wagres_sessions_held", "Sessions that this worker holds."),
    ("wagres_sessions_connected", "Sessions that are logged in."),
    ("wagres_connections_total", "Connections that logged in."),
    ("wagres_connections_ended_total", "Connections that ended without a request, by cause."),
    ("wagres_reconnects_failed_total", "Reconnects that never logged in."),
    ("wagres_qr_codes_total", "QR codes shown."),
    ("wagres_pairing_codes_total", "Pairing codes shown."),
    ("wagres_links_total", "Devices linked."),
    ("wagres_messages_in_hand", "Messages in hand: under way, or waiting for their turn."),
    ("wagres_messages_in_hand_bytes", "Memory of the messages in hand; worker.in_hand_bytes is its limit."),
    ("wagres_messages_total", "Attempts to send a message, by outcome."),
    ("wagres_message_seconds", "Time from the start of an attempt to WhatsApp's ack."),
    ("wagres_messages_failed_total", "Messages that failed, by class of the failure, see wa.failure_classes()."),
    ("wagres_messages_received_total", "Messages stored in wa.inbox."),
    ("wagres_receipts_total", "Receipts for sent messages, by kind."),
    (
        "wagres_progress_age_seconds",
        "How long the oldest outcome or receipt that is not written yet has waited; 0 when none waits.",
    ),
    ("wagres_quarantined_total", "Items that the database refused and that went to wa.quarantine, by source."),
    ("wagres_session_jobs_total", "Session jobs that ended, by kind and status."),
    ("wagres_maintenance_jobs_total", "Runs of maintenance jobs that ended, by kind and outcome."),
    ("wagres_keys_swept_total", "Expired keys that this worker deleted, by kind."),
    ("wagres_keys_quarantined_total", "Keys that could not be read and went to the quarantine, by kind."),
    (
        "wagres_crypto_errors_total",
        "Decryption failures of messages (bad_mac) and of app state (bad_decrypt), by error.",
    ),
    ("wagres_leases_lost_total", "Times that this worker lost its sessions because no heartbeat succeeded in time."),
    ("wagres_log_lines_total", "Errors and warnings in the log, by level."),
    ("wagres_webhooks_held", "Webhooks that this worker delivers for."),
    ("wagres_webhook_deliveries_total", "Attempts to deliver an event to a webhook, by outcome."),
    ("wagres_webhook_request_seconds", "Time from the start of a request to a webhook to the end of its answer."),
    ("wagres_partner_request_seconds", "Time of a request to the partner's API, by outcome: answered or failed."),
    (
        "marketplace_http_request_duration_seconds",
        "Time from a request of the marketplace's routes to its answer, by method, route and status.",
    ),
    (
        "marketplace_whatsapp_connections",
        "Companies of the marketplace, by the status of their session. Each web process counts all of them: take the `max` over processes, not the `sum`.",
    ),
    (
        "marketplace_qr_generations_total",
        "QR codes that front ends of the marketplace were given, over Socket.IO or HTTP; each once in a web process.",
    ),
    ("wagres_fleet_workers", "Live workers."),
    ("wagres_fleet_sessions", "Sessions, by status."),
    ("wagres_fleet_sessions_down", "Sessions that should be connected and are not."),
    ("wagres_fleet_queue_messages", "Messages that wait (queued) or are under way for long (sending), by status."),
    (
        "wagres_fleet_queue_age_seconds",
        "Age of the oldest message in the queue that is neither scheduled nor held; 0 when there is none.",
    ),
    ("wagres_fleet_jobs", "Jobs that wait or run, by table."),
    ("wagres_fleet_notification_queue_ratio", "Share of the server's queue of notifications in use, 0 to 1."),
    (
        "wagres_fleet_transaction_age_seconds",
        "Age of the oldest open transaction on the server, of those that the worker's role may see; 0 when there is none.",
    ),
    ("wagres_fleet_database_bytes", "Size of the database."),
    ("process_resident_memory_bytes", "Memory in use."),
    ("process_open_fds", "Open file descriptors."),
    ("process_cpu_seconds_total", "Processor time used, user and system."),
];

/// Upper bounds of the histogram buckets, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The clock of this machine, for people who read it and to compare it with the database's. Never for decisions: only the
/// database's clock is the same for all workers.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// Installs the recorder, once in a process. `None` when another one is installed, which then gets all metrics.
pub fn install() -> Option<&'static PrometheusHandle> {
    static INSTALLED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        // Only an empty list of buckets is refused.
        let recorder = PrometheusBuilder::new().set_buckets(BUCKETS).unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(BadMacRecorder(recorder)).ok()?;
        for (name, end) in DESCRIPTIONS {
            match name {
                name if name.ends_with("_total") => metrics::describe_counter!(*name, *end),
                name if name.ends_with("_seconds") && !name.ends_with("_age_seconds") => {
                    metrics::describe_histogram!(*name, *end);
                }
                name => metrics::describe_gauge!(*name, *end),
            }
        }
        wacore::telemetry::describe();
        begin();
        Some(handle)
    });
    installed.as_ref()
}

/// Begins at 0 what has no labels, or labels that this module knows.
fn begin() {
    for name in [
        "wagres_connections_total",
        "wagres_reconnects_failed_total",
        "wagres_qr_codes_total",
        "wagres_pairing_codes_total",
        "wagres_links_total",
        "wagres_messages_received_total",
        "wagres_leases_lost_total",
        "marketplace_qr_generations_total",
    ] {
        exists(name, &[]);
    }
    exists("wagres_crypto_errors_total", &[("error", &[CryptoError::BadMac.name(), CryptoError::BadDecrypt.name()])]);
    exists("wagres_log_lines_total", &[("level", &["error", "warn"])]);
    gauge!("wagres_webhooks_held").set(0);
    drop(histogram!("wagres_message_seconds"));
    drop(histogram!("wagres_webhook_request_seconds"));
    for outcome in ["answered", "failed"] {
        drop(histogram!("wagres_partner_request_seconds", "outcome" => outcome));
    }
}

/// Begins a counter at 0 for all values of its labels, so that its first event is an increase and not a new series.
pub(crate) fn exists(name: &'static str, labels: &[(&'static str, &[&'static str])]) {
    let mut series: Vec<Vec<Label>> = vec![vec![]];
    for (label, values) in labels {
        let with = |labels: &Vec<Label>, value| {
            let mut labels = labels.clone();
            labels.push(Label::from_static_parts(label, value));
            labels
        };
        series = series.iter().flat_map(|labels| values.iter().map(|value| with(labels, value))).collect();
    }
    for labels in series {
        counter!(name, labels).increment(0);
    }
}

/// An attempt to send a message ended.
pub(crate) fn message(outcome: &'static str, duration: Option<Duration>) {
    counter!("wagres_messages_total", "outcome" => outcome).increment(1);
    if let (Some(duration), "sent") = (duration, outcome) {
        histogram!("wagres_message_seconds").record(duration);
    }
}

/// A message failed.
pub(crate) fn message_failed(class: &'static str) {
    counter!("wagres_messages_failed_total", "class" => class).increment(1);
}

/// New messages are stored in the inbox.
pub(crate) fn received(messages: u32) {
    counter!("wagres_messages_received_total").increment(messages.into());
}

/// WhatsApp sent receipts.
pub(crate) fn receipts(kind: &'static str, messages: usize) {
    counter!("wagres_receipts_total", "kind" => kind).increment(messages as u64);
}

/// This worker holds so many webhooks.
pub(crate) fn webhooks_held(webhooks: usize) {
    gauge!("wagres_webhooks_held").set(u32::try_from(webhooks).unwrap_or(u32::MAX));
}

/// An attempt to deliver an event ended.
pub(crate) fn webhook_delivery(outcome: &'static str) {
    counter!("wagres_webhook_deliveries_total", "outcome" => outcome).increment(1);
}

/// A request to a webhook was answered, or not.
pub(crate) fn webhook_request(duration: Duration) {
    histogram!("wagres_webhook_request_seconds").record(duration);
}

/// The partner answered a request, or failed to.
pub(crate) fn partner_request(outcome: &'static str, duration: Duration) {
    histogram!("wagres_partner_request_seconds", "outcome" => outcome).record(duration);
}

/// A request of the marketplace's routes is answered. `route` is the pattern, not the path.
pub(crate) fn marketplace_request(method: &str, route: &str, status: u16, duration: Duration) {
    let (method, route, status) = (method.to_owned(), route.to_owned(), status.to_string());
    histogram!("marketplace_http_request_duration_seconds", "method" => method, "route" => route, "status" => status)
        .record(duration);
}

/// So many companies have a session of this status.
pub(crate) fn marketplace_connections(status: &str, companies: i64) {
    let companies = u32::try_from(companies).unwrap_or(u32::MAX);
    gauge!("marketplace_whatsapp_connections", "status" => status.to_owned()).set(companies);
}

/// A front end of the marketplace is given a QR code.
pub(crate) fn marketplace_qr() {
    counter!("marketplace_qr_generations_total").increment(1);
}

/// A QR code is shown.
pub(crate) fn qr_code() {
    counter!("wagres_qr_codes_total").increment(1);
}

/// A pairing code is shown.
pub(crate) fn pairing_code() {
    counter!("wagres_pairing_codes_total").increment(1);
}

/// A device is linked.
pub(crate) fn linked() {
    counter!("wagres_links_total").increment(1);
}

/// A session is logged in.
pub(crate) fn connected() {
    counter!("wagres_connections_total").increment(1);
}

/// A connection ended and nobody had asked for it. `reconnect`: the session is linked, and the connection never logged
/// in.
pub(crate) fn ended(end: &'static str, reconnect: bool) {
    counter!("wagres_connections_ended_total", "end" => end).increment(1);
    if reconnect && end == "lost" {
        counter!("wagres_reconnects_failed_total").increment(1);
    }
}

/// The database refused an item.
pub(crate) fn quarantined(source: &'static str) {
    counter!("wagres_quarantined_total", "source" => source).increment(1);
}

/// A session job ended.
pub(crate) fn session_job(kind: &str, status: &'static str) {
    counter!("wagres_session_jobs_total", "kind" => kind.to_owned(), "status" => status).increment(1);
}

/// A run of a maintenance job ended.
pub(crate) fn maintenance_job(kind: &str, outcome: &str) {
    counter!("wagres_maintenance_jobs_total", "kind" => kind.to_owned(), "outcome" => outcome.to_owned()).increment(1);
}

/// Expired keys are deleted.
pub(crate) fn keys_swept(kind: &str, keys: i64) {
    counter!("wagres_keys_swept_total", "kind" => kind.to_owned()).increment(u64::try_from(keys).unwrap_or(0));
}

/// A key went to the quarantine.
pub(crate) fn key_quarantined(kind: &'static str) {
    counter!("wagres_keys_quarantined_total", "kind" => kind).increment(1);
}

/// Something could not be decrypted.
pub(crate) fn crypto_error(error: CryptoError) {
    counter!("wagres_crypto_errors_total", "error" => error.name()).increment(1);
}

/// The worker stops its sessions because its lease is lost.
pub(crate) fn lease_lost() {
    counter!("wagres_leases_lost_total").increment(1);
}

/// The load of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions that it holds.
    pub held: usize,
    /// Sessions that are logged in.
    pub connected: usize,
    /// Messages in hand: under way, or waiting for their turn.
    pub in_hand: usize,
    /// How long the oldest outcome or receipt has waited for its write.
    pub oldest_change: Duration,
    /// Memory that these take, about, in bytes.
    pub in_hand_bytes: usize,
}

/// All metrics as Prometheus reads them; nothing when the recorder is somebody else's.
#[must_use]
pub fn render(load: Load) -> String {
    let Some(handle) = install() else { return String::new() };
    let usage = Usage::now();
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    for (name, value) in [
        ("wagres_sessions_held", load.held as f64),
        ("wagres_sessions_connected", load.connected as f64),
        ("wagres_messages_in_hand", load.in_hand as f64),
        ("wagres_progress_age_seconds", load.oldest_change.as_secs_f64()),
        ("wagres_messages_in_hand_bytes", load.in_hand_bytes as f64),
        ("process_resident_memory_bytes", usage.memory as f64),
        ("process_open_fds", usage.descriptors as f64),
    ] {
        gauge!(name).set(value);
    }
    counter!("process_cpu_seconds_total").absolute(usage.processor.as_secs());
    handle.run_upkeep();
    let mut text = handle.render();
    fleet::render(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_the_table_of_figures_is_the_one_in_the_docs() {
        let docs = include_str!("../../docs/monitoring.md");
        let table = docs.lines().skip_while(|line| *line != "| figure | |").skip(2);
        let listed: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
        let known: Vec<String> = DESCRIPTIONS.iter().map(|(name, end)| format!("| `{name}` | {end} |")).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn h1_every_figure_of_ours_is_described() {
        install();
        message("sent", Some(Duration::from_millis(3)));
        receipts("read", 2);
        received(1);
        qr_code();
        partner_request("answered", Duration::from_millis(3));
        marketplace_request("GET", "/marketplace/companies", 200, Duration::from_millis(3));
        marketplace_connections("connected", 2);
        marketplace_qr();
        pairing_code();
        linked();
        connected();
        ended("lost", true);
        lease_lost();
        crypto_error(CryptoError::BadMac);
        session_job("link", "done");
        maintenance_job("sweep_keys", "done");
        keys_swept("tctoken", 3);
        key_quarantined("session");
        quarantined("receipt");
        message_failed("content");
        fleet(Fleet::default());
        webhooks_held(2);
        webhook_delivery("done");
        webhook_request(Duration::from_millis(3));
        let text =
            render(Load { held: 2, connected: 1, in_hand: 3, in_hand_bytes: 4, oldest_change: Duration::from_secs(4) });
        assert!(text.contains("# TYPE wagres_progress_age_seconds gauge"), "{text}");
        for line in text.lines().filter(|line| line.starts_with("wagres_") || line.starts_with("process_")) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(DESCRIPTIONS.iter().any(|(described, _)| *described == name), "{line}");
        }
        for (name, _) in DESCRIPTIONS.iter().filter(|(name, _)| *name != "wagres_log_lines_total") {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}:\n{text}");
        }
        assert!(text.contains("wagres_keys_swept_total{kind=\"tctoken\"} 3"), "{text}");
    }
}
