//! No wake-up is lost for longer than the poll, and none of the doorbell's rules can be taken out (R12).

use wagres_model::check::{exhaust, shortest};
use wagres_model::doorbell::{Bell, Doorbell, built, with_old_snapshots, without};

fn holds(model: Doorbell) {
    let found = exhaust(model);
    println!("{} states", found.states);
    assert!(found.broken.is_empty(), "{}", found.broken[0].trace);
}

#[test]
fn r12_q9_a_message_is_claimed_promptly_without_the_poll() {
    for model in [built(1, 0), built(0, 1)] {
        holds(Doorbell { without: Some(Bell::Poll), ..model });
    }
}

#[test]
fn r12_q9_no_message_waits_longer_than_the_poll() {
    holds(with_old_snapshots(0, 0));
}

#[test]
#[ignore = "make soak runs it"]
fn r12_q9_no_wake_up_is_lost_in_long_runs() {
    holds(built(1, 2));
    holds(built(2, 1));
    holds(with_old_snapshots(1, 1));
}

#[test]
fn r12_q9_each_rule_of_the_doorbell_keeps_what_breaks_without_it() {
    for bell in Bell::ALL {
        assert!(!shortest(without(bell)).broken.is_empty(), "nothing breaks without {bell:?}");
    }
}
