//! Property tests over every entry point (R5): mutated good inputs, noise, and for stanzas and requests trees of the
//! protocol's own words. Every committed seed runs as well, including the inputs that once did harm.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

mod seeds;
mod stanzas;
mod words;

use seeds::{folder, seeds};
use wagres::fuzzing::{auth, content, file, message, passkey, past, worker_stanza};
use wagres_sandbox::fuzzing::{control, frames, media, qr, saved, scenario, stanza};
use words::{conversations, requests, stanzas};

type Target = fn(&[u8]);

/// The fuzz targets by name.
const TARGETS: &[(&str, Target)] = &[
    ("auth", auth),
    ("content", content),
    ("control", control),
    ("file", file),
    ("frames", frames),
    ("media", media),
    ("message", message),
    ("passkey", passkey),
    ("past", past),
    ("qr", qr),
    ("saved", saved),
    ("scenario", scenario),
    ("stanza", stanza),
    ("worker_stanza", worker_stanza),
];

fn names(folder: &std::path::Path) -> std::io::Result<BTreeSet<String>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[test]
fn r5_every_target_is_fuzzed_and_has_seeds() -> std::io::Result<()> {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder())?, targets);
    let files = names(&folder().with_file_name("fuzz_targets"))?;
    assert_eq!(files, targets.iter().map(|name| format!("{name}.rs")).collect());
    Ok(())
}

#[test]
fn r5_the_generated_seeds_are_those_committed() {
    for ((target, name), input) in seeds() {
        let committed = std::fs::read(folder().join(target).join(&name)).unwrap_or_default();
        assert_eq!(committed, input, "{target}/{name} differs; run the test r5_write_the_seeds");
    }
}

#[test]
#[ignore = "writes files"]
fn r5_write_the_seeds() -> std::io::Result<()> {
    for ((target, name), input) in seeds() {
        std::fs::create_dir_all(folder().join(target))?;
        std::fs::write(folder().join(target).join(name), input)?;
    }
    Ok(())
}

/// A regression test with every input that once broke a target.
#[test]
fn r5_every_committed_input_does_no_harm() -> std::io::Result<()> {
    for (target, run) in TARGETS {
        for name in names(&folder().join(target))? {
            eprintln!("{target}/{name}");
            run(&std::fs::read(folder().join(target).join(name))?);
        }
    }
    Ok(())
}

/// Noise, or a good input with some bytes changed, removed, inserted or repeated.
fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let committed = folder().join(target);
    let files = names(&committed).unwrap_or_default();
    let good: Vec<Vec<u8>> = files.iter().filter_map(|name| std::fs::read(committed.join(name)).ok()).collect();
    let change = (any::<Index>(), any::<u8>(), 0..4_u8);
    let mutated = (select(good), vec(change, 0..6)).prop_map(|(mut input, changes)| {
        for (at, byte, how) in changes {
            if input.is_empty() {
                break;
            }
            let at = at.index(input.len());
            match how {
                0 => input[at] = byte,
                1 => drop(input.remove(at)),
                2 => input.insert(at, byte),
                _ => {
                    let again = input[at..].iter().copied().take(usize::from(byte)).collect::<Vec<_>>();
                    input.splice(at..at, again);
                }
            }
        }
        input
    });
    prop_oneof![1 => vec(any::<u8>(), 0..200), 9 => mutated]
}

macro_rules! mutated {
    ($($test:ident: $target:ident, $cases:expr;)*) => { $(
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases($cases) })]
            #[test]
            fn $test(input in mutated(stringify!($target))) {
                $target(&input);
            }
        }
    )* };
}

mutated! {
    r5_no_frame_does_harm: frames, 32;
    r5_no_stanza_does_harm: stanza, 16;
    r5_no_qr_code_does_harm: qr, 24;
    r5_no_request_does_harm: control, 16;
    r5_no_media_does_harm: media, 40;
    r5_no_scenario_does_harm: scenario, 40;
    r5_no_state_file_does_harm: saved, 40;
    r5_no_auth_state_does_harm: auth, 256;
    r5_no_message_does_harm: message, 256;
    r5_no_content_does_harm: content, 256;
    r5_no_file_does_harm: file, 64;
    r5_no_history_does_harm: past, 256;
    r5_no_passkey_does_harm: passkey, 256;
    r5_r10_no_stanza_does_harm_to_a_worker: worker_stanza, 256;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn r5_no_stanza_of_known_words_does_harm(input in conversations()) {
        stanza(&input);
    }

    #[test]
    fn r5_r10_no_stanza_of_known_words_does_harm_to_a_worker(input in stanzas()) {
        worker_stanza(&input);
    }

    #[test]
    fn r5_no_request_of_known_words_does_harm(input in requests()) {
        control(&input);
    }
}
