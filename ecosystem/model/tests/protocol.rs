//! The protocol keeps its promises, and none of its guards can be taken out (R12).

use wagres_model::cases;
use wagres_model::check::{exhaust, shortest};
use wagres_model::guards::Guard;
use wagres_model::protocol::Protocol;

fn holds(model: Protocol) {
    let found = exhaust(model);
    println!("{} states", found.states);
    assert!(found.broken.is_empty(), "{}: {}", found.broken[0].promise, found.broken[0].trace);
}

fn breaks(guard: Guard) {
    let model = cases::without(guard);
    let promise = model.promises[0].name();
    let found = shortest(model);
    assert!(found.broken.iter().any(|broken| broken.promise == promise), "nothing breaks without {guard:?}");
}

#[test]
fn r12_s3_q6_q7_messages_are_shown_once_and_in_order_and_none_is_forgotten() {
    holds(cases::sending(1));
    holds(cases::two_workers_fail());
}

#[test]
fn r12_r2_received_messages_are_stored_once_and_none_is_lost() {
    holds(cases::receiving(2));
}

#[test]
fn r12_r1_no_key_is_used_twice() {
    holds(cases::keys(1));
}

#[test]
fn r12_r7_no_key_is_used_twice_after_a_failover() {
    holds(cases::failover_alone());
    holds(cases::failover_and_crash());
}

#[test]
fn r12_a_guard_keeps_what_breaks_without_it() {
    for guard in Guard::ALL {
        breaks(guard);
    }
}

/// Those of which the model has too many states with the guard.
const LONG: [Guard; 2] = [Guard::EpochsAfterFailover, Guard::WaitAfterFailover];

/// Without a guard, only what that guard protects breaks.
#[test]
fn r12_nothing_else_breaks_where_a_guard_is_taken_out() {
    for guard in Guard::ALL.into_iter().filter(|guard| !LONG.contains(guard)) {
        holds(cases::with(guard));
    }
}

#[test]
#[ignore = "make soak runs it"]
fn r12_promises_hold_in_long_runs() {
    holds(cases::sending(2));
    holds(cases::receiving(3));
    holds(cases::keys(2));
}

#[test]
#[ignore = "make soak runs it"]
fn r12_promises_hold_after_a_failover_in_long_runs() {
    for guard in LONG {
        holds(cases::with(guard));
    }
    holds(cases::failover_and_fault());
}
