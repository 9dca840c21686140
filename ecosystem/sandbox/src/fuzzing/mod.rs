//! Each decoder of the sandbox as a function of bytes (R5, X1). The fuzz targets in `fuzz/` call these, and so do
//! property tests on stable Rust; `docs/testing.md` says how both are run.
//!
//! What it promises: an input meets a small sandbox of its own, with accounts, linked devices and a group, that knows
//! nothing of the inputs before. A function returns when the input did no harm: nothing panicked, in no task either,
//! everything that was to be answered was, and what the server then knows can be read over the control API, saved and
//! read back. Else it panics.
//!
//! What it does not: keys are new in each process, so an input cannot hold what only a key would make; where that
//! matters an input holds the plain text and is encrypted here, or names what it wants in braces (`{auth}`).
//!
//! | file | the input |
//! | --- | --- |
//! | `frames` | what comes over a WebSocket, from the greeting to the first stanzas |
//! | `stanza` | decrypted stanzas, and decrypted messages, one after the other |
//! | `qr` | what is scanned or typed to link a device |
//! | `control`, `media` | requests to the two HTTP servers |
//! | `scenario` | a file of faults |
//! | `saved` | a state file |
//! | `world`, `client`, `request` | what they share: the sandbox, the client of a socket, HTTP in text |

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a promise that an input breaks is to end the program"
)]

mod client;
mod control;
mod frames;
mod media;
mod qr;
mod request;
mod saved;
mod scenario;
mod stanza;
mod world;

pub use control::control;
pub use frames::frames;
pub use media::media;
pub use qr::qr;
pub use saved::saved;
pub use scenario::scenario;
pub use stanza::stanza;

/// Cuts an input into parts: two bytes that say how long a part is, and the part. The last may be cut off.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        data = rest;
        Some(part)
    })
}
