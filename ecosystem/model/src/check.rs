//! Runs the checker, and tells a counterexample in words.

use stateright::{Checker, Model, Path, Representative};
use std::fmt::{Debug, Display, Write as _};
use std::hash::Hash;

/// What a run has found.
#[derive(Debug, Clone)]
pub struct Found {
    /// How many different states there are.
    pub states: usize,
    /// The promises that do not hold, each with the steps that break it.
    pub broken: Vec<Broken>,
}

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub promise: &'static str,
    /// The steps, one a line.
    pub trace: String,
}

/// A state that can be told in a line.
pub trait Told {
    /// What an operator would see.
    fn told(&self) -> String;
}

/// Visits every state once, and takes those that are alike for one. Finds whether promises hold; its traces are long.
pub fn exhaust<M>(model: M) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Representative + Hash + Told + Clone + PartialEq + Debug + Send + Sync + 'static,
    M::Action: Display + Clone + PartialEq + Debug,
{
    found(&model.checker().symmetry().spawn_dfs().join())
}

/// Visits the nearest states first, so that the traces are the shortest there are.
pub fn shortest<M>(model: M) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Hash + Told + Clone + PartialEq + Debug + Send + Sync + 'static,
    M::Action: Display + Clone + PartialEq + Debug,
{
    found(&model.checker().spawn_bfs().join())
}

fn found<M, C>(checker: &C) -> Found
where
    C: Checker<M>,
    M: Model,
    M::State: Hash + Told + Clone + PartialEq + Debug,
    M::Action: Display + Clone + PartialEq + Debug,
{
    let mut broken: Vec<Broken> =
        checker.discoveries().into_iter().map(|(promise, path)| Broken { promise, trace: told(path) }).collect();
    broken.sort_unstable_by_key(|broken| broken.promise);
    Found { states: checker.unique_state_count(), broken }
}

/// A step a line, with what changed by it.
fn told<S: Told, A: Display>(path: Path<S, A>) -> String {
    let mut trace = String::new();
    let mut step = 0;
    let mut before: Option<A> = None;
    for (state, next) in path.into_vec() {
        let line = state.told();
        // Writing into a string does not fail.
        let _ = match before.take() {
            None => writeln!(trace, "    {line}"),
            Some(action) => writeln!(trace, "{step:2}. {action}\n    {line}"),
        };
        (before, step) = (next, step + 1);
    }
    trace
}
