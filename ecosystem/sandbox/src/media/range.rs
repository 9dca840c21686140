//! The requested part of a file.

use std::ops::Range;

/// Reads a `Range` header for a file of `len` bytes. `Ok(None)` stands for the whole file, which is also the answer to
/// unknown forms (RFC 9110 lets a server ignore the header); `Err` means that the part is beyond the end.
pub(super) fn parse(header: &str, len: usize) -> Result<Option<Range<usize>>, ()> {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Ok(None);
    };
    let (first, last) = match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, len),
        // The last `count` bytes.
        (Err(_), Ok(count)) if first.trim().is_empty() => (len.saturating_sub(count), len),
        _ => return Ok(None),
    };
    if first < last { Ok(Some(first..last)) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_ranges_as_clients_write_them() {
        for (header, wanted) in [
            ("bytes=0-3", Ok(Some(0..4))),
            ("bytes=4-", Ok(Some(4..10))),
            ("bytes=4-99", Ok(Some(4..10))),
            ("bytes=-3", Ok(Some(7..10))),
            ("bytes=-99", Ok(Some(0..10))),
            ("bytes=10-", Err(())),
            ("bytes=5-3", Err(())),
            ("bytes=0-1,4-5", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=-", Ok(None)),
            ("lines=0-1", Ok(None)),
        ] {
            assert_eq!(parse(header, 10), wanted, "{header}");
        }
    }
}
