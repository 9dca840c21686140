//! Prints how the protocol breaks without a guard: `cargo run -p wagres-model -- StopBeforeExpiry`.

use std::process::ExitCode;
use wagres_model::cases;
use wagres_model::check::shortest;
use wagres_model::guards::Guard;

fn main() -> ExitCode {
    let all = || Guard::BUILT.into_iter().chain(Guard::PROPOSED);
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some(guard) = all().find(|guard| format!("{guard:?}").eq_ignore_ascii_case(&wanted)) else {
        println!("Give one of these, to see what happens without it:");
        all().for_each(|guard| println!("  {guard:?}"));
        return ExitCode::from(2);
    };
    let found = shortest(cases::without(guard));
    println!("{} states", found.states);
    for broken in &found.broken {
        println!("Without {guard:?} this does not hold: {}\n{}", broken.promise, broken.trace);
    }
    ExitCode::SUCCESS
}
