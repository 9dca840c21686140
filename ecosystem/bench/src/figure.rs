//! A figure beside its reference, printed as a row of a table or a line of JSON.

use serde::Serialize;

/// A figure and its reference. A ratio above 1 means that ours is better, whatever the unit.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figure {
    /// The promise that the figure belongs to: P1, A3 …
    pub(super) id: &'static str,
    pub(super) name: String,
    #[serde(rename = "figure")]
    pub(super) value: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) reference: Option<String>,
    #[serde(rename = "reference_figure")]
    pub(super) reference_value: Option<f64>,
    pub(super) ratio: Option<f64>,
    /// The least ratio, if there is one.
    pub(super) budget: Option<f64>,
    pub(super) met: Option<bool>,
    /// Why a value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// Whether a larger or a smaller value is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

impl Figure {
    pub(super) fn new(id: &'static str, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { id, name: name.into(), value: Some(rounded(value)), unit, ..Self::default() }
    }

    /// Adds the value of `reference`.
    pub(super) fn beside(mut self, reference: impl Into<String>, value: f64, better: Better) -> Self {
        self.reference = Some(reference.into());
        self.reference_value = Some(rounded(value));
        let quotient = |one: f64, other: f64| (other > 0.0).then(|| rounded(one / other));
        self.ratio = self.value.and_then(|own| match better {
            Better::More => quotient(own, value),
            Better::Less => quotient(value, own),
        });
        self
    }

    /// Adds the least ratio.
    pub(super) fn budget(mut self, budget: f64) -> Self {
        self.budget = Some(budget);
        self.met = self.ratio.map(|ratio| ratio >= budget);
        self
    }

    /// Adds a reference that could not be measured, and why.
    pub(super) fn without(mut self, reference: impl Into<String>, why: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self.note = Some(why.into());
        self
    }
}

/// Four significant digits: more would be noise.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a double is small")]
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// The median of several measurements.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.get(middle.wrapping_sub(1))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => f64::midpoint(*upper, *lower),
        (Some(middle), _) => *middle,
        _ => f64::NAN,
    }
}

pub(super) fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    if json {
        for figure in figures {
            println!("{}", serde_json::to_string(figure)?);
        }
        return Ok(());
    }
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    println!(
        "{:4} {:34} {:>10} {:22} {:30} {:>10} {:>8} {:>7}  met",
        "id", "what", "figure", "unit", "reference", "figure", "ratio", "budget"
    );
    for it in figures {
        let verdict = it.met.map_or("", |met| if met { "yes" } else { "no" });
        println!(
            "{:4} {:34} {:>10} {:22} {:30} {:>10} {:>8} {:>7}  {}",
            it.id,
            it.name,
            number(it.value),
            it.unit,
            it.reference.as_deref().unwrap_or("-"),
            number(it.reference_value),
            number(it.ratio),
            number(it.budget),
            it.note.as_deref().unwrap_or(verdict),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_a_higher_ratio_is_better_whatever_the_unit() {
        let rate = Figure::new("P1", "drain", 20_000.0, "jobs/s").beside("other", 40_000.0, Better::More).budget(2.0);
        assert_eq!((rate.ratio, rate.met), (Some(0.5), Some(false)));
        let cost = Figure::new("P10", "WAL", 200.0, "bytes").beside("other", 800.0, Better::Less);
        assert_eq!((cost.ratio, cost.met), (Some(4.0), None));
    }

    #[test]
    fn p1_figures_keep_four_digits() {
        assert_eq!([38_412.7, 0.001_234_56, 0.0].map(|it| rounded(it).to_string()), ["38410", "0.001235", "0"]);
    }

    #[test]
    fn p1_the_median_is_in_the_middle() {
        let medians = [vec![3.0, 1.0, 2.0], vec![4.0, 1.0, 2.0, 3.0]].map(|it| median(it).to_string());
        assert_eq!(medians, ["2", "2.5"]);
    }
}
