//! Values as people write and read them: times, lengths of time, sizes, texts.

use crate::telemetry::wall_clock;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// Units of time with their seconds, the largest first.
const UNITS: [(&str, f64); 4] = [("days", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)];

/// The largest unit that is not longer.
fn unit(seconds: f64) -> (&'static str, f64) {
    UNITS.into_iter().find(|(_, size)| seconds >= *size).unwrap_or(UNITS[3])
}

/// A length of time, in its largest unit.
fn length(seconds: f64) -> String {
    let (unit, size) = unit(seconds);
    let count = (seconds / size).floor();
    let unit = if unit == "days" && count < 2.0 { "day" } else { unit };
    format!("{count:.0} {unit}")
}

/// A moment in the past.
pub(super) fn ago(seconds: f64) -> String {
    format!("{} ago", length(seconds.max(0.0)))
}

/// A moment, seen from now.
pub(super) fn when(at: DateTime<Utc>) -> String {
    seen_from(at, wall_clock())
}

#[expect(clippy::cast_precision_loss, reason = "a length of time is no longer than some thousand years")]
fn seen_from(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_milliseconds() as f64 / 1000.0;
    if seconds <= 0.0 {
        return ago(-seconds);
    }
    // To the nearest one: what was set for in two hours is not shown as in one hour a second later.
    let (_, size) = unit(seconds);
    format!("in {}", length(seconds + size / 2.0))
}

/// A text of others, on one line: a control character would move the cursor, and a line break could forge a row.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The fields of a row that have a value, each on a line, the values below each other. A moment also comes as seen from
/// now.
pub(super) fn fields(row: &Map<String, Value>) -> String {
    let width = row.keys().map(String::len).max().unwrap_or_default();
    let shown = row.iter().filter(|(_, value)| !value.is_null());
    let lines: Vec<String> = shown.map(|(name, value)| format!("{name:<width$}  {}", field(name, value))).collect();
    lines.join("\n")
}

fn field(name: &str, value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    let is_moment = ["_at", "_tick", "_until"].iter().any(|end| name.ends_with(end));
    match text.parse::<DateTime<Utc>>() {
        Ok(at) if is_moment => format!("{} ({})", at.format("%F %T UTC"), when(at)),
        _ => plain(text),
    }
}

/// A size.
#[expect(clippy::cast_precision_loss, reason = "one decimal place is shown")]
pub(super) fn bytes(bytes: i64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A moment that a person names: so long before or after now, or with its date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    /// So many seconds from now, by the clock of the database.
    Away(f64),
    At(DateTime<Utc>),
}

impl Moment {
    /// For SQL: the moment, or else the seconds.
    pub(super) fn parts(self) -> (Option<DateTime<Utc>>, Option<f64>) {
        match self {
            Self::Away(seconds) => (None, Some(seconds)),
            Self::At(moment) => (Some(moment), None),
        }
    }
}

/// Reads a moment.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(moment.into()));
    }
    seconds(text).map(Moment::Away).map_err(|_| {
        "accepted is a time with its unit, such as 30min, 2h or 3d, or a moment such as 2026-11-23T10:00:00Z".to_owned()
    })
}

/// Reads a length of time in seconds.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86400.0),
        "w" => Some(604_800.0),
        _ => None,
    };
    let number = number.parse::<u32>().ok().filter(|number| *number <= 100_000);
    unit.zip(number).map(|(unit, number)| unit * f64::from(number)).ok_or_else(|| {
        "accepted is a whole number from 0 to 100000 with its unit: 20s, 30min, 12h, 3d or 4w".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::json;

    #[test]
    fn h7_s12_a_time_is_shown_in_its_largest_unit() {
        let shown = [-1.0, 0.4, 59.9, 60.0, 3_599.0, 3_600.0, 86_399.0, 86_400.0, 172_800.0].map(ago);
        let expected = [
            "0 s ago",
            "0 s ago",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 day ago",
            "2 days ago",
        ];
        assert_eq!(shown, expected);
        let now = DateTime::UNIX_EPOCH;
        for (seconds, shown) in
            [(299, "in 5 min"), (7_199, "in 2 h"), (3_599, "in 1 h"), (61, "in 1 min"), (1, "in 1 s")]
        {
            assert_eq!(seen_from(now + TimeDelta::seconds(seconds), now), shown, "{seconds}");
        }
        assert_eq!(seen_from(now - TimeDelta::hours(5), now), "5 h ago");
    }

    #[test]
    fn h7_r5_a_text_of_others_stays_on_its_line() {
        assert_eq!(plain("Hi\n\u{1b}[2J\u{9b}1mÄ 🦀"), "Hi  [2J 1mÄ 🦀");
        let row = json!({ "body": "a\rb", "id": 7, "last_error": null, "sent_at": "2020-01-01T00:00:00Z" });
        let shown = row.as_object().map(fields).unwrap_or_default();
        assert!(shown.starts_with("body        a b\nid          7\nsent_at     2020-01-01 00:00:00 UTC ("), "{shown}");
        assert!(shown.ends_with(" days ago)"), "{shown}");
    }

    #[test]
    fn h7_a_size_is_shown_in_its_largest_unit() {
        assert_eq!(
            [0, 1023, 1024, 1536, 5 << 20, 3 << 40].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 TiB"]
        );
    }

    #[test]
    fn h5_a_moment_is_a_time_with_its_unit_or_a_timestamp() {
        for (text, seconds) in [("0s", 0.0), ("30min", 1800.0), ("2h", 7200.0), ("3d", 259_200.0), ("1w", 604_800.0)] {
            assert_eq!(moment(text), Ok(Moment::Away(seconds)), "{text}");
        }
        let at = moment("2026-11-23T10:00:00+01:00");
        assert!(matches!(at, Ok(Moment::At(at)) if at.timestamp() == 1_795_424_400), "{at:?}");
        for text in ["", "2", "h", "2 h", "-2h", "2m", "2026-11-23", "soon", "100001s"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
