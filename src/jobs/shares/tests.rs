//! The rule, by example and for everything that can happen in any order.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// How many places each of these tenants gets of `places`, if each has as many sessions as it likes.
fn shares_of(places: usize, tenants: &[&str]) -> Vec<usize> {
    let mut shares = Shares::new(places);
    for tenant in tenants {
        for session in 0..1000 {
            shares.add(&Arc::from(*tenant), session, *tenant);
        }
    }
    let taken: Vec<&str> = std::iter::from_fn(|| shares.take()).collect();
    tenants.iter().map(|tenant| taken.iter().filter(|it| *it == tenant).count()).collect()
}

#[test]
fn r9_a_tenant_alone_gets_all_but_a_reserve_and_several_get_equal_shares() {
    assert_eq!(shares_of(256, &["acme"]), [224]);
    assert_eq!(shares_of(256, &["acme", "bolt"]), [119, 119]);
    assert_eq!(shares_of(256, &["acme", "bolt", "cafe"]), [82, 81, 81]);
    // The smallest pools still work.
    assert_eq!(shares_of(1, &["acme"]), [1]);
    assert_eq!(shares_of(2, &["acme"]), [1]);
    assert_eq!(shares_of(2, &["acme", "bolt"]), [1, 1]);
}

#[test]
fn r9_a_tenant_that_comes_late_gets_a_place_at_once_and_its_share_as_places_become_free() {
    let (acme, bolt): (Arc<str>, Arc<str>) = ("acme".into(), "bolt".into());
    let mut shares = Shares::new(256);
    for session in 0..1000 {
        shares.add(&acme, session % 10, "acme");
    }
    assert_eq!(std::iter::from_fn(|| shares.take()).count(), 224);
    for _ in 0..1000 {
        shares.add(&bolt, 10, "bolt");
    }
    let at_once = std::iter::from_fn(|| shares.take()).count();
    assert!((20..32).contains(&at_once), "{at_once}");
    // Every place that becomes free goes to the late one, until both have the same.
    let mut held = (224, at_once);
    while held.0 > held.1 + 1 {
        shares.release(&acme, i64::try_from(held.0 % 10).unwrap());
        held.0 -= 1;
        if let Some(tenant) = shares.take() {
            assert_eq!(tenant, "bolt");
            held.1 += 1;
        }
    }
    assert!(held.0.abs_diff(held.1) <= 1 && held.0 + held.1 > 190, "{held:?}");
}

#[test]
fn r9_a_session_leaves_something_to_the_others_of_its_tenant() {
    let acme: Arc<str> = "acme".into();
    let mut shares = Shares::new(256);
    for _ in 0..1000 {
        shares.add(&acme, 1, 1);
    }
    assert_eq!(std::iter::from_fn(|| shares.take()).count(), 192);
    for _ in 0..1000 {
        shares.add(&acme, 2, 2);
    }
    let others: Vec<i32> = std::iter::from_fn(|| shares.take()).collect();
    assert!(others.len() == 32 && others.iter().all(|session| *session == 2), "{others:?}");
}

#[test]
fn r9_room_follows_the_same_rule() {
    assert_eq!(room(4096, 0, TENANT), 3584);
    assert_eq!(room(512, 3584, TENANT), 0);
    assert_eq!(room(1, 0, TENANT), 1);
    assert_eq!(room(0, 0, TENANT), 0);
    assert_eq!(room(usize::MAX, 1, TENANT), (usize::MAX - 1) / 8);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Add { tenant: usize, session: i64 },
    Release(prop::sample::Index),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..5usize, 0..3i64).prop_map(|(tenant, session)| Step::Add { tenant, session }),
        20 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => Just(Step::Drain),
    ]
}

type Key = (usize, i64);

/// Who has places, and the numbers of the items that wait, by tenant and session.
#[derive(Debug, Default)]
struct Model {
    held: Vec<Key>,
    waiting: BTreeMap<Key, VecDeque<u32>>,
}

impl Model {
    fn of_tenant(&self, tenant: usize) -> usize {
        self.held.iter().filter(|(t, _)| *t == tenant).count()
    }

    fn of_session(&self, key: Key) -> usize {
        self.held.iter().filter(|it| **it == key).count()
    }

    /// The tenants and sessions whose turn it may be: those with least.
    fn first(&self) -> Vec<Key> {
        let waiting = || self.waiting.iter().filter(|(_, items)| !items.is_empty()).map(|(key, _)| *key);
        let Some(least) = waiting().map(|(tenant, _)| self.of_tenant(tenant)).min() else { return vec![] };
        let of_first: Vec<Key> = waiting().filter(|(tenant, _)| self.of_tenant(*tenant) == least).collect();
        let is_least = |key: &Key| {
            of_first.iter().all(|other| other.0 != key.0 || self.of_session(*other) >= self.of_session(*key))
        };
        of_first.iter().copied().filter(is_least).collect()
    }

    fn may_take(&self, places: usize, key: Key) -> bool {
        let free = places - self.held.len();
        room(free, self.of_tenant(key.0), TENANT) > 0 && room(free, self.of_session(key), SESSION) > 0
    }
}

proptest! {
    #[test]
    fn r9_in_any_order_the_one_with_least_comes_first_and_nobody_takes_the_rest(
        places in 1..40usize, steps in prop::collection::vec(step(), 1..300)
    ) {
        let names: Vec<Arc<str>> = (0..5).map(|n| Arc::from(format!("t{n}"))).collect();
        let (mut shares, mut model, mut number) = (Shares::new(places), Model::default(), 0);
        for step in steps {
            match step {
                Step::Add { tenant, session } => {
                    number += 1;
                    shares.add(&names[tenant], session, (tenant, session, number));
                    model.waiting.entry((tenant, session)).or_default().push_back(number);
                }
                Step::Release(which) if !model.held.is_empty() => {
                    let (tenant, session) = model.held.swap_remove(which.index(model.held.len()));
                    shares.release(&names[tenant], session);
                }
                Step::Release(_) => {}
                Step::Drain => {
                    let left: usize = model.waiting.values().map(VecDeque::len).sum();
                    prop_assert_eq!(shares.drain().len(), left);
                    model.waiting.clear();
                }
            }
            while let Some((tenant, session, item)) = shares.take() {
                let key = (tenant, session);
                prop_assert!(model.first().contains(&key), "{:?} before {:?}", key, model);
                prop_assert!(model.may_take(places, key), "{:?} of {:?}", key, model);
                prop_assert_eq!(model.waiting.entry(key).or_default().pop_front(), Some(item));
                model.held.push(key);
            }
            // A place stays free only for somebody who has less than all that wait.
            let first = model.first();
            let refused = first.is_empty() || first.iter().any(|key| !model.may_take(places, *key));
            prop_assert!(refused, "{:?} waits in vain: {:?}", first, model);
            prop_assert!(model.held.len() <= places);
            prop_assert_eq!(shares.free, places - model.held.len());
        }
        // Whoever has nothing more is forgotten.
        shares.drain();
        for (tenant, session) in model.held {
            shares.release(&names[tenant], session);
        }
        prop_assert!(shares.tenants.is_empty() && shares.waiting.is_empty() && shares.free == places);
    }
}
