//! The settings of an account: privacy, blocked contacts, disappearing messages, and the tokens given to contacts.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// By category, with the protocol's values.
    #[serde(deserialize_with = "known_categories")]
    pub(super) privacy: BTreeMap<&'static str, String>,
    /// By number: since when, in seconds since 1970.
    pub(super) blocked: BTreeMap<String, u64>,
    /// For new chats: the lifetime of messages in seconds, 0 for ever, and when it was set, in seconds since 1970.
    pub(super) disappearing: (u32, u64),
    /// By number: the trusted-contact token that this account gave, and when, in seconds since 1970.
    pub(super) tokens: BTreeMap<String, (Vec<u8>, u64)>,
    /// The limit that the server put on the account.
    #[serde(default)]
    pub(super) limit: Option<Limit>,
}

/// Until a moment the account may start no new chats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// Its kind, in the protocol's words.
    pub(super) kind: String,
    /// Its end, in seconds since 1970.
    pub(super) until: u64,
}

/// Each category with its values; the first is the default.
const CATEGORIES: &[(&str, &[&str])] = &[
    ("readreceipts", &["all", "none"]),
    ("last", &["all", "contacts", "contact_blacklist", "none"]),
    ("online", &["all", "match_last_seen"]),
    ("profile", &["all", "contacts", "contact_blacklist", "none"]),
    ("status", &["all", "contacts", "contact_blacklist", "none"]),
    ("groupadd", &["all", "contacts", "contact_blacklist", "none"]),
    ("calladd", &["all", "known", "contacts"]),
    ("messages", &["all", "contacts"]),
    ("defense", &["off", "on_standard"]),
];

impl Default for Settings {
    fn default() -> Self {
        let first = |(category, values): &(&'static str, &[&str])| Some((*category, (*values.first()?).to_owned()));
        Self {
            privacy: CATEGORIES.iter().filter_map(first).collect(),
            blocked: BTreeMap::new(),
            disappearing: (0, 0),
            tokens: BTreeMap::new(),
            limit: None,
        }
    }
}

/// Privacy from the state file; a missing category has its default.
fn known_categories<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<&'static str, String>, D::Error> {
    let mut settings = Settings::default();
    for (category, value) in BTreeMap::<String, String>::deserialize(deserializer)? {
        if !settings.set(&category, &value) {
            return Err(serde::de::Error::custom(format!("{category} cannot be {value:?}")));
        }
    }
    Ok(settings.privacy)
}

impl Settings {
    /// Sets a category; `false` when the category or the value is unknown.
    pub(super) fn set(&mut self, category: &str, value: &str) -> bool {
        let known = CATEGORIES.iter().find(|(name, values)| *name == category && values.contains(&value));
        known.is_some_and(|(name, _)| {
            self.privacy.insert(name, value.to_owned());
            true
        })
    }

    /// The limit, unless it has ended by then (seconds since 1970).
    pub(super) fn limit_at(&self, now: u64) -> Option<&Limit> {
        self.limit.as_ref().filter(|limit| limit.until > now)
    }

    pub(super) fn blocks(&self, number: &str) -> bool {
        self.blocked.contains_key(number)
    }

    /// Whether senders get read receipts.
    pub(super) fn sends_read_receipts(&self) -> bool {
        !self.is("readreceipts", "none")
    }

    pub(super) fn shows_last_seen(&self) -> bool {
        !self.is("last", "none")
    }

    /// Whether a number may not learn if the owner is online.
    pub(super) fn hides_presence_from(&self, number: &str) -> bool {
        self.blocks(number) || (self.is("online", "match_last_seen") && !self.shows_last_seen())
    }

    fn is(&self, category: &str, value: &str) -> bool {
        self.privacy.get(category).is_some_and(|set| set == value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_a_privacy_setting_takes_its_own_values_only() {
        let mut settings = Settings::default();
        assert!(settings.sends_read_receipts() && settings.shows_last_seen() && !settings.hides_presence_from("1"));
        for (category, value) in [("last", "known"), ("lost", "all"), ("readreceipts", "contacts")] {
            assert!(!settings.set(category, value), "{category} took {value}");
        }
        assert!(settings.set("last", "none") && settings.set("online", "match_last_seen"));
        assert!(!settings.shows_last_seen() && settings.hides_presence_from("1"));
    }
}
