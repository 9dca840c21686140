//! The partner's server, which records all that it is asked.

use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that the partner got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn is_callback(&self) -> bool {
        self.path == "/marketplace/partner/callback/redirect"
    }
}

/// How a callback is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// A status; of 429 with `Retry-After: 2`.
    Status(u16),
    /// The connection ends.
    Hangs,
    /// No answer, ever.
    Never,
    /// The answer to a success, the second half after a while.
    Slow(Duration),
    /// The same, without a second half.
    Half,
}

type Answer = dyn Fn(usize) -> Reply + Send + Sync;

/// A running partner.
pub(crate) struct Partner {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
}

impl Partner {
    /// Answers the n-th callback, from 0, as `answer` says, and profiles with that of a salon.
    pub(crate) async fn start(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Result<Self> {
        Self::with(answer, |_| Reply::Status(200)).await
    }

    /// The same, and the n-th profile as `profile` says.
    pub(crate) async fn with(
        answer: impl Fn(usize) -> Reply + Send + Sync + 'static,
        profile: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, asked) = (listener.local_addr()?, Arc::<Mutex<Vec<Asked>>>::default());
        let (book, answers): (_, (Arc<Answer>, Arc<Answer>)) = (asked.clone(), (Arc::new(answer), Arc::new(profile)));
        let serve = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (book, answers) = (book.clone(), answers.clone());
            async move {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let asked = Asked { method, path: uri.to_string(), headers, body };
                let is_callback = asked.is_callback();
                let reply = {
                    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                    let before = book.iter().filter(|it| it.is_callback() == is_callback).count();
                    book.push(asked);
                    if is_callback { answers.0(before) } else { answers.1(before) }
                };
                respond(reply, is_callback).await
            }
        };
        let router = Router::new().fallback(serve);
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, asked, server })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The callbacks so far.
    pub(crate) fn callbacks(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(Asked::is_callback).collect()
    }

    /// Waits for so many callbacks.
    pub(crate) async fn called(&self, many: usize) -> Result<Vec<Asked>> {
        until(&format!("{many} callbacks"), async || {
            let found = self.callbacks();
            Ok(if found.len() >= many { Ok(found) } else { Err(format!("{:?}", self.asked())) })
        })
        .await
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(reply: Reply, is_callback: bool) -> Response {
    match reply {
        Reply::Status(429) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2")], "slow down").into_response(),
        Reply::Status(code) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT);
            let body = if is_callback {
                json!({ "success": status.is_success() })
            } else {
                json!({ "success": true, "data": { "id": 1, "title": "Salon Anna", "short_descr": "Beauty salon" } })
            };
            (status, axum::Json(body)).into_response()
        }
        // Ends the task of the connection, without a word.
        Reply::Hangs => std::panic::resume_unwind(Box::new("hangs up")),
        Reply::Never => std::future::pending().await,
        Reply::Slow(pause) => halves(Some(pause)),
        Reply::Half => halves(None),
    }
}

/// A profile in two parts. Without a pause the connection ends after the first one.
fn halves(pause: Option<Duration>) -> Response {
    let text = json!({ "success": true, "data": { "id": 1, "title": "Salon Anna", "short_descr": "Beauty salon" } })
        .to_string();
    let (first, second) = text.split_at(text.len() / 2);
    let parts = [Some(first.to_owned()), pause.map(|_| second.to_owned())];
    let parts = futures::stream::iter(parts.into_iter().enumerate()).then(move |(n, part)| async move {
        if n > 0
            && let Some(pause) = pause
        {
            tokio::time::sleep(pause).await;
        }
        part.ok_or_else(|| std::io::Error::other("hangs up"))
    });
    Body::from_stream(parts).into_response()
}

/// Checks every field of a callback, and returns its API key.
pub(crate) fn checked(asked: &Asked, salon_id: i64, own_url: &str) -> Result<String> {
    ensure!(asked.method == Method::POST, "{asked:?}");
    for (name, value) in [
        ("authorization", "Bearer partner-token"),
        ("accept", "application/vnd.yclients.v2+json"),
        ("content-type", "application/json"),
    ] {
        ensure!(asked.header(name) == value, "{name}: {asked:?}");
    }
    let key = asked.body["api_key"].as_str().context("api_key")?.to_owned();
    ensure!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let wanted = json!({
        "salon_id": salon_id,
        "application_id": 18289,
        "api_key": key,
        "webhook_urls": [format!("{own_url}/webhook/yclients")],
    });
    ensure!(asked.body == wanted, "{} is not {wanted}", asked.body);
    Ok(key)
}
