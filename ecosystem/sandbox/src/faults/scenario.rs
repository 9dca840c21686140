//! A scenario: a seed, phones and timed rules in one text, JSON or TOML.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::control::phone_number;
use super::super::phone::{Phone, PhoneError};
use super::super::server::Server;
use super::link::set;
use super::rule::Rule;

/// The start of a sandbox: `{"seed": …, "phones": ["15550001"], "faults": [{…rule…, "at_ms": …}]}`.
#[derive(Debug, Clone)]
pub struct Scenario {
    seed: Option<u64>,
    phones: Vec<String>,
    faults: Vec<Rule>,
}

/// Why a scenario is refused, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario: {0}")]
pub struct ScenarioError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    seed: Option<u64>,
    #[serde(default)]
    phones: Vec<String>,
    #[serde(default)]
    faults: Vec<Value>,
}

impl Scenario {
    /// Reads JSON, which starts with a brace, or TOML.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let json = text.trim_start().starts_with('{');
        let value: Result<Value, String> = if json {
            serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
        } else {
            toml::from_str(text).map_err(|error| format!("is neither JSON, which starts with {{, nor TOML: {error}"))
        };
        let given = value.and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
        let ScenarioFile { seed, phones, faults } = given.map_err(ScenarioError)?;
        let phones = phones.iter().enumerate().map(|(at, number)| phone_number(&format!("phones[{at}]"), number));
        let faults = faults
            .into_iter()
            .enumerate()
            .map(|(at, rule)| Rule::read(rule).map_err(|error| format!("faults[{at}]: {error}")));
        Ok(Self {
            seed,
            phones: phones.collect::<Result<_, _>>().map_err(ScenarioError)?,
            faults: faults.collect::<Result<_, _>>().map_err(ScenarioError)?,
        })
    }

    /// Creates the phones and replaces all rules. Returns the seed in force and the ids of the rules.
    pub(in super::super) fn play(self, server: &Arc<Server>) -> Result<(u64, Vec<u64>), PhoneError> {
        for number in &self.phones {
            Phone::create(server, number, None)?;
        }
        let seed = server.faults.reset(self.seed);
        Ok((seed, self.faults.into_iter().map(|rule| set(server, rule)).collect()))
    }

    pub(in super::super) fn phones(&self) -> &[String] {
        &self.phones
    }
}
