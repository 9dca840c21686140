//! The one source of randomness for keys, nonces and secrets: the operating system's generator, by way of the thread's.

use rand::{CryptoRng, Rng as _};

/// A generator fit for keys, for those who ask for one (`KeyPair::generate`).
#[expect(clippy::disallowed_methods, reason = "the one source of keys")]
pub(crate) fn generator() -> impl CryptoRng {
    rand::rng()
}

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) {
    generator().fill_bytes(bytes);
}
