//! Plots as SVG: a title with its unit, axes with round numbers, a legend in words, the values under the pointer, and the
//! same numbers as a table for screen readers.
//!
//! Every function returns HTML whose texts are escaped; the caller puts it into the page as it is (`maud::PreEscaped`).
//! Colours are classes of `assets/web.css`; there is no style attribute, which the Content-Security-Policy would refuse.
//! Horizontal positions are percentages, so that words keep their size in a plot of any width; only lines and areas are
//! in a stretched inner picture. A value that is not finite counts as missing.

mod axis;
mod small;
#[cfg(test)]
mod tests;
mod text;

use axis::{DAY, Scale, month, time_ticks};
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use chrono_tz::Tz;
use std::fmt::Write as _;
use text::{escaped, exact, percent};

pub(super) use small::{Step, funnel, sparkline};

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
        let _ =
            write!(out, r#"</figcaption><svg role="img" aria-labelledby="plot-{id}" width="100%" height="{HEIGHT}">"#);
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
                out.push_str(r#"<rect class="rod" width="10" height="10" rx="3"/>"#);
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
            let x = if self.plot.kind == Kind::Lines {
                self.across(time)
            } else {
                self.across(time) + self.stripe(0).1 / 2.0
            };
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

/// Lines differ in more than their colour.
fn dashes(series: usize) -> &'static str {
    match series % 4 {
        0 => "",
        1 => r#" stroke-dasharray="7 4""#,
        2 => r#" stroke-dasharray="2 4""#,
        _ => r#" stroke-dasharray="9 4 2 4""#,
    }
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64()
}

fn real_seconds(seconds: i64) -> f64 {
    chrono::TimeDelta::seconds(seconds).as_seconds_f64()
}

/// A count as a number of a plot; beyond 2^53 not to the last digit.
#[expect(clippy::cast_precision_loss, reason = "a plot needs no more digits than a float has")]
pub(super) fn real(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}
