//! Faults on demand: rules that say what goes wrong, when, for whom and how often.
//!
//! What it promises: a rule strikes exactly as often as it says; rules are asked in the order they were given, and the
//! first that strikes decides alone. Each rule draws its chance from a generator of its own, made of the sandbox's seed
//! and the rule's place in the order, so that the same rules decide the same about the same matches in every run. Every
//! decision is counted. Without rules that can still strike, a moment costs one atomic read.
//!
//! What it does not: the order in which the stanzas of different connections pass is the machine's, not the seed's.
//!
//! | file | idea |
//! | --- | --- |
//! | `fault` | the kinds |
//! | `rule` | a rule as it is given |
//! | `scenario` | rules and phones in a file |
//! | `link` | what is done to a connection |
//! | `inward`, `outward` | what is done to a stanza on its way in and out |
//! | `keys` | what is done to a key bundle |
//! | `media` | what is done to a file on its way to or from the media server |
//! | `app_state` | what is done to app state on its way to a device |
//! | `corrupt` | flipping a bit of a ciphertext |

mod app_state;
mod corrupt;
mod fault;
mod inward;
mod keys;
mod link;
mod media;
mod outward;
mod rule;
mod scenario;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::DeviceId;
use super::changes::{Changes, Guard, Watched};
use super::node::text;
use fault::{Fault, Moment};
use rule::{Occasion, Rule, Stanzas};

pub(super) use app_state::corrupt as corrupt_app_state;
pub(super) use inward::Inward;
pub(super) use keys::hand_out;
pub(super) use link::{at_accept, at_login, connected, hang_up, set};
pub(super) use media::{Transfer, transfer};
pub(super) use outward::{Flow, Outward};
pub(super) use rule::Direction;
pub(super) use rule::Rule as FaultRule;
pub use scenario::{Scenario, ScenarioError};

/// All rules of a sandbox.
pub(super) struct Faults {
    /// Whether any rule can strike, now or later.
    armed: AtomicBool,
    rules: Watched<Rules>,
}

struct Rules {
    seed: u64,
    /// How many rules there were since the seed was set; makes each rule's chance its own.
    seeded: u64,
    last_id: u64,
    entries: Vec<Entry>,
}

/// A rule at work.
struct Entry {
    id: u64,
    rule: Rule,
    chance: StdRng,
    from: Instant,
    until: Option<Instant>,
    matched: u64,
    struck: u64,
    /// The messages that were corrupted, when their retries are to be as well.
    corrupted: HashSet<String>,
    /// Cancelled when the rule is deleted or has expired; what it still does to a connection ends with it.
    ended: CancellationToken,
}

/// A rule that strikes.
struct Strike {
    fault: Fault,
    /// The stanzas that the rule names.
    stanzas: Option<Stanzas>,
    ended: CancellationToken,
}

/// A rule and what it has done, as in `GET /faults`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    id: u64,
    #[serde(flatten)]
    rule: Rule,
    state: Phase,
    /// How many moments it was for. What comes after its last strike is not looked at.
    matched: u64,
    /// How many of them it struck.
    struck: u64,
}

/// Where a rule is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Its time has not come.
    Waiting,
    /// It may strike.
    Active,
    /// It has struck as often as it may.
    Spent,
    /// Its time is over.
    Expired,
}

impl Faults {
    /// No rules, and chance from this seed.
    pub(super) fn new(seed: u64, changes: &Arc<Changes>) -> Self {
        let rules = Rules { seed, seeded: 0, last_id: 0, entries: vec![] };
        Self { armed: AtomicBool::new(false), rules: Watched::new(rules, changes, ["/faults"]) }
    }

