//! A file as a function of bytes (R5).

#![allow(clippy::expect_used, reason = "an input that breaks a promise must end the program")]

use super::inspect::{inspect, square};
use crate::message::attachment::MediaKind;
use std::io::Write as _;
use tempfile::NamedTempFile;

const KINDS: [MediaKind; 7] = [
    MediaKind::Image,
    MediaKind::Video,
    MediaKind::Gif,
    MediaKind::Audio,
    MediaKind::Voice,
    MediaKind::Document,
    MediaKind::Sticker,
];

/// Inspects a file as the kind that a number chooses, and as a profile picture.
pub(in crate::messages) fn file(kind: u8, bytes: &[u8]) {
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    if let Err(reason) = inspect(kind, &file) {
        assert!(!reason.is_empty() && reason.len() < 500, "{reason}");
    }
    drop(square(bytes.to_vec()));
}
