//! A law of growth: what was measured at several sizes, the law that fits it, and the law that is wanted.

use super::super::figure::{Better, Figure};
use std::fmt::Write as _;

/// What is wanted of a law.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// No point is above this.
    Most(f64),
    /// The exponent is at most this: about 0 is flat, about 1 is linear.
    Exponent(f64),
}

/// See the module.
pub(super) struct Law {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) wanted: Wanted,
    /// Size and cost.
    pub(super) points: Vec<(f64, f64)>,
}

impl Law {
    /// The exponent of the power law that fits best, by least squares over the logarithms. A cost below one unit counts as one.
    fn exponent(&self) -> f64 {
        let logs: Vec<(f64, f64)> = self.points.iter().map(|(size, cost)| (size.ln(), cost.max(1.0).ln())).collect();
        let count = logs.iter().map(|_| 1.0).sum::<f64>();
        let (x, y) = (logs.iter().map(|it| it.0).sum::<f64>() / count, logs.iter().map(|it| it.1).sum::<f64>() / count);
        let spread: f64 = logs.iter().map(|it| (it.0 - x).powi(2)).sum();
        logs.iter().map(|it| (it.0 - x) * (it.1 - y)).sum::<f64>() / spread
    }

    fn most(&self) -> f64 {
        self.points.iter().map(|it| it.1).fold(0.0, f64::max)
    }

    /// The fitted law as a number, and its limit.
    fn fitted(&self) -> (f64, f64) {
        match self.wanted {
            Wanted::Most(limit) => (self.most(), limit),
            Wanted::Exponent(limit) => (self.exponent(), limit),
        }
    }

    pub(super) fn is_met(&self) -> bool {
        let (found, limit) = self.fitted();
        found <= limit
    }

    /// For JSON.
    pub(super) fn figure(&self) -> Figure {
        let (found, limit) = self.fitted();
        let unit = match self.wanted {
            Wanted::Most(_) => self.unit,
            Wanted::Exponent(_) => "exponent",
        };
        let mut figure = Figure::new(self.id, self.name, found, unit).beside("wanted at most", limit, Better::Less);
        figure.met = Some(self.is_met());
        figure.note = Some(self.measured());
        figure
    }

    /// What was measured.
    fn measured(&self) -> String {
        let mut text = String::new();
        for (size, cost) in &self.points {
            let _ = write!(text, "{}{size}: {cost:.2}", if text.is_empty() { "" } else { ", " });
        }
        format!("{text} {}", self.unit)
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let (found, limit) = self.fitted();
        let kind = match self.wanted {
            Wanted::Most(_) => "most",
            Wanted::Exponent(_) => "exponent",
        };
        let verdict = if self.is_met() { "met" } else { "missed" };
        format!("{:4} {:52} {kind:8} {found:>8.2} {limit:>8.2}  {verdict:6}  {}", self.id, self.name, self.measured())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(points: &[(f64, f64)], wanted: Wanted) -> Law {
        Law { id: "P12", name: "test", unit: "rows", wanted, points: points.to_vec() }
    }

    #[test]
    fn p12_the_exponent_tells_flat_linear_and_quadratic_costs_apart() {
        let of = |power: i32| {
            let points: Vec<(f64, f64)> = [10.0, 100.0, 1000.0_f64].map(|size| (size, 3.0 * size.powi(power))).into();
            law(&points, Wanted::Exponent(0.1)).exponent()
        };
        for power in [0, 1, 2] {
            assert!((of(power) - f64::from(power)).abs() < 1e-9, "{power}: {}", of(power));
        }
        assert!(law(&[(1.0, 7.0), (10.0, 7.5)], Wanted::Exponent(0.1)).is_met());
        assert!(!law(&[(1.0, 7.0), (10.0, 14.0)], Wanted::Exponent(0.1)).is_met());
        assert!(!law(&[(1.0, 7.0), (10.0, 2.0)], Wanted::Most(5.0)).is_met());
    }
}
