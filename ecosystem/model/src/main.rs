//! Prints how the protocol breaks without one of its rules: `cargo run -p wagres-model -- StopBeforeExpiry`.

use std::process::ExitCode;
use wagres_model::cases;
use wagres_model::check::{Found, shortest};
use wagres_model::doorbell::{self, Bell};
use wagres_model::guards::Guard;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let is_wanted = |name: String| name.eq_ignore_ascii_case(&wanted);
    if let Some(guard) = Guard::ALL.into_iter().find(|guard| is_wanted(format!("{guard:?}"))) {
        print(&wanted, &shortest(cases::without(guard)));
    } else if let Some(bell) = Bell::ALL.into_iter().find(|bell| is_wanted(format!("{bell:?}"))) {
        print(&wanted, &shortest(doorbell::without(bell)));
    } else {
        println!("Give one of these rules, to see what breaks without it:");
        let names = Guard::ALL.map(|guard| format!("{guard:?}")).into_iter();
        for name in names.chain(Bell::ALL.map(|bell| format!("{bell:?}"))) {
            println!("  {name}");
        }
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn print(rule: &str, found: &Found) {
    for broken in &found.broken {
        println!("Without {rule} this does not hold: {}. The shortest way there:\n\n{}", broken.promise, broken.trace);
    }
}
