//! The partner's API: two requests, and what its answers mean.

use crate::config::{MarketplaceConfig, Secret, WebhookConfig};
use crate::webhooks::post::{NoAnswer, Poster, Said};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// The version of the API.
const VERSION: &str = "application/vnd.yclients.v2+json";
/// Most bytes of an answer that are read: a profile has a long description.
const ANSWER: usize = 256 << 10;
/// How long the answer to a callback may take after its status.
const REST_OF_CALLBACK: Duration = Duration::from_secs(1);
/// Most characters of an answer that are kept.
const KEPT: usize = 1000;

/// A client of the partner's API. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Api {
    poster: Poster,
    base: Url,
    limit: Duration,
    authorization: HeaderValue,
}

/// What a company is, as the partner says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: Option<String>,
    /// Its kind of business.
    pub business_type: Option<String>,
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status; `None` without an answer.
    pub code: Option<u16>,
    /// In words.
    pub error: String,
    /// The beginning of the answer.
    pub said: Option<String>,
    /// Whether another attempt may succeed: no answer, 429, 500, 502, 503 or 504.
    pub passes: bool,
    /// The pause that the partner asks for.
    pub wanted_pause: Option<Duration>,
}

/// What the callback says.
#[derive(Debug)]
pub struct Callback<'a> {
    /// The company, as the partner numbers it.
    pub salon_id: i64,
    /// This application, as the partner numbers it.
    pub application_id: u64,
    /// The company's API key.
    pub api_key: &'a Secret,
    /// Where the partner tells what happens to the company.
    pub webhook_url: &'a str,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// TLS is not available.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The configuration has no token, or one that no header can hold.
    #[error("marketplace.partner_token: missing, or no text that a header can hold")]
    Token,
    /// The configuration's address is none.
    #[error("marketplace.partner_url: not an address")]
    Url,
}

impl Api {
    /// With this configuration, whose address may lead anywhere: an operator wrote it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn new(config: &MarketplaceConfig) -> Result<Self, ApiError> {
        let token = config.partner_token.as_ref().ok_or(ApiError::Token)?;
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| ApiError::Token)?;
        authorization.set_sensitive(true);
        let settings = WebhookConfig {
            private_networks: true,
            timeout_seconds: config.partner_timeout_seconds,
            concurrency: config.partner_concurrency,
            ..WebhookConfig::default()
        };
        let base = Url::parse(&config.partner_url).map_err(|_| ApiError::Url)?;
        Ok(Self { poster: Poster::new(&settings)?, base, limit: config.partner_timeout(), authorization })
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.poster.request(method, url);
        request.header(AUTHORIZATION, self.authorization.clone()).header(ACCEPT, VERSION)
    }

    /// What a company is.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn profile(&self, salon_id: i64) -> Result<Profile, Failure> {
        let request = self.request(Method::GET, &["api", "v1", "company", &salon_id.to_string()]);
        let said = self.poster.exchange(request, ANSWER, self.limit).await.map_err(no_answer)?;
        if !said.status.is_success() {
            return Err(refused(said));
        }
        if said.is_cut {
            return Err(Failure { error: "the answer broke off".into(), passes: true, ..refused(said) });
        }
        match read_profile(said.body.as_deref().unwrap_or_default()) {
            Some(profile) => Ok(profile),
            None => {
                Err(Failure { error: "the answer is no profile of a company".into(), passes: false, ..refused(said) })
            }
        }
    }

    /// Says that a company is active, and with which API key. A redirect leads the user's browser on, and is a success.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn callback(&self, callback: &Callback<'_>) -> Result<StatusCode, Failure> {
        let Callback { salon_id, application_id, api_key, webhook_url } = callback;
        let body = json!({
            "salon_id": salon_id,
            "application_id": application_id,
            "api_key": api_key.expose(),
            "webhook_urls": [webhook_url],
        });
        let request = self.request(Method::POST, &["marketplace", "partner", "callback", "redirect"]);
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        // Its status says all.
        let said = self.poster.exchange(request, ANSWER, REST_OF_CALLBACK).await.map_err(no_answer)?;
        match said.status {
            status if status.is_success() || status.is_redirection() => Ok(status),
            _ => Err(refused(said)),
        }
    }
}

fn no_answer(error: NoAnswer) -> Failure {
    let error = match error {
        NoAnswer::Private => "the address is in a private network".into(),
        NoAnswer::Late(limit) => format!("no answer within {} s", limit.as_secs()),
        NoAnswer::Lost(error) => error,
    };
    Failure { code: None, error, said: None, passes: true, wanted_pause: None }
}

fn refused(said: Said) -> Failure {
    let passes = matches!(said.status.as_u16(), 429 | 500 | 502 | 503 | 504);
    Failure {
        code: Some(said.status.as_u16()),
        error: format!("HTTP {}", said.status.as_u16()),
        said: said.body.map(|body| body.chars().take(KEPT).collect()),
        passes,
        wanted_pause: said.retry_after,
    }
}

/// The profile in `{"success": true, "data": {"title", "business_type_id", "short_descr"}}`.
fn read_profile(body: &str) -> Option<Profile> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        title: Option<String>,
        short_descr: Option<String>,
        business_type_id: Option<Value>,
    }
    let Data { title, short_descr, business_type_id } = serde_json::from_str::<Answer>(body).ok()?.data;
    let text = |text: Option<String>| text.map(|text| text.trim().replace('\0', "")).filter(|text| !text.is_empty());
    let id = business_type_id.filter(Value::is_number).map(|id| id.to_string());
    Some(Profile { name: text(title), business_type: text(short_descr).or(id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_profile_is_read_with_what_it_has() {
        let read = |text: &str| read_profile(text).map(|profile| (profile.name, profile.business_type));
        let some = |text: &str| Some(text.to_owned());
        let whole = r#"{"success":true,"data":{"id":5,"title":" Salon ","short_descr":"Beauty","business_type_id":1}}"#;
        assert_eq!(read(whole), Some((some("Salon"), some("Beauty"))));
        let bare = r#"{"data":{"title":"","short_descr":null,"business_type_id":7}}"#;
        assert_eq!(read(bare), Some((None, some("7"))));
        assert_eq!((read(r#"{"success":false,"data":null}"#), read("<html>")), (None, None));
    }
}
