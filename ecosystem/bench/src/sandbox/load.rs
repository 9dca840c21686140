//! The load: pairs of clients, in each of which one writes to the other as fast as the other receives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;
use wacore::proto_helpers::MessageBuilderExt as _;
use wacore_binary::Jid;
use waproto::whatsapp::Message;

use super::client::Linked;

/// Limit for the next message.
const TIMEOUT: Duration = Duration::from_secs(30);

/// When to stop, and how many messages of a pair may be under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seconds: Duration,
    pub(super) messages: u64,
    pub(super) window: usize,
}

/// The result of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// From the first message sent to the last one received.
    pub(super) elapsed: Duration,
    /// From the call that sends to the event that receives, in microseconds, ascending.
    pub(super) latencies: Vec<u32>,
}

impl Outcome {
    /// The latency that this part of the messages did not exceed, in milliseconds.
    pub(super) fn latency(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = (self.latencies.len().saturating_sub(1) as f64 * part).round() as usize;
        self.latencies.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Sends one message each way, so that sessions and device lists are known when the clock starts.
pub(super) async fn warm_up(pairs: &[(Linked, Linked)]) -> anyhow::Result<()> {
    for (one, other) in pairs {
        for (from, to) in [(one, other), (other, one)] {
            from.client.send_message(Jid::pn(to.number.as_str()), Message::text("warm-up")).await?;
            tokio::time::timeout(TIMEOUT, receive(to, |text| text == "warm-up")).await.context("the warm-up")??;
        }
    }
    Ok(())
}

/// Waits for the next event with `wanted` texts, and returns their number.
async fn receive(linked: &Linked, mut wanted: impl FnMut(&str) -> bool) -> anyhow::Result<u64> {
    loop {
        let event = linked.events.recv().await.context("a client ended")?;
        let texts = event.messages().filter_map(|message| message.message.conversation.as_deref());
        let found = texts.filter(|text| wanted(text)).count() as u64;
        if found != 0 {
            return Ok(found);
        }
    }
}

/// Runs the plan on all pairs at once.
pub(super) async fn run(pairs: Vec<(Linked, Linked)>, plan: Plan) -> anyhow::Result<(Vec<(Linked, Linked)>, Outcome)> {
    let start = Instant::now();
    let left = Arc::new(AtomicU64::new(plan.messages));
    let running: Vec<_> =
        pairs.into_iter().map(|pair| tokio::spawn(exchange(pair, plan, start, Arc::clone(&left)))).collect();
    let (mut pairs, mut all) = (vec![], Outcome::default());
    for pair in running {
        let (pair, one) = pair.await.context("a pair of clients")??;
        pairs.push(pair);
        all.sent += one.sent;
        all.received += one.received;
        all.elapsed = all.elapsed.max(one.elapsed);
        all.latencies.extend(one.latencies);
    }
    all.latencies.sort_unstable();
    Ok((pairs, all))
}

async fn exchange(
    (from, to): (Linked, Linked),
    plan: Plan,
    start: Instant,
    left: Arc<AtomicU64>,
) -> anyhow::Result<((Linked, Linked), Outcome)> {
    // When each message was sent; its text is its place here.
    let times = Mutex::new(Vec::<Instant>::new());
    let room = Semaphore::new(plan.window);
    let (sent, ended) = (AtomicU64::new(0), tokio::sync::Notify::new());
    let sending = async {
        let recipient = Jid::pn(to.number.as_str());
        while start.elapsed() < plan.seconds
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            room.acquire().await?.forget();
            let text = {
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                times.push(Instant::now());
                (times.len() - 1).to_string()
            };
            from.client.send_message(recipient.clone(), Message::text(text)).await?;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        ended.notify_one();
        Ok::<_, anyhow::Error>(())
    };
    let receiving = async {
        let mut outcome = Outcome::default();
        let mut record = |text: &str| {
            let times = times.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(at) = text.parse().ok().and_then(|place: usize| times.get(place)) else { return false };
            outcome.latencies.push(u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX));
            room.add_permits(1);
            true
        };
        let (mut received, mut last, mut over) = (0, start, false);
        while !over || received < sent.load(Ordering::Relaxed) {
            tokio::select! {
                () = ended.notified(), if !over => over = true,
                found = tokio::time::timeout(TIMEOUT, receive(&to, &mut record)) => {
                    // A message that has not arrived by then is lost; the report shows fewer received than sent.
                    let Ok(found) = found else { break };
                    received += found?;
                    last = Instant::now();
                }
            }
        }
        (outcome.received, outcome.elapsed) = (received, last - start);
        Ok::<_, anyhow::Error>(outcome)
    };
    let (sending, receiving) = tokio::join!(sending, receiving);
    sending?;
    let outcome = Outcome { sent: sent.into_inner(), ..receiving? };
    Ok(((from, to), outcome))
}
