//! One request to a receiver, and what its answer means.

use super::body::Format;
use super::pace::{self, Sign};
use super::queue::Parcel;
use super::reach::Receivers;
use super::sign::{SigningKey, signatures};
use crate::config::WebhookConfig;
use crate::db::storable::without_nul;
use crate::telemetry;
use chrono::DateTime;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

/// Most bytes of an answer that are read and kept.
const ANSWER: usize = 4096;
/// Most bytes of them that are kept when the request was accepted.
const ACCEPTED: usize = 512;
/// How long an answer may take after its status.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Idle connections stay open for so long.
const IDLE: Duration = Duration::from_mins(1);

/// Where a webhook delivers, and how.
#[derive(Debug)]
pub struct Target {
    /// The receiver's address, or why it cannot be used.
    pub url: Result<Url, String>,
    /// The user's own headers.
    pub headers: HeaderMap,
    /// The keys that sign: two while one takes the other's place.
    pub keys: Vec<SigningKey>,
    /// The format of bodies.
    pub format: Format,
}

/// Posts to receivers. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    receivers: Receivers,
    limit: Duration,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status; `None` without an answer.
    pub code: Option<u16>,
    /// Why the request failed; `None` when it was accepted.
    pub error: Option<String>,
    /// The beginning of what the receiver said; less of it when it accepted.
    pub said: Option<String>,
    /// The pause that the receiver asks for.
    pub retry_after: Option<Duration>,
    /// What it means for the pace.
    pub sign: Sign,
}

impl Answer {
    /// Whether the receiver wants nothing more, ever.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.code == Some(StatusCode::GONE.as_u16())
    }

    fn none(error: String, sign: Sign) -> Self {
        Self { code: None, error: Some(error), said: None, retry_after: None, sign }
    }
}

impl Poster {
    /// A client that dials only the receivers that the configuration allows.
    ///
    /// # Errors
    /// TLS is not available.
    pub fn new(config: &WebhookConfig) -> reqwest::Result<Self> {
        // Fails when there is a provider already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let receivers = Receivers::new(config);
        let client = Client::builder()
            .dns_resolver(receivers.clone())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(concat!("wagres/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(usize::try_from(config.concurrency).unwrap_or(usize::MAX))
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { client, receivers, limit: config.timeout() })
    }

    /// Posts a parcel.
    pub async fn post(&self, target: &Target, parcel: &Parcel) -> Answer {
        let url = match &target.url {
            Ok(url) if self.receivers.check(url).is_err() => return private(),
            Ok(url) => url.clone(),
            Err(error) => return Answer::none(error.clone(), Sign::Bad),
        };
        let (id, body) = match (&parcel.batch, parcel.items.as_slice()) {
            (None, [only]) => (only.event.id.as_str(), target.format.one(&only.event)),
            (id, items) => {
                let events: Vec<_> = items.iter().map(|item| &item.event).collect();
                (id.as_deref().unwrap_or_default(), target.format.shared(&events))
            }
        };
        let timestamp = telemetry::wall_clock().timestamp();
        let request = self
            .client
            .post(url)
            .headers(target.headers.clone())
            .header(CONTENT_TYPE, target.format.content_type(parcel.batch.is_some()))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures(&target.keys, id, timestamp, &body))
            .body(body);
        match self.exchange(request, ANSWER, REST_OF_ANSWER).await {
            Ok(said) => answer(said),
            Err(NoAnswer::Private) => private(),
            Err(NoAnswer::Late(limit)) => {
                Answer::none(format!("no answer within {} s", limit.as_secs()), Sign::TooMuch(None))
            }
            Err(NoAnswer::Lost(error)) => Answer::none(error, Sign::Bad),
        }
    }

