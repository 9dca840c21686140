//! Numbers and texts within the pictures.

use crate::web::format;

/// A share of the width.
pub(super) fn percent(share: f64) -> String {
    let shown = format!("{:.2}", share * 100.0);
    format!("{}%", shown.trim_end_matches('0').trim_end_matches('.'))
}

/// A value with as many digits as mean something.
pub(super) fn exact(value: f64) -> String {
    let decimals = match value.abs() {
        whole if whole.fract() == 0.0 => 0,
        ..1.0 => 3,
        1.0..100.0 => 2,
        100.0..10_000.0 => 1,
        _ => 0,
    };
    let shown = grouped(value, decimals);
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

/// A number with its thousands grouped.
pub(super) fn grouped(value: f64, decimals: usize) -> String {
    let shown = format!("{:.decimals$}", value.abs());
    let (whole, part) = shown.split_once('.').unwrap_or((&shown, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), format::number);
    let is_zero = shown.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Text for HTML, also within quotes. A control character, which XML forbids, becomes a space.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}
