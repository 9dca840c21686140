//! Plots as SVG: a title with its unit, axes with round numbers, a legend in words, the values under the pointer, and the
//! same numbers as a table for screen readers.
//!
//! Every function returns HTML whose texts are escaped; the caller puts it into the page as it is (`maud::PreEscaped`).
//! Colours are classes of `assets/web.css`; there is no style attribute, which the Content-Security-Policy would refuse.
//! Horizontal positions are percentages, so that words keep their size in a plot of any width; only lines and areas are
//! in a stretched inner picture. A value that is not finite counts as missing.

use super::format;
use chrono::{DateTime, Datelike as _, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use std::fmt::Write as _;

/// Points drawn at most. When there are more, neighbours become one: the sum of bars, the highest value of a line.
const MOST: usize = 120;
/// Values beyond are drawn at this limit; whole numbers up to here are exact.
const HUGE: f64 = 1e15;
/// Pixels: the whole picture, and the upper and lower end of the vertical axis.
const HEIGHT: f64 = 208.0;
const TOP: f64 = 12.0;
const FLOOR: f64 = 182.0;
/// Width of the stretched inner picture, in its own units.
const WIDTH: f64 = 1000.0;
/// Labels on the time axis at most; a phone hides every second one.
const LABELS: i64 = 7;
const DAY: i64 = 86_400;
/// Steps of the time axis, in seconds.
const STEPS: [i64; 19] = [
    1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY, 7 * DAY, 14 * DAY,
];

/// What the reader reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) zone: Tz,
    /// Short names, January first.
    pub(super) months: [&'a str; 12],
    /// Heading of the column of times.
    pub(super) time: &'a str,
    /// Shown instead of a plot without values.
    pub(super) nothing: &'a str,
}

/// The colour of a series. The numbered ones are told apart with any colour vision; use them in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    One,
    Two,
    Three,
    Four,
    Five,
    Six,
    Good,
    Warn,
    Bad,
    Soft,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::One => "t1",
            Self::Two => "t2",
            Self::Three => "t3",
            Self::Four => "t4",
            Self::Five => "t5",
            Self::Six => "t6",
            Self::Good => "t-good",
            Self::Warn => "t-warn",
            Self::Bad => "t-bad",
            Self::Soft => "t-soft",
        }
    }
}

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For levels and durations. The legend has the last values.
    Lines,
    /// Bars side by side, for counts. The legend has the sums.
    Bars,
    /// Bars on each other, for the parts of a count; values below zero are left out. The legend has the sums.
    Stacked,
}

/// One quantity over time.
#[derive(Debug, Clone)]
pub(super) struct Series<'a> {
    pub(super) label: &'a str,
    pub(super) tone: Tone,
    /// One for each time of the plot; a line has a gap where there is none.
    pub(super) values: Vec<Option<f64>>,
}

/// A level that should not be passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit<'a> {
    pub(super) value: f64,
    pub(super) label: &'a str,
}

/// Quantities over time.
#[derive(Debug, Clone)]
pub(super) struct Plot<'a> {
    /// Unique in the page; letters, digits and hyphens.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// Of all values: `messages a minute`, `seconds`, `%`.
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
    /// In ascending order; of bars, the start of each. Bars are as wide as the shortest step.
    pub(super) times: Vec<DateTime<Utc>>,
    pub(super) series: Vec<Series<'a>>,
    pub(super) limit: Option<Limit<'a>>,
}

impl Plot<'_> {
    /// The plot, its title, legend and table.
    pub(super) fn figure(&self, reader: &Reader<'_>) -> String {
        let mut out = String::new();
        let drawn = Drawn::new(self);
        let id = escaped(self.id);
        let _ = write!(
            out,
            r#"<figure class="plot" data-key="plot-{id}"><figcaption><h2 id="plot-{id}">{} <span>{}</span></h2>"#,
            escaped(self.title),
            escaped(self.unit)
        );
        drawn.legend(&mut out);
        let _ = write!(out, r#"</figcaption><svg role="img" aria-labelledby="plot-{id}" width="100%" height="{HEIGHT}">"#);
        if drawn.is_empty() {
            let _ = write!(
                out,
                r#"<line class="zero" x1="0" x2="100%" y1="{FLOOR}" y2="{FLOOR}"/><text class="none" x="50%" y="{}" text-anchor="middle">{}</text>"#,
                HEIGHT / 2.0,
                escaped(reader.nothing)
            );
        } else {
            drawn.vertical_axis(&mut out);
            drawn.time_axis(&mut out, reader);
            match self.kind {
                Kind::Lines => drawn.lines(&mut out, reader),
                Kind::Bars => drawn.bars(&mut out, reader),
                Kind::Stacked => drawn.stacks(&mut out, reader),
            }
            drawn.limit_line(&mut out);
        }
        out.push_str("</svg>");
        drawn.table(&mut out, reader);
        out.push_str("</figure>");
        out
    }
}

