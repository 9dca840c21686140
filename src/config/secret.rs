//! A text that must not be shown: `Debug` and `Serialize` mask it.

use serde::{Deserialize, Serialize, Serializer};

/// A secret setting. Serialises and prints as a connection URL with its password masked, or as asterisks.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text that may be shown: a URL without its passwords, else asterisks.
    #[must_use]
    pub fn masked(&self) -> String {
        match url::Url::parse(&self.0) {
            Ok(mut url) if url.has_host() => {
                if url.password().is_some() && url.set_password(Some("***")).is_err() {
                    return "***".into();
                }
                let query: Vec<(String, String)> = url
                    .query_pairs()
                    .map(|(k, v)| {
                        let v = if k.contains("password") { "***".into() } else { v.into_owned() };
                        (k.into_owned(), v)
                    })
                    .collect();
                if !query.is_empty() {
                    url.query_pairs_mut().clear().extend_pairs(query);
                }
                url.into()
            }
            _ => "***".into(),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}