    fn rules(&self) -> Guard<'_, Rules> {
        self.rules.lock()
    }

    /// Puts a rule behind the others; its id, its times, and the token of its end.
    fn add(&self, rule: Rule) -> (u64, Instant, Option<Instant>, CancellationToken) {
        let mut rules = self.rules();
        let from = Instant::now() + rule.waits();
        let until = rule.lives().map(|lives| from + lives);
        rules.last_id += 1;
        rules.seeded += 1;
        // The multiplier keeps the streams of neighbouring rules and neighbouring seeds apart.
        let chance = StdRng::seed_from_u64(rules.seed ^ rules.seeded.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (id, ended) = (rules.last_id, CancellationToken::new());
        rules.entries.push(Entry {
            id,
            rule,
            chance,
            from,
            until,
            matched: 0,
            struck: 0,
            corrupted: HashSet::new(),
            ended: ended.clone(),
        });
        self.arm(&rules);
        (id, from, until, ended)
    }

    /// Deletes all rules and sets the seed, or keeps the one there is and starts it anew.
    fn reset(&self, seed: Option<u64>) -> u64 {
        self.clear();
        let mut rules = self.rules();
        rules.seed = seed.unwrap_or(rules.seed);
        rules.seeded = 0;
        rules.seed
    }

    /// Deletes one rule; `false` when there is none.
    pub(super) fn delete(&self, id: u64) -> bool {
        self.delete_where(|entry| entry.id == id) > 0
    }

    /// Deletes all rules; how many there were.
    pub(super) fn clear(&self) -> usize {
        self.delete_where(|_| true)
    }

    fn delete_where(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut rules = self.rules();
        let deleted: Vec<Entry> = rules.entries.extract_if(.., |entry| which(entry)).collect();
        for entry in &deleted {
            entry.ended.cancel();
        }
        self.arm(&rules);
        deleted.len()
    }

    /// The seed, and every rule with what it has done.
    pub(super) fn report(&self) -> (u64, Vec<Report>) {
        let (rules, now) = (self.rules(), Instant::now());
        let reports = rules.entries.iter().map(|entry| Report {
            id: entry.id,
            rule: entry.rule.clone(),
            state: entry.phase(now),
            matched: entry.matched,
            struck: entry.struck,
        });
        (rules.seed, reports.collect())
    }

    /// Whether any rule can strike, now or later.
    fn armed(&self) -> bool {
        // A rule that was set a moment ago may be missed by what is under way, as it may in any order of the two.
        self.armed.load(Ordering::Relaxed)
    }

    /// Asks the rules, in order, whether one strikes now.
    fn strike(&self, occasion: Occasion<'_>, who: Option<&DeviceId>) -> Option<Strike> {
        if !self.armed() {
            return None;
        }
        let mut rules = self.rules();
        let now = Instant::now();
        let strike = rules.entries.iter_mut().find_map(|entry| entry.strike(now, occasion, who));
        self.arm(&rules);
        strike
    }

    /// Asks one rule about a device that is connected.
    fn strike_connected(&self, id: u64, who: &DeviceId) -> Option<Strike> {
        let mut rules = self.rules();
        let entry = rules.entries.iter_mut().find(|entry| entry.id == id)?;
        entry.strike(Instant::now(), Occasion::Of(Moment::Connected), Some(who))
    }

    fn arm(&self, rules: &Rules) {
        let now = Instant::now();
        self.armed.store(rules.entries.iter().any(|entry| entry.can_strike(now)), Ordering::Relaxed);
    }
}

impl Entry {
    fn phase(&self, now: Instant) -> Phase {
        if now < self.from {
            Phase::Waiting
        } else if self.until.is_some_and(|until| now >= until) {
            Phase::Expired
        } else if self.rule.times.0.is_some_and(|times| self.struck >= times) {
            Phase::Spent
        } else {
            Phase::Active
        }
    }

    /// Whether it may strike now or later.
    fn can_strike(&self, now: Instant) -> bool {
        match self.phase(now) {
            Phase::Waiting | Phase::Active => true,
            Phase::Spent => self.corrupts_retries(),
            Phase::Expired => false,
        }
    }

    fn corrupts_retries(&self) -> bool {
        matches!(self.rule.fault, Fault::Corrupt { retries: true })
    }

    fn strike(&mut self, now: Instant, occasion: Occasion<'_>, who: Option<&DeviceId>) -> Option<Strike> {
        let phase = self.phase(now);
        if phase == Phase::Waiting || !self.can_strike(now) || !self.rule.matches(occasion, who) {
            return None;
        }
        let message = match occasion {
            Occasion::Stanza(_, node) if self.corrupts_retries() => Some(text(node, "id")),
            _ => None,
        };
        let again = message.as_ref().is_some_and(|id| self.corrupted.contains(id));
        if !again {
            if phase == Phase::Spent {
                return None;
            }
            self.matched += 1;
            let drawn = self.matched > self.rule.skip && self.chance.random_bool(self.rule.probability);
            if !drawn {
                return None;
            }
            self.struck += 1;
            self.corrupted.extend(message);
        }
        tracing::info!(target: super::LOG, rule = self.id, fault = ?self.rule.fault, ?who, "a fault strikes");
        Some(Strike { fault: self.rule.fault.clone(), stanzas: self.rule.stanza.clone(), ended: self.ended.clone() })
    }
}
