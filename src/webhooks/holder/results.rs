//! What a holder makes of what its tasks have done.

use super::super::page::Page;
use super::super::post::Answer;
use super::super::queue::{Change, Lane, Parcel};
use super::super::record::{End, Health, Outcome};
use super::super::schedule;
use super::super::work::Done;
use super::{GATHER, Holder, LATER};
use crate::db::storable::Storable;
use crate::telemetry;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Holder {
    pub(super) fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Posted { parcel, answer, started } => self.posted(&parcel, &answer, started, now),
            Done::Read(page, clearings) => {
                self.reading = false;
                if let Some(page) = self.ok(page, now) {
                    self.take(page, clearings, now);
                }
            }
            Done::Written { outcomes, health, result, cleared, left } => {
                self.writing = false;
                if !left.is_empty() {
                    self.clear.extend(left);
                    self.write_at.get_or_insert(now + LATER);
                }
                match self.ok(result, now) {
                    Some(true) => self.written(&outcomes, cleared, now),
                    Some(false) => self.lost = true,
                    None => self.write_again(outcomes, health, now),
                }
            }
            Done::Filled(result) => {
                self.filling = false;
                self.filled = self.ok(result, now) == Some(true);
                self.fill_at = Some(now + LATER);
                self.more = true;
            }
            Done::Replayed(done, result) => {
                (self.replaying, self.replayed) = (false, done);
                // Somebody may have locked the row of a replay that is done.
                self.replay_at = Some(now + LATER);
                if self.ok(result, now).is_some() {
                    self.restart_reading(now);
                }
            }
            Done::Lost => self.lost = true,
        }
    }

    /// The answer of the database. After an error the holder rests.
    fn ok<T>(&mut self, result: sqlx::Result<T>, now: Instant) -> Option<T> {
        match result {
            Ok(answer) => {
                self.backoff.reset();
                Some(answer)
            }
            Err(error) => {
                tracing::warn!(webhook = self.bench.fence.webhook_id, %error, "database refused; retrying");
                self.rest_until = Some(now + self.backoff.pause());
                None
            }
        }
    }

    /// Takes a page in hand.
    fn take(&mut self, page: Page, clearings: u64, now: Instant) {
        if let Some(last) = page.last {
            self.ties.position.store(last, Ordering::Relaxed);
        }
        self.more = page.last.is_some() || page.more_due;
        for item in page.fresh {
            let id = item.id;
            if !self.queue.add_fresh(item, clearings, now) {
                self.end((id, 0), End::Wait, now);
            }
        }
        for parcel in page.again {
            self.queue.add_again(parcel);
        }
        for (item, end) in page.void {
            let change = self.queue.void(&item);
            self.end((item.id, item.attempts), end, now);
            self.changed(change, now);
        }
        self.queue.forget_clearings();
    }

    fn posted(&mut self, parcel: &Parcel, answer: &Answer, started: Instant, now: Instant) {
        self.under_way -= 1;
        telemetry::webhook_request(started.elapsed());
        self.health.opened |= self.pace.ended(answer.sign, started, now);
        let error = answer.error.as_deref().map(Storable::error);
        let gone = answer.is_gone();
        let end = match &error {
            None => End::Done,
            Some(_) => schedule::pause(parcel.attempts() + 1)
                .map_or(End::Dead, |pause| End::Retry(schedule::spread(pause, answer.retry_after))),
        };
        self.health.failed = Some(error.is_some());
        if let Some(error) = &error {
            self.health.last = (answer.code, Some(error.clone()));
            let since = *self.failing_since.get_or_insert(now);
            let days = self.config.disable_after_days;
            if gone {
                self.disable("the receiver answered 410 Gone".into());
            } else if now.duration_since(since) > Duration::from_secs(u64::from(days) * 86_400) {
                self.disable(format!("every attempt has failed for {days} days; the last one: {}", error.as_str()));
            }
        } else {
            self.failing_since = None;
        }
        let said = answer.said.as_deref().map(Storable::text);
        let change = self.queue.ended(parcel, matches!(end, End::Retry(_)));
        for item in &parcel.items {
            let (code, error, said) = (answer.code, error.clone(), said.clone());
            self.outcomes.push(Outcome { id: item.id, attempts: item.attempts, end, code, error, said });
        }
        self.write_at.get_or_insert(now + GATHER);
        self.changed(change, now);
    }

    fn disable(&mut self, reason: String) {
        tracing::warn!(webhook = self.bench.fence.webhook_id, reason, "webhook disabled");
        self.disabled = true;
        self.health.disable = Some(reason);
        self.queue.put_back();
    }

    fn end(&mut self, (id, attempts): (i64, u32), end: End, now: Instant) {
        let error = match end {
            End::Gone => Some(Storable::error("its row was deleted before it was delivered")),
            End::Cancelled => Some(Storable::error("its session belongs to another tenant now")),
            _ => None,
        };
        self.outcomes.push(Outcome { id, attempts, end, code: None, error, said: None });
        self.write_at.get_or_insert(now + GATHER);
    }

    fn changed(&mut self, change: Change, now: Instant) {
        for id in change.wait {
            self.end((id, 0), End::Wait, now);
        }
        self.clear.extend(change.clear);
    }

    fn written(&mut self, outcomes: &[Outcome], lanes: Vec<Lane>, now: Instant) {
        let ids: Vec<i64> = outcomes.iter().map(|outcome| outcome.id).collect();
        self.queue.written(&ids);
        for label in outcomes.iter().filter_map(|outcome| outcome.end.label()) {
            telemetry::webhook_delivery(label);
        }
        if !lanes.is_empty() {
            self.restart_reading(now);
        }
        for lane in lanes {
            self.queue.cleared(lane);
        }
    }

    /// Keeps what was not written. It may have been, and then the statement finds nothing to change.
    fn write_again(&mut self, outcomes: Vec<Outcome>, health: Health, now: Instant) {
        let later = std::mem::replace(&mut self.outcomes, outcomes);
        self.outcomes.extend(later);
        self.health = Health {
            failed: self.health.failed.or(health.failed),
            last: if self.health.failed == Some(true) { self.health.last.clone() } else { health.last },
            disable: self.health.disable.take().or(health.disable),
            opened: self.health.opened || health.opened,
            ..Health::default()
        };
        self.write_at.get_or_insert(now);
    }
}
