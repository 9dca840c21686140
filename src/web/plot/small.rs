//! Pictures that need no axes: a sparkline and a funnel.

use super::text::{escaped, grouped, percent};
use super::{HUGE, MOST, Tone, real};
use crate::web::format;
use std::fmt::Write as _;

/// A small line without axes: the shape of the last values. `label` says in words what it shows.
pub(in crate::web) fn sparkline(values: &[f64], tone: Tone, label: &str) -> String {
    let mut few: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    few.drain(..few.len().saturating_sub(MOST));
    // One value is a level.
    few.extend(few.first().copied().filter(|_| few.len() == 1));
    let low = few.iter().copied().fold(0.0, f64::min).max(-HUGE);
    let high = few.iter().copied().fold(0.0, f64::max).min(HUGE);
    let mut line = String::new();
    for (at, value) in few.iter().enumerate() {
        let x = 100.0 * real(at) / real(few.len() - 1);
        let part = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let _ = write!(line, "{}{x:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, 22.0 - 20.0 * part);
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
pub(in crate::web) struct Step<'a> {
    pub(in crate::web) label: &'a str,
    pub(in crate::web) count: i64,
    pub(in crate::web) tone: Tone,
}

/// Steps with bars whose widths are shares of the first step, which is the whole.
pub(in crate::web) fn funnel(steps: &[Step<'_>]) -> String {
    let whole = steps.first().map_or(0, |step| step.count.max(0));
    let mut out = String::from(r#"<ol class="funnel">"#);
    for (at, step) in steps.iter().enumerate() {
        let share = if whole == 0 { 0.0 } else { (real(step.count) / real(whole)).clamp(0.0, 1.0) };
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
