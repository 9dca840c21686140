//! Origins of web pages, by name or by pattern.

use serde::{Deserialize, Serialize};
use url::Url;

/// What stands in a pattern for one or more digits.
const DIGITS: &str = "<digits>";

/// Web pages that may connect: `https://shop.example.org`, or a pattern such as `https://n<digits>.yclients.com`, in which
/// `<digits>` stands for one or more digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPattern {
    text: String,
    /// What stands before, between and behind the digits, in lower case.
    parts: Vec<String>,
}

impl OriginPattern {
    /// Whether it stands for this origin, as a browser sends it.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let mut parts = self.parts.iter();
        let Some(mut rest) = parts.next().and_then(|first| origin.strip_prefix(first.as_str())) else { return false };
        for part in parts {
            // No part begins with a digit, so the digits end where the part begins.
            let digits = rest.len() - rest.trim_start_matches(|it: char| it.is_ascii_digit()).len();
            match rest[digits..].strip_prefix(part.as_str()) {
                Some(behind) if digits > 0 => rest = behind,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not an origin; accepted is a scheme and a host, such as https://shop.example.org, and \
                 {DIGITS} in the host for digits, such as https://n{DIGITS}.yclients.com"
            )
        };
        let parts: Vec<String> = text.split(DIGITS).map(str::to_ascii_lowercase).collect();
        let sample = Url::parse(&parts.join("0")).map_err(|_| refused())?;
        let is_plain = matches!(sample.scheme(), "http" | "https")
            && sample.origin().ascii_serialization() == parts.join("0")
            && text.starts_with(&format!("{}://", sample.scheme()))
            // A URL may have other signs in its host, such as a star, which somebody might take for a pattern.
            && parts.iter().all(|part| part.chars().all(|it| it.is_ascii_alphanumeric() || "-._:/[]".contains(it)));
        // Digits beside a pattern for digits would leave open which of them it stands for.
        let is_clear = parts.iter().enumerate().all(|(place, part)| {
            let (is_first, is_last) = (place == 0, place + 1 == parts.len());
            (is_first || !part.starts_with(|it: char| it.is_ascii_digit()) && (is_last || !part.is_empty()))
                && (is_last || !part.ends_with(|it: char| it.is_ascii_digit()))
        });
        if is_plain && is_clear { Ok(Self { text, parts }) } else { Err(refused()) }
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<OriginPattern, String> {
        OriginPattern::try_from(text.to_owned())
    }

    #[test]
    fn h3_a_pattern_of_an_origin_stands_for_digits_alone() {
        let shops = pattern("https://n<digits>.yclients.com").expect("a pattern");
        for origin in ["https://n1.yclients.com", "https://n1234567.yclients.com", "HTTPS://N7.YClients.com"] {
            assert!(shops.matches(origin), "{origin}");
        }
        for origin in [
            "https://n.yclients.com",
            "https://n1.yclients.com.evil.example",
            "https://n1evil.yclients.com",
            "https://evil.example/n1.yclients.com",
            "https://xn1.yclients.com",
            "http://n1.yclients.com",
            "https://n1.yclients.com:8443",
            "https://n1@yclients.com",
            "null",
            "",
        ] {
            assert!(!shops.matches(origin), "{origin}");
        }
        let port = pattern("http://localhost:<digits>").expect("a pattern");
        assert!(port.matches("http://localhost:8080") && !port.matches("http://localhost:8080.evil.example"));
        let plain = pattern("http://127.0.0.1:8080").expect("an origin");
        assert!(plain.matches("http://127.0.0.1:8080") && !plain.matches("http://127.0.0.1:80801"));
    }

    #[test]
    fn h3_h8_what_is_no_origin_is_refused_with_what_is_accepted() {
        for text in [
            "",
            "*",
            "yclients.com",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://user@a.example",
            "ftp://a.example",
            "https://n1<digits>.a.example",
            "https://n<digits>1.a.example",
            "https://n<digits><digits>.a.example",
            "https://n*.a.example",
            "https://a.example:443",
        ] {
            let refused = pattern(text).err();
            assert!(refused.as_ref().is_some_and(|it| it.contains("accepted is")), "{text}: {refused:?}");
        }
    }
}
