//! The partner's marketplace (`[marketplace]`, `WAGRES_MARKETPLACE__…`).

use super::limits::within;
use super::{ConfigError, OriginPattern, Secret};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// How pages get QR codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QrFormat {
    /// A picture, as a data URL.
    Png,
    /// The text that the code holds, for pages that draw it.
    Text,
}

/// Onboarding of companies from the partner's marketplace. Off without `partner_token` and `jwt_secret`: then its routes
/// answer 404.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarketplaceConfig {
    /// The partner's token: it signs what the partner sends, and authorises requests to the partner's API. Also
    /// `YCLIENTS_PARTNER_TOKEN`.
    pub partner_token: Option<Secret>,
    /// The number of this application at the partner. Also `YCLIENTS_APP_ID`.
    pub application_id: Option<u64>,
    /// Signs the tokens that front ends get for an hour; 16 bytes or more. Also `JWT_SECRET`.
    pub jwt_secret: Option<Secret>,
    /// URL under which the partner and front ends reach the routes, `https://wa.example.org`. Default: `web.url`. Also
    /// `BASE_URL`.
    pub base_url: Option<String>,
    /// URL of a page of your own to which somebody who comes from the partner is led, with `?token=`. Default: the link
    /// page.
    pub page_url: Option<String>,
    /// The partner's server.
    pub partner_url: String,
    /// Whether front ends that ask for a QR code also get a pairing code, for `phone`. Also `USE_PAIRING_CODE`.
    pub pairing_code: bool,
    /// The phone number of that pairing code. Also `WHATSAPP_PHONE_NUMBER`.
    pub phone: Option<String>,
    /// A number that gets a test message when a company's phone is linked for the first time. Also `TEST_PHONE_NUMBER`.
    pub test_phone: Option<String>,
    /// Origins of the pages that may connect by Socket.IO: `https://shop.example.org`, or with `<digits>` for digits:
    /// `https://n<digits>.yclients.com`. Pages of the URL of the routes may always; programs send no origin.
    pub origins: Vec<OriginPattern>,
    /// How pages get QR codes: `png` (a data URL) or `text`.
    pub qr_format: QrFormat,
    /// Connections by Socket.IO a minute from one address.
    pub sockets_per_minute: u32,
    /// How long a session that is not linked stays open without a page, in seconds: for pages that load again, and for
    /// those of a web process that died.
    pub page_grace_seconds: u32,
    /// Requests a minute from one address.
    pub requests_per_minute: u32,
    /// Requests a minute with one API key.
    pub key_requests_per_minute: u32,
    /// Events a minute that the partner may send for one company.
    pub hooks_per_minute: u32,
    /// Requests a minute to the partner, over all workers.
    pub partner_requests_per_minute: u32,
    /// Requests to the partner at once, over all workers.
    pub partner_concurrency: u32,
    /// Limit for one request to the partner, in seconds.
    pub partner_timeout_seconds: u32,
    /// For how long nothing is asked of the partner after 5 failures in a row, in seconds.
    pub partner_rest_seconds: u32,
}

impl Default for MarketplaceConfig {
    fn default() -> Self {
        Self {
            partner_token: None,
            application_id: None,
            jwt_secret: None,
            base_url: None,
            page_url: None,
            partner_url: "https://api.yclients.com".into(),
            pairing_code: false,
            phone: None,
            test_phone: None,
            origins: vec![],
            qr_format: QrFormat::Png,
            sockets_per_minute: 5,
            page_grace_seconds: 15,
            requests_per_minute: 60,
            key_requests_per_minute: 120,
            hooks_per_minute: 10,
            partner_requests_per_minute: 200,
            partner_concurrency: 5,
            partner_timeout_seconds: 30,
            partner_rest_seconds: 60,
        }
    }
}

