use super::*;
use chrono::DateTime;
use proptest::prelude::*;
use serde_json::Map;

const ONE: Sharing = Sharing { most: 1, wait: Duration::ZERO };

fn lane(chat: &str) -> Lane {
    Lane { session_id: Some(1), chat: chat.into() }
}

fn item(id: i64, chat: &str, attempts: u32) -> Item {
    let event = Event {
        id: format!("msg_{id}"),
        kind: "message.received".into(),
        happened_at: DateTime::UNIX_EPOCH,
        session: None,
        data: Map::new(),
    };
    Item { id, lane: lane(chat), attempts, event }
}

fn parcel(id: i64, chat: &str) -> Parcel {
    Parcel { batch: None, items: vec![item(id, chat, 1)] }
}

#[test]
fn h5_chats_go_side_by_side_and_each_in_its_order() {
    let (mut queue, now) = (Queue::new(true), Instant::now());
    for (id, chat) in [(2, "a"), (3, "b"), (4, "a"), (1, "a")] {
        assert!(queue.add_fresh(item(id, chat, 0), 0, now));
    }
    let (first, second) = (queue.next(ONE, now).expect("1"), queue.next(ONE, now).expect("3"));
    assert_eq!((first.ids(), second.ids()), (vec![1], vec![3]));
    assert!(queue.next(ONE, now).is_err(), "2 waits for 1");
    assert_eq!(queue.ended(&first, false), Change::default());
    let third = queue.next(ONE, now).expect("2");
    // It fails: what is behind it waits in the database, and so does what comes later.
    let change = queue.ended(&third, true);
    assert_eq!((third.ids(), change), (vec![2], Change { wait: vec![4], clear: vec![] }));
    assert!(!queue.add_fresh(item(5, "a", 0), 0, now));
    assert_eq!(queue.ended(&second, false), Change::default());
    queue.written(&[1, 2, 3, 4, 5]);
    assert_eq!(queue.in_hand(), Vec::<i64>::new());
    // Tried again, it ends, and the chat is free once what waits is queued.
    queue.add_again(parcel(2, "a"));
    let again = queue.next(ONE, now).expect("2 again");
    let before = queue.clearings();
    assert_eq!(queue.ended(&again, false), Change { wait: vec![], clear: vec![lane("a")] });
    assert!(queue.add_fresh(item(6, "a", 0), before, now) && queue.in_hand() == [2], "6 is read again");
    queue.cleared(lane("a"));
    assert!(queue.add_fresh(item(6, "a", 0), before, now) && queue.in_hand() == [2], "4 may be missing on that page");
    for id in [4, 5, 6] {
        assert!(queue.add_fresh(item(id, "a", 0), queue.clearings(), now));
    }
    assert_eq!(queue.next(ONE, now).expect("4").ids(), [4]);
}

#[test]
fn h5_without_lanes_nothing_waits() {
    let (mut queue, now) = (Queue::new(false), Instant::now());
    for id in 1..=3 {
        queue.add_fresh(item(id, "a", 0), 0, now);
    }
    let first = queue.next(ONE, now).expect("1");
    assert_eq!(queue.ended(&first, true), Change::default());
    assert!(queue.next(ONE, now).is_ok() && queue.next(ONE, now).is_ok());
}

#[test]
fn h5_events_wait_for_others_to_share_their_request() {
    let (mut queue, now) = (Queue::new(true), Instant::now());
    let sharing = Sharing { most: 3, wait: Duration::from_secs(1) };
    for id in 1..=2 {
        queue.add_fresh(item(id, "a", 0), 0, now);
    }
    assert_eq!(queue.next(sharing, now).err(), Some(Some(now + sharing.wait)));
    assert_eq!(queue.next(sharing, now + sharing.wait).expect("two").ids(), [1, 2]);
    for (id, chat) in [(3, "a"), (4, "b"), (5, "c"), (6, "d"), (7, "d")] {
        queue.add_fresh(item(id, chat, 0), 0, now);
    }
    // At once, because it is full; without the chat that is under way.
    assert_eq!(queue.next(sharing, now).expect("three").ids(), [4, 5, 6]);
}

proptest! {
    /// Whatever fails and however late pages are, each chat is delivered in its order, and nothing is lost.
    #[test]
    fn h5_no_event_overtakes_another_of_its_chat(steps in proptest::collection::vec((0..6_u8, 0..3_usize), 1..200)) {
        let now = Instant::now();
        let mut queue = Queue::new(true);
        // What the database has: id, chat, and whether it waits or is tried again.
        let (mut queued, mut waiting, mut again) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut under_way, mut last): (Vec<Parcel>, i64) = (vec![], 0);
        let mut page: Option<(u64, Vec<i64>)> = None;
        let mut delivered: HashMap<i64, Vec<i64>> = HashMap::new();
        let chat = |id: i64| format!("{}", id % 3);
        let steps = steps.into_iter().chain((0..1600).map(|n| ([1, 2, 3, 5][n % 4], n % 3)));
        for (step, which) in steps {
            match step {
                0 => {
                    last += 1;
                    queued.insert(last);
                }
                1 => page = page.or_else(|| {
                    let in_hand = queue.in_hand();
                    Some((queue.clearings(), queued.iter().copied().filter(|id| !in_hand.contains(id)).collect()))
                }),
                2 => if let Some((read_after, ids)) = page.take() {
                    for id in ids {
                        if !queue.add_fresh(item(id, &chat(id), 0), read_after, now) {
                            queued.remove(&id);
                            waiting.insert(id);
                            queue.written(&[id]);
                        }
                    }
                    queue.forget_clearings();
                    for id in std::mem::take(&mut again) {
                        queue.add_again(parcel(id, &chat(id)));
                    }
                },
                3 => under_way.extend(queue.next(ONE, now).ok()),
                _ => if !under_way.is_empty() {
                    let parcel = under_way.remove(which % under_way.len());
                    let (id, fails) = (parcel.items[0].id, step == 4);
                    let change = queue.ended(&parcel, fails);
                    queued.remove(&id);
                    if fails { again.insert(id); } else { delivered.entry(id % 3).or_default().push(id); }
                    for id in &change.wait {
                        queued.remove(id);
                        waiting.insert(*id);
                    }
                    queue.written(&parcel.ids());
                    queue.written(&change.wait);
                    for lane in change.clear {
                        let of_lane: Vec<i64> = waiting.iter().copied().filter(|id| *chat(*id) == *lane.chat).collect();
                        for id in of_lane {
                            waiting.remove(&id);
                            queued.insert(id);
                        }
                        queue.cleared(lane);
                    }
                },
            }
        }
        prop_assert!(queued.is_empty() && waiting.is_empty() && again.is_empty() && under_way.is_empty());
        prop_assert_eq!(delivered.values().map(Vec::len).sum::<usize>(), usize::try_from(last).unwrap_or_default());
        for ids in delivered.values() {
            prop_assert!(ids.is_sorted(), "{:?}", ids);
        }
    }
}
