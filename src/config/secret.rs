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

    /// A URL without its passwords, for somebody who has them from elsewhere; else asterisks.
    #[must_use]
    pub fn without_password(&self) -> String {
        match url::Url::parse(&self.0) {
            Ok(mut url) if url.has_host() || url.scheme().starts_with("postgres") => {
                // Fails for a URL without a host, which has no password either.
                let _ = url.set_password(None);
                let is_secret = |pair: &&str| pair.split('=').next().is_some_and(|name| name.contains("password"));
                let kept: Vec<_> =
                    url.query().into_iter().flat_map(|it| it.split('&')).filter(|it| !is_secret(it)).collect();
                let kept = kept.join("&");
                url.set_query((!kept.is_empty()).then_some(kept.as_str()));
                url.into()
            }
            _ => "***".into(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q14_a_url_without_its_password_keeps_the_rest() {
        for (url, shown) in [
            ("postgres://a:hunter2@h:5/d?host=/tmp/a%20b", "postgres://a@h:5/d?host=/tmp/a%20b"),
            ("postgres://a@h/d?sslpassword=hunter2&user=b", "postgres://a@h/d?user=b"),
            ("postgres://h/d?password=hunter2", "postgres://h/d"),
            ("postgres:///d?host=/tmp", "postgres:///d?host=/tmp"),
            ("hunter2", "***"),
        ] {
            assert_eq!(Secret::new(url).without_password(), shown);
        }
    }
}