    /// A request of this client's connections, for [`Self::exchange`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Makes a request, and reads at most so many bytes of its answer, for at most so long after its status. All of it takes
    /// no longer than the client's limit.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn exchange(&self, request: RequestBuilder, most: usize, rest: Duration) -> Result<Said, NoAnswer> {
        let begun = Instant::now();
        match timeout(self.limit, request.send()).await {
            Ok(Ok(response)) => {
                let retry_after = response.headers().get(RETRY_AFTER).and_then(wanted_pause);
                let status = response.status();
                let rest = rest.min(self.limit.saturating_sub(begun.elapsed()));
                let (body, is_cut) = beginning(response, most, rest).await;
                Ok(Said { status, retry_after, body, is_cut })
            }
            Ok(Err(error)) if is_private(&error) => Err(NoAnswer::Private),
            Ok(Err(error)) => Err(NoAnswer::Lost(chain(&error.without_url()))),
            Err(_) => Err(NoAnswer::Late(self.limit)),
        }
    }
}

/// An answer, whatever was asked.
#[derive(Debug)]
pub struct Said {
    /// The HTTP status.
    pub status: StatusCode,
    /// The pause that is asked for.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: Option<String>,
    /// Whether the rest of it did not come in time, or not at all.
    pub is_cut: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The address is in a private network.
    Private,
    /// There was none in this time.
    Late(Duration),
    /// The connection failed or ended.
    Lost(String),
}

fn answer(Said { status, retry_after, body, .. }: Said) -> Answer {
    let code = Some(status.as_u16());
    if status.is_success() {
        let said = body.map(|mut body| {
            body.truncate(body.floor_char_boundary(ACCEPTED));
            body
        });
        return Answer { code, error: None, said, retry_after: None, sign: Sign::Good };
    }
    let error = match status {
        _ if status.is_redirection() => format!("HTTP {}; redirects are not followed", status.as_u16()),
        _ => format!("HTTP {}", status.as_u16()),
    };
    let sign = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Sign::TooMuch(retry_after)
        }
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => Sign::TooMuch(retry_after),
        _ => Sign::Bad,
    };
    Answer { code, error: Some(error), said: body, retry_after, sign }
}

/// The beginning of the body, and whether it ended before its end. What is longer is not read: its connection is closed.
async fn beginning(mut response: Response, most: usize, rest: Duration) -> (Option<String>, bool) {
    let mut bytes = vec![];
    let read = async {
        while bytes.len() < most {
            let Some(chunk) = response.chunk().await? else { break };
            let room = most - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok::<_, reqwest::Error>(())
    };
    let is_cut = !matches!(timeout(rest, read).await, Ok(Ok(())));
    ((!bytes.is_empty()).then(|| without_nul(&String::from_utf8_lossy(&bytes))), is_cut)
}

/// `Retry-After`: seconds, or a date; at most [`pace::RETRY_AFTER`], whatever a receiver asks for.
fn wanted_pause(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(pace::RETRY_AFTER));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.to_utc() - telemetry::wall_clock();
    Some(until.to_std().unwrap_or_default().min(pace::RETRY_AFTER))
}

fn private() -> Answer {
    let error = "url: leads to a private network or to this machine; accepted is an address of the internet, unless \
                 webhook.private_networks or webhook.allow allows it";
    Answer::none(error.into(), Sign::Bad)
}

fn is_private(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<crate::net::PrivateNetwork>()
            || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<crate::net::PrivateNetwork>)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h5_a_receiver_says_in_seconds_or_by_a_date_when_to_try_again() {
        let pause = |text: &str| wanted_pause(&HeaderValue::from_str(text).expect("a header"));
        assert_eq!(pause("120"), Some(Duration::from_mins(2)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let soon = telemetry::wall_clock() + Duration::from_secs(100);
        let pause_until = pause(&soon.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        assert!(pause_until.is_some_and(|pause| (90..=100).contains(&pause.as_secs())), "{pause_until:?}");
        assert_eq!((pause("soon"), pause("-1")), (None, None));
        // A year, and more than a year fits in.
        for most in ["31536000", &u64::MAX.to_string(), "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(pause(most), Some(pace::RETRY_AFTER));
        }
    }
}
