//! `wagres-bench sandbox`: the load at which the sandbox itself limits a benchmark.
//!
//! The sandbox runs as a process of its own; the clients, which need far more CPU time, share this one. Both compete
//! for the same cores, as in every benchmark through the sandbox, so the CPU time of each is reported beside the rate.

pub(super) mod client;
mod crypto;
mod load;
pub(super) mod process;

use std::time::{Duration, Instant};

use anyhow::bail;
use futures::StreamExt as _;
use serde_json::{Value, json};

use client::Linked;
use crypto::Reference;
use load::{Outcome, Plan};
use process::Process;
use wagres::telemetry::Usage;

/// Devices that are linked at the same time.
const LINKING: usize = 16;
/// Time of each part of the reference.
const REFERENCE: Duration = Duration::from_secs(2);
/// Limit for the last acks.
const SETTLING: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Devices to link and keep connected; those outside the pairs are idle
    #[arg(long, value_name = "N", default_value_t = 20)]
    devices: usize,
    /// Pairs of devices, in each of which one writes to the other
    #[arg(long, value_name = "P", default_value_t = 10)]
    pairs: usize,
    /// Stop after this many messages
    #[arg(long, value_name = "M", default_value_t = u64::MAX, hide_default_value = true)]
    messages: u64,
    /// Stop after this many seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// Messages of a pair that may be under way
    #[arg(long, value_name = "W", default_value_t = 16)]
    window: usize,
    /// Leave the accounts' phones on: each phone then decrypts its copy of each message and sends receipts
    #[arg(long)]
    phones: bool,
}

