//! Which of the messages that a claim has read may go, and in which order (Q5, Q6).
//!
//! A message goes when the message before it in its lane is in hand or goes with it, so the order of a lane holds across
//! retries, restarts and holders. A lane is as urgent as its most urgent message.

use std::collections::HashMap;

/// A message that was read, of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) chat: &'a str,
    pub(super) id: i64,
    /// The priority with its sign changed.
    pub(super) rank: i16,
    /// The message before it in its lane, of those that could go.
    pub(super) before: Option<i64>,
    pub(super) state: State,
}

/// What the claim knows of a message that it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is claimed, and may go if the messages before it may.
    Claimed,
    /// It is claimed, but cannot go: there is no memory for it now, or it was over and leaves the queue.
    Refused,
    /// It is in hand already.
    InHand,
    /// Its lane takes no more, or waits.
    PassedOver,
}

/// What becomes of the messages, as places in the list that was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// Those that go, the most urgent first, in order within each lane.
    pub(super) go: Vec<usize>,
    /// Claimed messages that do not go.
    pub(super) returned: Vec<usize>,
    /// For each lane of which nobody else will say when it may go on, one message of it: the lane has to be asked for.
    pub(super) ask: Vec<usize>,
    /// Whether messages stay that become free when their lane ends.
    pub(super) passed: bool,
}

/// At most `most_of_lane` of a lane go, and `room` in all.
pub(super) fn gate(places: &[Place<'_>], in_hand: impl Fn(i64) -> bool, most_of_lane: usize, room: usize) -> Gate {
    let mut lanes: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, place) in places.iter().enumerate() {
        lanes.entry(place.chat).or_default().push(at);
    }
    let mut gate = Gate::default();
    let mut urgent: Vec<(i16, i64, usize)> = Vec::with_capacity(places.len());
    for lane in lanes.values_mut() {
        lane.sort_unstable_by_key(|at| places[*at].id);
        let (mut last, mut open, mut went) = (None, true, 0);
        for at in lane.iter().copied() {
            let place = &places[at];
            let follows = place.before.is_none_or(|before| Some(before) == last || in_hand(before));
            match place.state {
                State::InHand => continue,
                State::Claimed if open && follows && went < most_of_lane => {
                    (last, went) = (Some(place.id), went + 1);
                    urgent.push((place.rank, place.id, at));
                    continue;
                }
                State::Claimed | State::Refused => {
                    // What is before it was not read: neither its end nor anything else would bring the lane back.
                    if open && (place.state == State::Refused || !follows) {
                        gate.ask.push(at);
                    }
                    gate.returned.push(at);
                }
                State::PassedOver => {}
            }
            (open, gate.passed) = (false, true);
        }
        // Nobody waits for a message of its own chat that is less urgent.
        let mut urgency = i16::MAX;
        let first = urgent.len() - went;
        for entry in urgent[first..].iter_mut().rev() {
            urgency = urgency.min(entry.0);
            entry.0 = urgency;
        }
    }
    urgent.sort_unstable();
    let beyond = urgent.split_off(room.min(urgent.len()));
    gate.passed |= !beyond.is_empty();
    gate.go = urgent.into_iter().map(|(_, _, at)| at).collect();
    for (_, _, at) in beyond {
        gate.returned.push(at);
        gate.ask.push(at);
    }
    gate
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(chat: &str, id: i64, rank: i16, before: Option<i64>) -> Place<'_> {
        Place { chat, id, rank, before, state: State::Claimed }
    }

    #[test]
    fn q5_q6_a_lane_keeps_its_order_and_is_as_urgent_as_its_most_urgent_message() {
        let places =
            [place("a", 1, 0, None), place("b", 2, 0, None), place("b", 4, -5, Some(2)), place("c", 3, -1, None)];
        assert_eq!(gate(&places, |_| false, 32, 10).go, [1, 2, 3, 0]);
        // The order in which they were read does not matter.
        let places = [places[2], places[3], places[0], places[1]];
        assert_eq!(gate(&places, |_| false, 32, 10).go, [3, 0, 1, 2]);
    }

    #[test]
    fn q6_a_message_waits_for_one_before_it_that_is_neither_in_hand_nor_read() {
        let places = [place("a", 7, 0, Some(5)), place("a", 8, 0, Some(7)), place("b", 9, 0, Some(6))];
        let gated = gate(&places, |id| id == 6, 32, 10);
        assert_eq!(gated, Gate { go: vec![2], returned: vec![0, 1], ask: vec![0], passed: true });
    }

    #[test]
    fn q6_nothing_goes_past_a_message_that_stays() {
        let mut places = [place("a", 1, 0, None), place("a", 2, 0, Some(1)), place("a", 3, 0, Some(2))];
        places[1].state = State::PassedOver;
        assert_eq!(
            gate(&places, |_| false, 32, 10),
            Gate { go: vec![0], returned: vec![2], ask: vec![], passed: true }
        );
        places[1].state = State::Refused;
        let refused = gate(&places, |_| false, 32, 10);
        assert_eq!(refused, Gate { go: vec![0], returned: vec![1, 2], ask: vec![1], passed: true });
        // One that is in hand is before those behind it.
        places[1].state = State::InHand;
        assert_eq!(gate(&places, |id| id == 2, 32, 10).go, [0, 2]);
    }

    #[test]
    fn q6_a_lane_and_a_session_give_no_more_than_there_is_room_for() {
        let places =
            [place("a", 1, 0, None), place("a", 2, 0, Some(1)), place("b", 3, 0, None), place("c", 4, 0, None)];
        let gated = gate(&places, |_| false, 1, 2);
        assert_eq!((gated.go, gated.passed), (vec![0, 2], true));
        assert_eq!((gated.returned, gated.ask), (vec![1, 3], vec![3]));
    }
}
