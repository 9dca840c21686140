//! The axes: round numbers and round times.

use super::text::grouped;
use super::{FLOOR, HUGE, Reader, TOP};
use chrono::{DateTime, Datelike as _, TimeZone as _, Timelike as _, Utc};

/// Labels on the time axis at most; a phone hides every second one.
const LABELS: i64 = 7;
/// Seconds.
pub(super) const DAY: i64 = 86_400;
/// Steps of the time axis, in seconds.
const STEPS: [i64; 19] =
    [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY, 7 * DAY, 14 * DAY];

/// The vertical axis: its ends are multiples of its step, and zero is between them.
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// For these values; `whole` when a part of one means nothing.
    pub(super) fn of(values: impl Iterator<Item = f64>, whole: bool) -> Self {
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = (low.max(-2.0 * HUGE), high.min(2.0 * HUGE));
        let span = if high - low > 1e-9 { high - low } else { 1.0 };
        let rough = span / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|nice| nice * power >= rough * 0.999);
        let step = round.unwrap_or(10.0) * power;
        let step = if whole { step.max(1.0).round() } else { step };
        let high = (high / step - 1e-9).ceil().max(if low < 0.0 { 0.0 } else { 1.0 }) * step;
        Self { low: (low / step + 1e-9).floor() * step, high, step }
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round();
        std::iter::successors(Some(0.0), |at| Some(at + 1.0))
            .take_while(move |at| *at <= count)
            .map(|at| self.low + at * self.step)
            // -0 and what subtraction leaves of it.
            .map(|value| if value.abs() < self.step / 1e6 { 0.0 } else { value })
    }

    /// Pixels from the top of the picture.
    pub(super) fn height(&self, value: f64) -> f64 {
        FLOOR - ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) * (FLOOR - TOP)
    }

    /// A value of the axis in a few letters: `7 500`, `12.5k`, `0.25`.
    pub(super) fn short(&self, value: f64) -> String {
        let reach = self.high.max(-self.low);
        let units = [(1e15, 1e15, "P"), (1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")];
        let found = units.into_iter().find(|(from, ..)| reach >= *from);
        let (unit, letter) = found.map_or((1.0, ""), |(_, unit, letter)| (unit, letter));
        let decimals = (0..9).find(|decimals| {
            let step = self.step / unit * 10_f64.powi(*decimals);
            (step - step.round()).abs() < 1e-6 * step
        });
        let number = grouped(value / unit, usize::try_from(decimals.unwrap_or(9)).unwrap_or(9));
        if value == 0.0 { "0".to_owned() } else { format!("{number}{letter}") }
    }
}

/// The labels of the time axis: round times of the reader's clock. Of one moment, itself.
pub(super) fn time_ticks(
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    reader: &Reader<'_>,
) -> Vec<(DateTime<Utc>, String)> {
    let local = |time: DateTime<Utc>| time.with_timezone(&reader.zone).naive_local();
    let day = |local: chrono::NaiveDateTime| format!("{} {}", local.day(), month(reader, local.month0()));
    let clock = |local: chrono::NaiveDateTime, seconds: bool| {
        let shown = format!("{:02}:{:02}", local.hour(), local.minute());
        if seconds { format!("{shown}:{:02}", local.second()) } else { shown }
    };
    let span = (last - first).num_seconds();
    if span <= 0 {
        return vec![(first, format!("{}, {}", day(local(first)), clock(local(first), false)))];
    }
    let days = (span / (DAY * LABELS) + 1) * DAY;
    let step = STEPS.into_iter().find(|step| span / step < LABELS).unwrap_or(days);
    let start = local(first).and_utc().timestamp();
    let start = start + (-start).rem_euclid(step);
    let end = local(last).and_utc().timestamp();
    let mut ticks = Vec::new();
    // An hour that summer time repeats would make a tick more than the span divided by the step.
    for at in (0..=LABELS).map(|count| start + count * step).take_while(|at| *at <= end) {
        let Some(naive) = DateTime::from_timestamp(at, 0).map(|time| time.naive_utc()) else { continue };
        // Summer time has skipped this hour.
        let Some(time) = reader.zone.from_local_datetime(&naive).earliest() else { continue };
        let time = time.with_timezone(&Utc);
        if time < first || time > last {
            continue;
        }
        let is_midnight = at.rem_euclid(DAY) == 0;
        ticks.push((time, if is_midnight { day(naive) } else { clock(naive, step < 60) }));
    }
    ticks
}

/// The short name of a month.
pub(super) fn month<'a>(reader: &Reader<'a>, month0: u32) -> &'a str {
    usize::try_from(month0).ok().and_then(|at| reader.months.get(at)).copied().unwrap_or_default()
}
