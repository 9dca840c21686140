//! Faults on demand: rules that say what goes wrong, when, for whom and how often.
//!
//! What it promises: a rule strikes exactly as often as it says. Rules are checked in the order in which they were
//! added, and only the first that strikes applies. Each rule has its own random generator, seeded with the sandbox's
//! seed and the rule's position, so that the same rules decide the same about the same matches in every run. Every
//! decision is counted. Without rules that can still strike, a check costs one atomic read.
//!
//! What it does not: the machine, not the seed, decides in which order the stanzas of different connections pass.
//!
//! | file | content |
//! | --- | --- |
//! | `fault` | the kinds of faults |
//! | `rule` | a rule as given in JSON |
//! | `scenario` | rules and phones in a file |
//! | `link` | faults of connections |
//! | `inward`, `outward` | faults of stanzas from and to a client |
//! | `keys` | faults of key bundles |
//! | `media` | faults of uploads and downloads |
//! | `app_state` | faults of app state on its way to a device |
//! | `corrupt` | flips a bit of a ciphertext |

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
    /// How many rules were added since the seed was set; part of each rule's own seed.
    seeded: u64,
    last_id: u64,
    entries: Vec<Entry>,
}

/// A rule and its progress.
struct Entry {
    id: u64,
    rule: Rule,
    chance: StdRng,
    from: Instant,
    until: Option<Instant>,
    matched: u64,
    struck: u64,
    /// The ids of corrupted messages whose retries are to be corrupted, too.
    corrupted: HashSet<String>,
    /// Cancelled when the rule is deleted or expires; this also ends its effects on connections.
    ended: CancellationToken,
}

/// A strike of a rule.
struct Strike {
    fault: Fault,
    /// The stanzas that the rule names.
    stanzas: Option<Stanzas>,
    ended: CancellationToken,
}

/// A rule and its counts, as in `GET /faults`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    id: u64,
    #[serde(flatten)]
    rule: Rule,
    state: Phase,
    /// How many moments the rule matched. Moments after its last strike are not counted.
    matched: u64,
    /// How many of them the rule struck.
    struck: u64,
}

/// The state of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// The rule is not active yet.
    Waiting,
    /// The rule may strike.
    Active,
    /// The rule has struck as often as it may.
    Spent,
    /// The rule's time is over.
    Expired,
}

impl Faults {
    pub(super) fn new(seed: u64, changes: &Arc<Changes>) -> Self {
        let rules = Rules { seed, seeded: 0, last_id: 0, entries: vec![] };
        Self { armed: AtomicBool::new(false), rules: Watched::new(rules, changes, ["/faults"]) }
    }

    fn rules(&self) -> Guard<'_, Rules> {
        self.rules.lock()
    }

    /// Appends a rule. Returns its id, the times of its start and end, and the token that its end cancels.
    fn add(&self, rule: Rule) -> (u64, Instant, Option<Instant>, CancellationToken) {
        let mut rules = self.rules();
        let from = Instant::now() + rule.delay();
        let until = rule.lifetime().map(|lives| from + lives);
        rules.last_id += 1;
        rules.seeded += 1;
        // The multiplier separates the random streams of neighbouring rules and neighbouring seeds.
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

    /// Deletes all rules, and sets the seed or restarts the current one.
    fn reset(&self, seed: Option<u64>) -> u64 {
        self.clear();
        let mut rules = self.rules();
        rules.seed = seed.unwrap_or(rules.seed);
        rules.seeded = 0;
        rules.seed
    }

    /// Deletes one rule; `false` when no rule has this id.
    pub(super) fn delete(&self, id: u64) -> bool {
        self.delete_where(|entry| entry.id == id) > 0
    }

    /// Deletes all rules, and returns how many there were.
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

    /// The seed, and every rule with its counts.
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
        // A stanza under way may miss a rule that was just added; either order is correct.
        self.armed.load(Ordering::Relaxed)
    }

    /// Checks the rules in order. Returns the first strike.
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

    /// Checks one rule for a connected device.
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
        tracing::info!(target: super::LOG, rule = self.id, fault = ?self.rule.fault, ?who, "fault struck");
        Some(Strike { fault: self.rule.fault.clone(), stanzas: self.rule.stanza.clone(), ended: self.ended.clone() })
    }
}
