//! Numbers, times and words in cells.

use super::words::Words;
use chrono::{DateTime, FixedOffset, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

/// 1234567 as `1 234 567`, with narrow spaces that do not break.
pub(super) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 1);
    if value < 0 {
        grouped.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A symbol of `assets/icons.svg`.
pub(super) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

/// How long ago a moment was, which a script keeps current; the moment itself under the pointer.
pub(super) fn ago(words: &Words, moment: Option<DateTime<Utc>>) -> Markup {
    html! {
        @if let Some(moment) = moment {
            @let exact = moment.format("%Y-%m-%d %H:%M:%S UTC").to_string();
            time datetime=(moment.to_rfc3339()) data-ago title=(exact) { (exact) }
        } @else {
            span.soft { (words.t("common.never")) }
        }
    }
}

/// A sentence of the database, such as a reason of `wa.why`, with its moments in the reader's zone.
pub(super) fn sentence(zone: Tz, text: &str) -> Markup {
    let mut rest = text;
    let mut parts = vec![];
    while let Some((start, (length, moment))) =
        rest.char_indices().find_map(|(at, _)| Some((at, moment_at(&rest[at..])?)))
    {
        parts.push((&rest[..start], Some(moment)));
        rest = &rest[start + length..];
    }
    parts.push((rest, None));
    html! {
        @for (words, moment) in parts {
            (words)
            @if let Some(moment) = moment {
                time datetime=(moment.to_rfc3339()) { (moment.with_timezone(&zone).format("%Y-%m-%d %H:%M")) }
            }
        }
    }
}

/// The moment that the text begins with, as Postgres writes it, and how many bytes it has: `2026-11-20 10:00:00+00`.
fn moment_at(text: &str) -> Option<(usize, DateTime<FixedOffset>)> {
    let is_year =
        text.get(..5)?.bytes().enumerate().all(|(at, byte)| if at < 4 { byte.is_ascii_digit() } else { byte == b'-' });
    // The offset has minutes in a few zones; a colon behind it may belong to the sentence.
    let read = |length| {
        DateTime::parse_from_str(text.get(..length)?, "%Y-%m-%d %H:%M:%S%#z").ok().map(|moment| (length, moment))
    };
    is_year.then(|| read(25).or_else(|| read(22)))?
}

/// A length of time as Postgres writes it, in words of `time.span`: `01:30:00` as `1 h 30 min`. One with days stays as it is.
pub(super) fn interval(words: &Words, text: &str) -> String {
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return text.to_owned() };
    let trimmed = |part: &str| {
        let (whole, rest) = part.split_once('.').unwrap_or((part, ""));
        let (whole, rest) = (whole.trim_start_matches('0'), rest.trim_end_matches('0'));
        let whole = if whole.is_empty() { "0" } else { whole };
        if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
    };
    let spans = words.t("time.span").split('|');
    let counted = [seconds, minutes, hours].into_iter().map(trimmed).zip(spans);
    let said: Vec<_> =
        counted.filter(|(count, _)| count != "0").map(|(count, span)| span.replacen("{}", &count, 1)).collect();
    if said.is_empty() {
        return words.t("time.span").split('|').next().unwrap_or_default().replacen("{}", "0", 1);
    }
    said.into_iter().rev().collect::<Vec<_>>().join(" ")
}

/// A time of the day without seconds that are none: `22:00:00` as `22:00`.
pub(super) fn time_of_day(text: &str) -> &str {
    text.strip_suffix(":00").filter(|rest| rest.contains(':')).unwrap_or(text)
}

/// A moment to come, with a countdown.
pub(super) fn until(moment: DateTime<Utc>) -> Markup {
    let exact = moment.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(moment.to_rfc3339()) data-until title=(exact) { (exact) } }
}

/// A moment to come, as minutes and seconds that are left.
pub(super) fn clock(moment: DateTime<Utc>) -> Markup {
    html! { time datetime=(moment.to_rfc3339()) data-until="clock" { (moment.format("%H:%M:%S")) } }
}

/// A word with a tone: `good`, `busy`, `warn`, `bad` or `off`.
pub(super) fn pill(tone: &str, word: &str) -> Markup {
    html! { span class={ "pill " (tone) } { i.dot {} (word) } }
}

/// The status of a session.
pub(super) fn session_status(words: &Words, status: &str) -> Markup {
    let tone = match status {
        "connected" => "good",
        "connecting" | "linking" => "busy",
        "banned" | "logged_out" | "no_worker" => "bad",
        "disconnected" => "warn",
        _ => "off",
    };
    pill(tone, words.of_value("session_status", status))
}

/// The status of a message.
pub(super) fn message_status(words: &Words, status: &str) -> Markup {
    let tone = match status {
        "sent" | "delivered" | "read" | "played" => "good",
        "sending" => "busy",
        "queued" | "expired" => "warn",
        "failed" => "bad",
        _ => "off",
    };
    pill(tone, words.of_value("message_status", status))
}

/// A code as letters to be typed or compared.
pub(super) fn letters(code: &str) -> Markup {
    html! {
        p.letters role="img" aria-label=(code) {
            @for letter in code.chars() {
                @if letter == '-' { i { "–" } } @else { span { (letter) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_moments_in_a_sentence_are_in_the_readers_zone() {
        let shown = |text| sentence(Tz::Europe__Berlin, text).into_string();
        assert_eq!(
            shown("пауза since 2026-11-20 10:00:00+00: <b>; until 2026-11-20 15:31:00+05:30"),
            "пауза since <time datetime=\"2026-11-20T10:00:00+00:00\">2026-11-20 11:00</time>: &lt;b&gt;; until \
             <time datetime=\"2026-11-20T15:31:00+05:30\">2026-11-20 11:01</time>"
        );
        assert_eq!(shown("2026-11-20 and 42"), "2026-11-20 and 42");
    }

    #[test]
    fn h2_lengths_of_time_are_in_words() {
        for (text, english, russian) in [
            ("00:00:03", "3 s", "3 с"),
            ("00:00:00", "0 s", "0 с"),
            ("00:00:01.5", "1.5 s", "1.5 с"),
            ("01:30:00", "1 h 30 min", "1 ч 30 мин"),
            ("2 days", "2 days", "2 days"),
        ] {
            let said = |language| interval(Words::of(language).expect("a language"), text);
            assert_eq!((said("en").as_str(), said("ru").as_str()), (english, russian));
        }
        assert_eq!(["22:00:00", "07:30", "07:30:15"].map(time_of_day), ["22:00", "07:30", "07:30:15"]);
    }

    #[test]
    fn h2_numbers_are_grouped_by_thousands() {
        for (value, shown) in
            [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (-12_345_678, "−12\u{202f}345\u{202f}678")]
        {
            assert_eq!(number(value), shown);
        }
    }
}