/// A plot with its values made finite and few, and its scales.
struct Drawn<'a> {
    plot: &'a Plot<'a>,
    times: Vec<DateTime<Utc>>,
    /// For each series, as many values as there are times.
    values: Vec<Vec<Option<f64>>>,
    scale: Scale,
    /// Seconds between two neighbours at least; of one point, a minute.
    step: f64,
}

impl<'a> Drawn<'a> {
    fn new(plot: &'a Plot<'a>) -> Self {
        let group = plot.times.len().div_ceil(MOST).max(1);
        let times: Vec<_> = plot.times.iter().step_by(group).copied().collect();
        let values: Vec<_> = plot.series.iter().map(|series| merged(series, plot, group)).collect();
        let step = times.windows(2).map(|pair| seconds(pair[0], pair[1])).filter(|step| *step > 0.0);
        let step = step.min_by(f64::total_cmp).unwrap_or(60.0);
        let limit = plot.limit.map(|limit| limit.value).filter(|value| value.is_finite());
        let single = || values.iter().flatten().flatten().copied();
        let reached: Vec<f64> = if plot.kind == Kind::Stacked {
            let sum = |at| values.iter().filter_map(|series| series[at]).filter(|value| *value > 0.0).sum::<f64>();
            (0..times.len()).map(sum).collect()
        } else {
            single().collect()
        };
        let whole = single().all(|value| value.fract() == 0.0);
        Self { plot, scale: Scale::of(reached.into_iter().chain(limit), whole), times, values, step }
    }

    fn is_empty(&self) -> bool {
        self.times.is_empty() || self.values.iter().flatten().all(Option::is_none)
    }

    /// Where a time is between the left end (0) and the right (1).
    fn across(&self, time: DateTime<Utc>) -> f64 {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else { return 0.5 };
        let width = seconds(*first, *last) + if self.plot.kind == Kind::Lines { 0.0 } else { self.step };
        if width <= 0.0 { 0.5 } else { (seconds(*first, time) / width).clamp(0.0, 1.0) }
    }

    /// Left end and width of the stripe of a point: a bar's place, or what is nearer to this point than to its neighbours.
    fn stripe(&self, at: usize) -> (f64, f64) {
        let here = self.across(self.times[at]);
        let next = self.times.get(at + 1).map(|time| self.across(*time));
        if self.plot.kind == Kind::Lines {
            let before = at.checked_sub(1).map(|before| self.across(self.times[before]));
            let left = before.map_or(0.0, |before| f64::midpoint(before, here));
            let right = next.map_or(1.0, |next| f64::midpoint(here, next));
            return (left, (right - left).max(0.0));
        }
        let width = self.step / (self.step + seconds(self.times[0], self.times[self.times.len() - 1]));
        (here, width.min(1.0 - here).max(0.0))
    }