impl MarketplaceConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("marketplace.sockets_per_minute", &self.sockets_per_minute, &(1..=1_000_000), "connections")?;
        within("marketplace.page_grace_seconds", &self.page_grace_seconds, &(1..=600), "seconds")?;
        within("marketplace.requests_per_minute", &self.requests_per_minute, &(1..=1_000_000), "requests")?;
        within("marketplace.key_requests_per_minute", &self.key_requests_per_minute, &(1..=1_000_000), "requests")?;
        within("marketplace.hooks_per_minute", &self.hooks_per_minute, &(1..=1_000_000), "events")?;
        let asked = &self.partner_requests_per_minute;
        within("marketplace.partner_requests_per_minute", asked, &(1..=100_000), "requests")?;
        within("marketplace.partner_concurrency", &self.partner_concurrency, &(1..=1000), "requests")?;
        within("marketplace.partner_timeout_seconds", &self.partner_timeout_seconds, &(1..=120), "seconds")?;
        within("marketplace.partner_rest_seconds", &self.partner_rest_seconds, &(1..=3600), "seconds")?;
        // The older names are those of other programs, too, whose values are no concern of ours.
        if self.secrets().is_none() {
            return Ok(());
        }
        let refused =
            |key, found: String, accepted: &str| Err(ConfigError::Value { key, found, accepted: accepted.into() });
        if self.partner_token.as_ref().is_some_and(|token| token.expose().is_empty()) {
            return refused("marketplace.partner_token", "an empty text".into(), "the token that the partner gave you");
        }
        if let Some(secret) = &self.jwt_secret
            && secret.expose().len() < 16
        {
            let found = format!("a text of {} bytes", secret.expose().len());
            return refused("marketplace.jwt_secret", found, "16 bytes or more");
        }
        let urls = [
            ("marketplace.base_url", self.base_url.as_ref()),
            ("marketplace.page_url", self.page_url.as_ref()),
            ("marketplace.partner_url", Some(&self.partner_url)),
        ];
        for (key, text) in urls {
            let Some(text) = text else { continue };
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if url.is_none_or(|url| url.query().is_some() || url.fragment().is_some() || url.password().is_some()) {
                return refused(key, format!("{text:?}"), "a URL without query and password: https://wa.example.org");
            }
        }
        for (key, phone) in [("marketplace.phone", &self.phone), ("marketplace.test_phone", &self.test_phone)] {
            if let Some(phone) = phone
                && !is_phone(phone)
            {
                return refused(key, format!("{phone:?}"), "an international number such as +79001234567");
            }
        }
        Ok(())
    }

    /// The partner's token and the secret of tokens, if the marketplace is on.
    #[must_use]
    pub fn secrets(&self) -> Option<(&Secret, &Secret)> {
        self.partner_token.as_ref().zip(self.jwt_secret.as_ref())
    }

    /// See [`Self::partner_timeout_seconds`].
    #[must_use]
    pub fn partner_timeout(&self) -> Duration {
        Duration::from_secs(self.partner_timeout_seconds.into())
    }

    /// The URL of the routes, without a slash at the end: `base_url`, else `web.url`.
    #[must_use]
    pub fn own_url(&self, web_url: Option<&str>) -> Option<String> {
        let url = self.base_url.as_deref().or(web_url)?;
        Some(url.trim_end_matches('/').to_owned())
    }
}

/// Whether a text is `^\+?[1-9]\d{1,14}$`, as the older systems write phone numbers.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_phone_number_has_2_to_15_digits_and_perhaps_a_plus() {
        for good in ["+79001234567", "79001234567", "12", "123456789012345"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["", "+", "1", "0123", "+0123", "1234567890123456", "7 900", "++7900", "7900a", "٧٩٠٠"] {
            assert!(!is_phone(bad), "{bad}");
        }
    }

    #[test]
    fn h6_a_short_secret_and_a_strange_address_are_refused_without_the_secret() {
        let refused = |config: MarketplaceConfig| config.check().err().map(|error| error.to_string());
        let on = MarketplaceConfig {
            partner_token: Some(Secret::new("a token")),
            jwt_secret: Some(Secret::new("a secret of some length")),
            ..Default::default()
        };
        assert_eq!(refused(on.clone()), None);
        let config = MarketplaceConfig { jwt_secret: Some(Secret::new("hunter2")), ..on.clone() };
        let text = refused(config).unwrap_or_default();
        assert!(text.contains("marketplace.jwt_secret") && !text.contains("hunter2"), "{text}");
        let config = MarketplaceConfig { partner_url: "ftp://partner".into(), ..on.clone() };
        assert!(refused(config).is_some_and(|text| text.contains("marketplace.partner_url")));
        let config = MarketplaceConfig { test_phone: Some("none".into()), ..on.clone() };
        assert!(refused(config).is_some_and(|text| text.contains("marketplace.test_phone")));
        let config = MarketplaceConfig { jwt_secret: None, base_url: Some("/".into()), ..on };
        assert_eq!(refused(config), None, "the marketplace is off");
    }
}
