//! Each decoder of the sandbox as a function of bytes (R5, X1). The fuzz targets in `fuzz/` call these functions, and
//! so do the property tests in `tests/fuzzing/` on stable Rust; `docs/testing.md` says how to run both.
//!
//! What it promises: each input gets a small sandbox of its own, with accounts, linked devices and a group, untouched
//! by earlier inputs. A function returns when the input did no harm: no task panicked, every request that needs an
//! answer got one, and the resulting state can be read over the control API, saved and restored. Otherwise the function
//! panics.
//!
//! What it does not: keys are new in each process, so an input cannot contain data that only a key could produce. Where
//! that matters, the input contains the plain text and is encrypted here, or names the missing part in braces
//! (`{auth}`).
//!
//! | file | the input |
//! | --- | --- |
//! | `frames` | the bytes of a WebSocket, from the greeting to the first stanzas |
//! | `stanza` | decrypted stanzas and decrypted messages, one after the other |
//! | `qr` | a QR code or pairing code |
//! | `control`, `media` | requests to the two HTTP servers |
//! | `scenario` | a scenario file |
//! | `saved` | a state file |
//! | `world`, `client`, `request` | shared parts: the sandbox, the client without a socket, HTTP as text |

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a broken promise must end the program"
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

/// Splits an input into parts: two bytes with the length of a part, then the part. The last part may be cut off.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        data = rest;
        Some(part)
    })
}