    fn legend(&self, out: &mut String) {
        if self.is_empty() {
            return;
        }
        out.push_str(r#"<ul class="legend">"#);
        for (at, (series, values)) in self.plot.series.iter().zip(&self.values).enumerate() {
            let shown = if self.plot.kind == Kind::Lines {
                values.iter().rev().find_map(|value| *value)
            } else {
                Some(values.iter().flatten().sum::<f64>().clamp(-HUGE, HUGE))
            };
            let _ = write!(out, r#"<li class="{}"><svg aria-hidden="true">"#, series.tone.class());
            if self.plot.kind == Kind::Lines {
                let _ = write!(out, r#"<line class="line" x1="0" x2="18" y1="5" y2="5"{}/>"#, dashes(at));
            } else {
                out.push_str(r#"<rect class="rod" x="8" width="10" height="10" rx="3"/>"#);
            }
            let _ = write!(out, "</svg>{}", escaped(series.label));
            if let Some(value) = shown {
                let _ = write!(out, " <b>{}</b>", exact(value));
            }
            out.push_str("</li>");
        }
        out.push_str("</ul>");
    }

    fn vertical_axis(&self, out: &mut String) {
        for value in self.scale.ticks() {
            let (y, class) = (self.scale.height(value), if value == 0.0 { "zero" } else { "grid" });
            let _ = write!(
                out,
                r#"<line class="{class}" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/><text x="-8" y="{:.1}" text-anchor="end">{}</text>"#,
                y + 4.0,
                self.scale.short(value)
            );
        }
    }

    fn time_axis(&self, out: &mut String, reader: &Reader<'_>) {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else { return };
        for (at, (time, label)) in time_ticks(*first, *last, reader).into_iter().enumerate() {
            // Below the middle of the bar that begins then.
            let x = if self.plot.kind == Kind::Lines { self.across(time) } else { self.across(time) + self.stripe(0).1 / 2.0 };
            let anchor = match x {
                ..0.03 => "start",
                0.97.. => "end",
                _ => "middle",
            };
            let class = if at % 2 == 1 { r#" class="minor""# } else { "" };
            let _ = write!(
                out,
                r#"<text{class} x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
                percent(x.min(1.0)),
                HEIGHT - 6.0,
                escaped(&label)
            );
        }
    }

    fn lines(&self, out: &mut String, reader: &Reader<'_>) {
        let height = FLOOR - TOP;
        let _ = write!(
            out,
            r#"<svg y="{TOP}" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" overflow="visible">"#
        );
        for (at, (series, values)) in self.plot.series.iter().zip(&self.values).enumerate() {
            let class = series.tone.class();
            let (mut line, mut area) = (String::new(), String::new());
            for run in runs(values).filter(|run| run.len() > 1) {
                let ends = (run[0].0, run[run.len() - 1].0);
                let mut command = 'M';
                for (place, value) in run {
                    let (x, y) = (self.across(self.times[place]) * WIDTH, self.scale.height(value) - TOP);
                    let _ = write!(line, "{command}{x:.1} {y:.1}");
                    let _ = write!(area, "{command}{x:.1} {y:.1}");
                    command = 'L';
                }
                let (left, right) = (self.across(self.times[ends.0]) * WIDTH, self.across(self.times[ends.1]) * WIDTH);
                let zero = self.scale.height(0.0) - TOP;
                let _ = write!(area, "L{right:.1} {zero:.1}L{left:.1} {zero:.1}Z");
            }
            if self.values.len() == 1 && !area.is_empty() {
                let _ = write!(out, r#"<path class="area {class}" d="{area}"/>"#);
            }
            if !line.is_empty() {
                let _ = write!(out, r#"<path class="line {class}" d="{line}"{}/>"#, dashes(at));
            }
        }
        out.push_str("</svg>");
        for place in 0..self.times.len() {
            self.stripe_start(out, reader, place, "hit");
            let x = percent(self.across(self.times[place]));
            let _ = write!(out, r#"<line class="rule" x1="{x}" x2="{x}" y1="{TOP}" y2="{FLOOR}"/>"#);
            for (series, values) in self.plot.series.iter().zip(&self.values) {
                let Some(value) = values[place] else { continue };
                let near = |place: Option<usize>| place.and_then(|it| values.get(it)).is_some_and(Option::is_some);
                // A value between two gaps belongs to no line.
                let lone = if near(place.checked_sub(1)) || near(Some(place + 1)) { "" } else { " lone" };
                let _ = write!(
                    out,
                    r#"<circle class="point{lone} {}" cx="{x}" cy="{:.1}" r="4"/>"#,
                    series.tone.class(),
                    self.scale.height(value)
                );
            }
            out.push_str("</g>");
        }
    }

    fn bars(&self, out: &mut String, reader: &Reader<'_>) {
        let count = real(self.values.len().max(1));
        for place in 0..self.times.len() {
            self.stripe_start(out, reader, place, "hit band");
            let (left, width) = self.stripe(place);
            let each = width * 0.8 / count;
            for (at, (series, values)) in self.plot.series.iter().zip(&self.values).enumerate() {
                let Some(value) = values[place] else { continue };
                let ends = (self.scale.height(value.max(0.0)), self.scale.height(value.min(0.0)));
                rod(out, series.tone, left + width * 0.1 + each * real(at), each, ends);
            }
            out.push_str("</g>");
        }
    }

    fn stacks(&self, out: &mut String, reader: &Reader<'_>) {
        for place in 0..self.times.len() {
            self.stripe_start(out, reader, place, "hit band");
            let (left, width) = self.stripe(place);
            let mut below = 0.0;
            for (series, values) in self.plot.series.iter().zip(&self.values) {
                let Some(value) = values[place].filter(|value| *value > 0.0) else { continue };
                let ends = (self.scale.height(below + value), self.scale.height(below));
                rod(out, series.tone, left + width * 0.1, width * 0.8, ends);
                below += value;
            }
            out.push_str("</g>");
        }
    }

    /// Opens the group of a point: what the pointer shows, and where it shows it.
    fn stripe_start(&self, out: &mut String, reader: &Reader<'_>, place: usize, class: &str) {
        let (left, width) = self.stripe(place);
        let _ = write!(out, r#"<g class="at"><title>{}"#, escaped(&self.moment(self.times[place], reader)));
        for (series, values) in self.plot.series.iter().zip(&self.values) {
            if let Some(value) = values[place] {
                let _ = write!(out, "\n{}: {}", escaped(series.label), exact(value));
            }
        }
        let _ = write!(
            out,
            r#"</title><rect class="{class}" x="{}" width="{}" y="{TOP}" height="{}"/>"#,
            percent(left),
            percent(width),
            FLOOR - TOP
        );
    }

    fn limit_line(&self, out: &mut String) {
        let Some(limit) = self.plot.limit.filter(|limit| limit.value.is_finite()) else { return };
        let y = self.scale.height(limit.value);
        let _ = write!(
            out,
            r#"<line class="limit" x1="0" x2="100%" y1="{y:.1}" y2="{y:.1}"/><text x="100%" y="{:.1}" text-anchor="end">{}</text>"#,
            y - 4.0,
            escaped(limit.label)
        );
    }

    /// A point's time, as exact as the points are close.
    fn moment(&self, time: DateTime<Utc>, reader: &Reader<'_>) -> String {
        let local = time.with_timezone(&reader.zone);
        let day = format!("{} {} {}", local.day(), month(reader, local.month0()), local.year());
        match self.step {
            step if step >= real_seconds(DAY) => day,
            step if step >= 60.0 => format!("{day}, {:02}:{:02}", local.hour(), local.minute()),
            _ => format!("{day}, {:02}:{:02}:{:02}", local.hour(), local.minute(), local.second()),
        }
    }

    fn table(&self, out: &mut String, reader: &Reader<'_>) {
        let _ = write!(
            out,
            r#"<div class="hidden"><table><caption>{}, {}</caption><thead><tr><th scope="col">{}</th>"#,
            escaped(self.plot.title),
            escaped(self.plot.unit),
            escaped(reader.time)
        );
        for series in &self.plot.series {
            let _ = write!(out, r#"<th scope="col">{}</th>"#, escaped(series.label));
        }
        out.push_str("</tr></thead><tbody>");
        for (place, time) in self.times.iter().enumerate() {
            let _ = write!(out, r#"<tr><th scope="row">{}</th>"#, escaped(&self.moment(*time, reader)));
            for values in &self.values {
                let _ = write!(out, "<td>{}</td>", values[place].map(exact).unwrap_or_default());
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>");
    }
}

/// A series with finite values, as many as the plot has times, `group` neighbours merged into one.
fn merged(series: &Series<'_>, plot: &Plot<'_>, group: usize) -> Vec<Option<f64>> {
    let value = |at| series.values.get(at).copied().flatten().filter(|value: &f64| value.is_finite());
    let all: Vec<Option<f64>> = (0..plot.times.len()).map(value).collect();
    let merge = |few: &[Option<f64>]| {
        let few = few.iter().flatten().copied();
        let one = if plot.kind == Kind::Lines { few.reduce(f64::max) } else { few.reduce(|sum, value| sum + value) };
        one.map(|value| value.clamp(-HUGE, HUGE))
    };
    all.chunks(group).map(merge).collect()
}

/// The neighbouring values between gaps, each with its place.
fn runs(values: &[Option<f64>]) -> impl Iterator<Item = Vec<(usize, f64)>> {
    let placed: Vec<_> = values.iter().enumerate().map(|(place, value)| value.map(|value| (place, value))).collect();
    let runs: Vec<Vec<_>> = placed.split(Option::is_none).map(|run| run.iter().flatten().copied().collect()).collect();
    runs.into_iter()
}

/// A bar between two heights; one that is not zero can be seen.
fn rod(out: &mut String, tone: Tone, left: f64, width: f64, (upper, lower): (f64, f64)) {
    let height = lower - upper;
    if height <= 0.0 {
        return;
    }
    // The pixel between a bar and the one below it.
    let shown = (height - 1.0).max(1.0);
    let _ = write!(
        out,
        r#"<rect class="rod {}" x="{}" width="{}" y="{:.1}" height="{shown:.1}" rx="{:.1}"/>"#,
        tone.class(),
        percent(left),
        percent(width),
        upper.min(FLOOR - 1.0),
        (shown / 2.0).min(2.0)
    );
}

/// The vertical axis: its ends are multiples of its step, and zero is between them.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// For these values; `whole` when a part of one means nothing.
    fn of(values: impl Iterator<Item = f64>, whole: bool) -> Self {
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

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round();
        std::iter::successors(Some(0.0), |at| Some(at + 1.0))
            .take_while(move |at| *at <= count)
            .map(|at| self.low + at * self.step)
            // -0 and what subtraction leaves of it.
            .map(|value| if value.abs() < self.step / 1e6 { 0.0 } else { value })
    }

    /// Pixels from the top of the picture.
    fn height(&self, value: f64) -> f64 {
        FLOOR - ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) * (FLOOR - TOP)
    }

    /// A value of the axis in a few letters: `7 500`, `12.5k`, `0.25`.
    fn short(&self, value: f64) -> String {
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
fn time_ticks(first: DateTime<Utc>, last: DateTime<Utc>, reader: &Reader<'_>) -> Vec<(DateTime<Utc>, String)> {
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

fn month<'a>(reader: &Reader<'a>, month0: u32) -> &'a str {
    usize::try_from(month0).ok().and_then(|at| reader.months.get(at)).copied().unwrap_or_default()
}

/// Lines differ in more than their colour.
fn dashes(series: usize) -> &'static str {
    match series % 4 {
        0 => "",
        1 => r#" stroke-dasharray="7 4""#,
        2 => r#" stroke-dasharray="2 4""#,
        _ => r#" stroke-dasharray="9 4 2 4""#,
    }
}

/// A small line without axes: the shape of the last values. `label` says in words what it shows.
pub(super) fn sparkline(values: &[f64], tone: Tone, label: &str) -> String {
    let few: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let few = &few[few.len().saturating_sub(MOST)..];
    let (low, high) = few.iter().fold((0.0_f64, 0.0_f64), |(low, high), value| {
        (low.min(value.max(-HUGE)), high.max(value.min(HUGE)))
    });
    let last = few.len().saturating_sub(1);
    let mut line = String::new();
    for (at, value) in few.iter().enumerate() {
        let x = if last == 0 { 0.0 } else { 100.0 * real(at) / real(last) };
        let part = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let _ = write!(line, "{}{x:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, 22.0 - 20.0 * part);
    }
    if last == 0 && !line.is_empty() {
        line.push_str("L100.0 ");
        line.push_str(line.clone().split([' ', 'L']).nth(1).unwrap_or("22.0"));
    }
    let path = if line.is_empty() { String::new() } else { format!(r#"<path class="line" d="{line}"/>"#) };
    format!(
        r#"<svg class="spark {}" role="img" aria-label="{}" viewBox="0 0 100 24" preserveAspectRatio="none">{path}</svg>"#,
        tone.class(),
        escaped(label)
    )
}

/// A step of a funnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) label: &'a str,
    pub(super) count: i64,
    pub(super) tone: Tone,
}

/// Steps with bars whose widths are shares of the first step, which is the whole.
pub(super) fn funnel(steps: &[Step<'_>]) -> String {
    let whole = steps.first().map_or(0, |step| step.count.max(0));
    let mut out = String::from(r#"<ol class="funnel">"#);
    for (at, step) in steps.iter().enumerate() {
        let share = if whole == 0 { 0.0 } else { (float(step.count) / float(whole)).clamp(0.0, 1.0) };
        let _ = write!(
            out,
            r#"<li class="{}"><span>{}</span><svg aria-hidden="true"><rect width="{}" height="100%"/></svg><b>{}</b><small>"#,
            step.tone.class(),
            escaped(step.label),
            percent(share),
            format::number(step.count)
        );
        if at > 0 && whole > 0 {
            let _ = write!(out, "{} %", grouped(share * 100.0, 1));
        }
        out.push_str("</small></li>");
    }
    out.push_str("</ol>");
    out
}

/// A share of the width.
fn percent(share: f64) -> String {
    let shown = format!("{:.2}", share * 100.0);
    format!("{}%", shown.trim_end_matches('0').trim_end_matches('.'))
}

/// A value with as many digits as mean something.
fn exact(value: f64) -> String {
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
fn grouped(value: f64, decimals: usize) -> String {
    let shown = format!("{:.decimals$}", value.abs());
    let (whole, part) = shown.split_once('.').unwrap_or((&shown, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), format::number);
    let is_zero = shown.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// Text for HTML, also within quotes. A control character, which XML forbids, becomes a space.
fn escaped(text: &str) -> String {
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

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

fn real_seconds(seconds: i64) -> f64 {
    chrono::TimeDelta::seconds(seconds).as_seconds_f64()
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A count as a float; beyond 2^53 not to the last digit.
#[expect(clippy::cast_precision_loss, reason = "shares need no more digits than a float has")]
fn float(count: i64) -> f64 {
    count as f64
}
