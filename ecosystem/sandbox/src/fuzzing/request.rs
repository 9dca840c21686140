//! HTTP requests as text, without a socket. An input is a list of requests separated by the byte 0x1E. A request is
//! `METHOD path`, lines of headers, an empty line and the body. In a body, 0x1D ends a chunk; at the very end it breaks
//! the request off.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tower::ServiceExt as _;

const BETWEEN_REQUESTS: u8 = 0x1E;
const BETWEEN_CHUNKS: u8 = 0x1D;
/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Request {
    pub(super) head: http::request::Parts,
    pub(super) chunks: Vec<Bytes>,
    /// Whether the client disconnects before the end of the body.
    pub(super) broken: bool,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Empty when the body broke off or has no end.
    pub(super) body: Bytes,
    pub(super) whole: bool,
}

/// The requests of an input. Text that is no HTTP request is left out.
pub(super) fn requests(data: &[u8], fill: impl Fn(&str, &[u8]) -> String) -> Vec<Request> {
    data.split(|byte| *byte == BETWEEN_REQUESTS).filter_map(|text| Request::read(text, &fill)).collect()
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self::new("GET", path, &[]).expect("a path")
    }

    pub(super) fn post(path: &str, body: &Value) -> Self {
        let mut request = Self::new("POST", path, &[]).expect("a path");
        request.chunks.push(body.to_string().into());
        request
    }

    fn new(method: &str, path: &str, headers: &[&str]) -> Option<Self> {
        let mut request = http::Request::builder().method(method).uri(path).header(HOST, "127.0.0.1");
        for (name, value) in headers.iter().filter_map(|line| line.split_once(':')) {
            let (name, value) = (HeaderName::try_from(name.trim()), HeaderValue::from_str(value.trim()));
            if let (Ok(name), Ok(value)) = (name, value) {
                request.headers_mut()?.insert(name, value);
            }
        }
        let (head, ()) = request.body(()).ok()?.into_parts();
        Some(Self { head, chunks: vec![], broken: false })
    }

    /// `fill` receives the head and the whole body, and replaces the placeholders in the head.
    fn read(text: &[u8], fill: &impl Fn(&str, &[u8]) -> String) -> Option<Self> {
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
        let broken = body.ends_with(&[BETWEEN_CHUNKS]);
        let chunks: Vec<Bytes> = body.split(|byte| *byte == BETWEEN_CHUNKS).map(Bytes::copy_from_slice).collect();
        let head = fill(&String::from_utf8_lossy(head), &chunks.concat());
        let mut lines = head.lines();
        let (method, path) = lines.next()?.split_once(' ')?;
        Some(Self { chunks, broken, ..Self::new(method, path, &lines.collect::<Vec<_>>())? })
    }

    /// Sends the request, and waits for the whole answer.
    pub(super) async fn ask(self, router: &Router) -> Answer {
        let parts = format!("{} {}", self.head.method, self.head.uri);
        let mut chunks: Vec<std::io::Result<Bytes>> = self.chunks.into_iter().map(Ok).collect();
        if self.broken {
            chunks.push(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let request = http::Request::from_parts(self.head, Body::from_stream(stream::iter(chunks)));
        let answering = async {
            let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let (head, body) = answer.into_parts();
            // The event stream never ends.
            let endless = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
            let body = if endless { Ok(Bytes::new()) } else { axum::body::to_bytes(body, usize::MAX).await };
            Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                whole: body.is_ok(),
                body: body.unwrap_or_default(),
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answering).await;
        answer.unwrap_or_else(|_| panic!("{parts} is not answered"))
    }
}

impl Answer {
    /// A refusal must give a reason, and no request may cause a server error.
    pub(super) fn check(&self) {
        if self.status < 400 || !self.whole {
            return;
        }
        let said = serde_json::from_slice::<Value>(&self.body).ok();
        let reason = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or_default();
        assert!(!reason.is_empty(), "{} without a reason: {}", self.status, String::from_utf8_lossy(&self.body));
        assert!(matches!(self.status, 400..500 | 504 | 507), "{}: {reason}", self.status);
    }
}
