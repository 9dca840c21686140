//! A cron expression in a time zone: which expressions are accepted, and which moments they name.
//!
//! Accepted is what `wa.cron_error` accepts (`sql/schema/51_cron.sql`): five fields of `*`, values, ranges, steps and
//! lists. The library would accept more (seconds, years, `L`, `W`, `#`, `@daily`, empty items). But SQL checks what a
//! person writes, and SQL has no library, so the smaller language is the common one.
//!
//! When the clock changes: with one minute and one hour, a tick in the skipped hour fires at the first moment after
//! that hour, and a tick in the repeated hour fires the first time only. Anything else in those two fields follows the
//! wall clock: no ticks in the skipped hour, and the ticks of the repeated hour fire twice.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpressionError {
    /// The library does not know the time zone, though the database does, or the row was not checked.
    #[error("time_zone: \"{0}\" is unknown to this worker; accepted is a name such as Europe/Berlin or UTC")]
    Zone(String),
    /// Not in the common language.
    #[error("cron: \"{0}\" is not five fields of *, values, ranges, steps and lists of those")]
    Shape(String),
    /// A day that none of the given months has, such as 30 February.
    #[error("cron: \"{0}\" never fires: none of its months has such a day")]
    Never(String),
    /// The library refuses it: a value is out of range, or a range ends before it begins.
    #[error("cron: \"{expression}\": {source}")]
    Cron {
        /// The expression.
        expression: String,
        /// The library's reason.
        source: CronError,
    },
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Names and largest value of each field.
const FIELDS: [(&[&str], u8); 5] = [(&[], 59), (&[], 23), (&[], 31), (MONTHS, 12), (DAYS, 7)];

/// Longest expression, in characters.
const LONGEST: usize = 256;

/// A parsed expression and its time zone.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    cron: Cron,
    zone: Tz,
}

impl Expression {
    /// Parses an expression that follows the clock of `zone`.
    ///
    /// # Errors
    /// See [`ExpressionError`].
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ExpressionError> {
        let zone = zone.parse().map_err(|_| ExpressionError::Zone(zone.to_owned()))?;
        if !is_plain(expression) {
            return Err(ExpressionError::Shape(expression.to_owned()));
        }
        let fail = |source| ExpressionError::Cron { expression: expression.to_owned(), source };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(fail)?;
        if is_never(&cron) {
            return Err(ExpressionError::Never(expression.to_owned()));
        }
        Ok(Self { text: expression.to_owned(), cron, zone })
    }

    /// The first tick after `moment`.
    ///
    /// # Errors
    /// There is none within the time that the library searches.
    pub fn next_after(&self, moment: DateTime<Utc>) -> Result<DateTime<Utc>, ExpressionError> {
        let next = self.cron.find_next_occurrence(&moment.with_timezone(&self.zone), false);
        next.map(|tick| tick.to_utc()).map_err(|source| self.fail(source))
    }

    /// The latest ticks after `from` and up to `to`, at most `most`, in order.
    ///
    /// # Errors
    /// As [`Expression::next_after`].
    pub fn latest(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: usize,
    ) -> Result<Vec<DateTime<Utc>>, ExpressionError> {
        let mut ticks = Vec::new();
        let mut before = to.with_timezone(&self.zone);
        while ticks.len() < most {
            let found = self.cron.find_previous_occurrence(&before, ticks.is_empty());
            before = found.map_err(|source| self.fail(source))?;
            if before <= from {
                break;
            }
            ticks.push(before.to_utc());
        }
        ticks.reverse();
        Ok(ticks)
    }

    fn fail(&self, source: CronError) -> ExpressionError {
        ExpressionError::Cron { expression: self.text.clone(), source }
    }
}

/// Checked here, because the library would search three thousand years.
fn is_never(cron: &Cron) -> bool {
    let longest = cron.pattern.months.values().into_iter().map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    cron.pattern.is_dow_wildcard() && cron.pattern.days.values().first() > longest.max().as_ref()
}

/// Whether the expression has the shape of the common language. The library checks the ranges of values.
fn is_plain(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    expression.chars().count() <= LONGEST
        && fields.len() == FIELDS.len()
        && fields.iter().zip(FIELDS).all(|(field, (names, most))| field.split(',').all(|i| is_item(i, names, most)))
}

fn is_item(item: &str, names: &[&str], most: u8) -> bool {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let is_value = |word: &str| number(word).is_some() || names.iter().any(|name| name.eq_ignore_ascii_case(word));
    let spans = range == "*" || range.split_once('-').is_some_and(|(first, last)| is_value(first) && is_value(last));
    match step {
        Some(step) => spans && number(step).is_some_and(|step| (1..=most).contains(&step)),
        None => spans || is_value(range),
    }
}

/// One or two digits.
fn number(word: &str) -> Option<u8> {
    let digits = matches!(word.len(), 1 | 2) && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits { word.parse().ok() } else { None }
}