pub(super) async fn run(args: Args, json: bool) -> anyhow::Result<()> {
    if args.pairs == 0 || args.window == 0 || args.devices < 2 * args.pairs {
        bail!("--devices must be at least twice --pairs, and --pairs and --window at least 1");
    }
    let reference = crypto::measure(REFERENCE).await?;
    let sandbox = Process::start().await?;
    let (sandbox_before, clients_before) = (sandbox.usage()?, Usage::now());
    let start = Instant::now();
    let mut devices = link(&sandbox, &args).await?;
    let linking = start.elapsed();
    let (sandbox_linked, clients_linked) = (sandbox.usage()?, Usage::now());

    let idle = devices.split_off(2 * args.pairs);
    let mut devices = devices.into_iter();
    let pairs: Vec<_> = std::iter::from_fn(|| Some((devices.next()?, devices.next()?))).collect();
    load::warm_up(&pairs).await?;
    let loaded_from = sandbox.get("/verdict?limit=0").await?["range"]["to"].as_u64().unwrap_or(0) + 1;
    let (sandbox_warm, clients_warm) = (sandbox.usage()?, Usage::now());
    let plan = Plan { seconds: Duration::from_secs(args.seconds), messages: args.messages, window: args.window };
    let (pairs, outcome) = load::run(pairs, plan).await?;
    let (sandbox_after, clients_after) = (sandbox.usage()?, Usage::now());
    let verdict = verdict(&sandbox, loaded_from).await?;
    drop((pairs, idle));
    sandbox.stop().await;

    let per_device = |before: Usage, after: Usage| {
        count(after.memory.saturating_sub(before.memory)) / 1024.0 / count(args.devices as u64)
    };
    let per_message = |before: Usage, after: Usage| {
        1e6 * after.processor.saturating_sub(before.processor).as_secs_f64() / count(outcome.received.max(1))
    };
    let report = Report {
        args: &args,
        reference: &reference,
        outcome: &outcome,
        linking,
        device_kb: [per_device(sandbox_before, sandbox_linked), per_device(clients_before, clients_linked)],
        message_us: [per_message(sandbox_warm, sandbox_after), per_message(clients_warm, clients_after)],
        verdict,
    };
    if json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

async fn link(sandbox: &Process, args: &Args) -> anyhow::Result<Vec<Linked>> {
    let linking = (0..args.devices).map(|index| async move {
        let linked = Linked::new(sandbox, (15_550_000_000 + index).to_string()).await?;
        if !args.phones {
            sandbox.post("/phones", json!({ "number": linked.number, "phone": "off" })).await?;
        }
        Ok(linked)
    });
    let linked: Vec<anyhow::Result<Linked>> = futures::stream::iter(linking).buffer_unordered(LINKING).collect().await;
    linked.into_iter().collect()
}

/// The verdict on the messages from `from` on, after every device has acknowledged its messages or the time is up. For
/// phones that are off the newest copies stay pending.
async fn verdict(sandbox: &Process, from: u64) -> anyhow::Result<Value> {
    let start = Instant::now();
    while start.elapsed() < SETTLING {
        let phones = sandbox.get("/phones").await?;
        let devices = phones["phones"].as_array().into_iter().flatten().filter_map(|it| it["devices"].as_array());
        if devices.flatten().all(|device| device["unacknowledged"] == 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    sandbox.get(&format!("/verdict?limit=1&from={from}")).await
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

struct Report<'a> {
    args: &'a Args,
    reference: &'a Reference,
    outcome: &'a Outcome,
    linking: Duration,
    /// Memory of a connected device in the sandbox and in the clients.
    device_kb: [f64; 2],
    /// CPU time of a message in the sandbox and in the clients.
    message_us: [f64; 2],
    verdict: Value,
}

impl Report<'_> {
    fn rate(&self) -> f64 {
        count(self.outcome.received) / self.outcome.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn json(&self) -> Value {
        let latency = |part| rounded(self.outcome.latency(part));
        json!({
            "devices": self.args.devices,
            "pairs": self.args.pairs,
            "window": self.args.window,
            "phones": self.args.phones,
            "sent": self.outcome.sent,
            "received": self.outcome.received,
            "seconds": rounded(self.outcome.elapsed.as_secs_f64()),
            "messages_per_second": self.rate().round(),
            "latency_ms": { "p50": latency(0.5), "p90": latency(0.9), "p99": latency(0.99), "max": latency(1.0) },
            "linking_seconds": rounded(self.linking.as_secs_f64()),
            "sandbox": {
                "memory_per_device_kb": rounded(self.device_kb[0]),
                "cpu_per_message_us": rounded(self.message_us[0]),
            },
            "clients": {
                "memory_per_device_kb": rounded(self.device_kb[1]),
                "cpu_per_message_us": rounded(self.message_us[1]),
            },
            "reference": {
                "crypto_pairs_per_second": self.reference.pairs.per_second.round(),
                "crypto_cpu_per_pair_us": rounded(self.reference.pairs.cpu_us),
                "crypto_messages_per_second": self.reference.messages.per_second.round(),
                "crypto_cpu_per_message_us": rounded(self.reference.messages.cpu_us),
            },
            "ratio": {
                "to_crypto_pairs": rounded(self.rate() / self.reference.pairs.per_second),
                "to_crypto_messages": rounded(self.rate() / self.reference.messages.per_second),
                "sandbox_cpu_to_crypto_messages": rounded(self.message_us[0] / self.reference.messages.cpu_us),
                "sandbox_share_of_cpu": rounded(self.message_us[0] / (self.message_us[0] + self.message_us[1])),
            },
            "verdict": { "ok": self.verdict["ok"], "counts": self.verdict["counts"], "let_go": self.verdict["let_go"] },
        })
    }

    fn print(&self) {
        let outcome = self.outcome;
        let phones = if self.args.phones { "on" } else { "off" };
        println!(
            "{} devices linked in {:.1} s, phones {phones}; {} pairs, {} messages under way in each",
            self.args.devices,
            self.linking.as_secs_f64(),
            self.args.pairs,
            self.args.window
        );
        println!(
            "{} messages in {:.1} s: {:.0} messages/s ({} sent)",
            outcome.received,
            outcome.elapsed.as_secs_f64(),
            self.rate(),
            outcome.sent
        );
        println!(
            "latency        p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            outcome.latency(0.5),
            outcome.latency(0.9),
            outcome.latency(0.99),
            outcome.latency(1.0)
        );
        println!("               {:>12} {:>12}", "sandbox", "clients");
        println!("KB a device    {:>12.1} {:>12.1}", self.device_kb[0], self.device_kb[1]);
        println!("CPU us a msg   {:>12.1} {:>12.1}", self.message_us[0], self.message_us[1]);
        let Reference { pairs, messages } = self.reference;
        println!(
            "encryption     {:.0} pairs of sealing and opening a second, {:.1} us of CPU each: ratio {:.2}",
            pairs.per_second,
            pairs.cpu_us,
            self.rate() / pairs.per_second
        );
        println!(
            "               {:.0} messages a second (3 copies sealed, 1 opened), {:.1} us each: ratio {:.2}",
            messages.per_second,
            messages.cpu_us,
            self.rate() / messages.per_second
        );
        println!("verdict        ok: {}, {}", self.verdict["ok"], self.verdict["counts"]);
    }
}
