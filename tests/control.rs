//! A client of the sandbox's control API, for tests.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use wacore::net::{HttpClient as _, HttpRequest};
use wagres::session::http::MediaClient;

use crate::support::until::until;

#[derive(Debug, Clone)]
pub(crate) struct Control {
    authority: String,
}

impl Control {
    pub(crate) fn new(url: &str) -> Self {
        Self { authority: url.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    /// Sends one request; returns the status and the JSON body.
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}",
            self.authority,
            body.len()
        );
        let answer = self.exchange(&head, &body).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, serde_json::from_str(body).with_context(|| format!("not JSON: {body:?}"))?))
    }

    /// Sends a request whose head is given line by line; returns the whole answer.
    pub(crate) async fn exchange(&self, head: &str, body: &str) -> Result<String> {
        let mut socket = tokio::net::TcpStream::connect(&self.authority).await?;
        socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await?;
        let (mut answer, mut socket) = (String::new(), BufReader::new(socket));
        let mut length = None;
        while !answer.ends_with("\r\n\r\n") {
            let start = answer.len();
            if socket.read_line(&mut answer).await? == 0 {
                bail!("the answer is incomplete: {answer:?}");
            }
            let header = answer[start..].split_once(':');
            if let Some((_, value)) = header.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                length = Some(value.trim().parse()?);
            }
        }
        // Not every server closes the connection as requested.
        socket.take(length.unwrap_or(u64::MAX)).read_to_string(&mut answer).await?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.expect_ok("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.expect_ok("POST", path, Some(body)).await
    }

    async fn expect_ok(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        match self.request(method, path, body).await? {
            (200, value) => Ok(value),
            (status, value) => bail!("{method} {path}: {status} {value}"),
        }
    }

    /// Polls until `pick` finds something in the answer, and returns that.
    pub(crate) async fn until<T>(&self, path: &str, pick: impl Fn(&Value) -> Option<T>) -> Result<T> {
        until(&format!("the expected answer of GET {path}"), async || {
            let value = self.get(path).await?;
            Ok(pick(&value).ok_or(value))
        })
        .await
    }

    /// Waits until a phone shows a text.
    pub(crate) async fn shown(&self, number: &str, text: &str) -> Result<Value> {
        self.until(&format!("/phones/{number}/messages"), |value| {
            let messages = value["messages"].as_array()?;
            messages.iter().find(|message| message["text"] == text).cloned()
        })
        .await
    }

    /// A message of a phone, once the download of its file has ended.
    pub(crate) async fn settled(&self, number: &str, id: &str) -> Result<Value> {
        self.until(&format!("/phones/{number}/messages"), |value| {
            let message = value["messages"].as_array()?.iter().find(|message| message["id"] == id)?;
            (message["media"]["state"] != "fetching").then(|| message.clone())
        })
        .await
    }

    /// The file of a phone's message, which the phone must already have.
    pub(crate) async fn file(&self, number: &str, id: &str) -> Result<Vec<u8>> {
        self.bytes(&format!("/phones/{number}/messages/{id}/media")).await
    }

    /// An answer that is not JSON.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("http://{}{path}", self.authority);
        let answer = MediaClient::new().execute(HttpRequest::get(url)).await?;
        ensure!(answer.status_code == 200, "{}: {}", answer.status_code, String::from_utf8_lossy(&answer.body));
        Ok(answer.body)
    }
}
