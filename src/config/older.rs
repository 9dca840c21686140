//! Names of the older systems' environment, and the settings that they stand for. The names of wagres win over them.

use super::ConfigError;
use figment::providers::Env;
use serde_json::{Map, Value, json};

/// Names of the section `[marketplace]`.
const MARKETPLACE: &[(&str, &str)] = &[
    ("YCLIENTS_PARTNER_TOKEN", "partner_token"),
    ("YCLIENTS_APP_ID", "application_id"),
    ("JWT_SECRET", "jwt_secret"),
    ("BASE_URL", "base_url"),
    ("USE_PAIRING_CODE", "pairing_code"),
    ("WHATSAPP_PHONE_NUMBER", "phone"),
    ("TEST_PHONE_NUMBER", "test_phone"),
];

/// A value under an older name that its setting cannot have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    name: &'static str,
    key: &'static str,
    found: String,
    accepted: &'static str,
}

impl Wrong {
    /// Whether the environment has the setting under its name of today, too.
    pub(super) fn is_overruled(&self) -> bool {
        std::env::var_os(format!("WAGRES_MARKETPLACE__{}", self.key.to_ascii_uppercase())).is_some()
    }
}

impl From<Wrong> for ConfigError {
    fn from(Wrong { name, found, accepted, .. }: Wrong) -> Self {
        Self::Value { key: name, found: format!("{found:?}"), accepted: accepted.into() }
    }
}

/// The settings that the environment of this process makes under the older names, without values that are wrong.
pub(super) fn settings() -> (Value, Vec<Wrong>) {
    let names: Vec<&str> = MARKETPLACE.iter().map(|(name, _)| *name).chain(["LOG_LEVEL"]).collect();
    of(Env::raw().only(&names).iter().map(|(name, value)| (name.to_string(), value)))
}

fn of(variables: impl Iterator<Item = (String, String)>) -> (Value, Vec<Wrong>) {
    let (mut settings, mut marketplace, mut wrong) = (Map::new(), Map::new(), vec![]);
    // An empty line of a file of settings says nothing.
    for (name, value) in variables.filter(|(_, value)| !value.trim().is_empty()) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("LOG_LEVEL") {
            settings.insert("log".into(), Value::String(filter(value)));
        } else if let Some(&(name, key)) = MARKETPLACE.iter().find(|(it, _)| name.eq_ignore_ascii_case(it)) {
            // Numbers of phones and secrets of digits are texts.
            let read = match key {
                "application_id" => value.parse::<u64>().map(Value::from).map_err(|_| "a number such as 18289"),
                "pairing_code" => match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" | "on" => Ok(json!(true)),
                    "false" | "0" | "no" | "off" => Ok(json!(false)),
                    _ => Err("true or false"),
                },
                _ => Ok(json!(value)),
            };
            match read {
                Ok(value) => drop(marketplace.insert(key.into(), value)),
                Err(accepted) => wrong.push(Wrong { name, key, found: value.to_owned(), accepted }),
            }
        }
    }
    if !marketplace.is_empty() {
        settings.insert("marketplace".into(), Value::Object(marketplace));
    }
    (Value::Object(settings), wrong)
}

/// The filter of the log for a level of the older systems, whose loggers have more levels.
fn filter(level: &str) -> String {
    let level = match level.to_ascii_lowercase().as_str() {
        "fatal" => "error".into(),
        "http" | "verbose" => "debug".into(),
        "silly" => "trace".into(),
        "silent" => "off".into(),
        other => other.to_owned(),
    };
    if level == "off" { level } else { super::Config::default().log.replacen("info", &level, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_h6_the_older_names_are_settings() {
        let given = [
            ("YCLIENTS_PARTNER_TOKEN", "0123"),
            ("YCLIENTS_APP_ID", "18289"),
            ("BASE_URL", ""),
            ("USE_PAIRING_CODE", "True"),
            ("WHATSAPP_PHONE_NUMBER", "79001234567"),
            ("LOG_LEVEL", "verbose"),
        ];
        let (found, wrong) = of(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(
            found,
            json!({
                "log": "debug,whatsapp_rust=warn,wacore=warn,sqlx=warn,lofty=error",
                "marketplace": {
                    "partner_token": "0123",
                    "application_id": 18289,
                    "pairing_code": true,
                    "phone": "79001234567",
                },
            })
        );
        assert_eq!(wrong, []);
        let given = [("YCLIENTS_APP_ID", "abc"), ("USE_PAIRING_CODE", "perhaps"), ("BASE_URL", "x")];
        let (found, wrong) = of(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(found, json!({ "marketplace": { "base_url": "x" } }));
        assert_eq!(wrong.iter().map(|it| it.name).collect::<Vec<_>>(), ["YCLIENTS_APP_ID", "USE_PAIRING_CODE"]);
    }
}
