//! The HTTP client that fetches and uploads media.
//!
//! A build that does not check certificates sends requests only to loopback addresses (X4), see [`super::endpoint`].

use anyhow::bail;
use async_trait::async_trait;
use url::Url;
use wacore::net::{HttpClient, HttpRequest, HttpResponse, StreamingHttpResponse, UploadBody};
use whatsapp_rust_ureq_http_client::UreqHttpClient;

use super::endpoint::{CERTIFICATE_CHECK_IS_OFF, is_loopback};

/// The library's HTTP client, restricted as the build demands.
///
/// The library puts `https://` before the media host that the server named, and trusts public certificates only. A
/// sandbox's media server speaks HTTP on the same port, so a build that does not check certificates makes `http://` of
/// it.
#[derive(Debug, Clone, Default)]
pub struct MediaClient(UreqHttpClient);

impl MediaClient {
    /// A client with connections of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client that sends requests through `agent`.
    #[must_use]
    pub fn with_agent(agent: ureq::Agent) -> Self {
        Self(UreqHttpClient::with_agent(agent))
    }
}

/// The request as this build may send it.
fn allowed(request: HttpRequest) -> anyhow::Result<HttpRequest> {
    if CERTIFICATE_CHECK_IS_OFF { local(request) } else { Ok(request) }
}

fn local(mut request: HttpRequest) -> anyhow::Result<HttpRequest> {
    let url = Url::parse(&request.url)?;
    if !is_loopback(&url) {
        bail!(
            "{} is not a loopback address, and a build that does not check certificates asks no other",
            url.origin().ascii_serialization()
        );
    }
    if let Some(rest) = request.url.strip_prefix("https://") {
        request.url = format!("http://{rest}");
    }
    Ok(request)
}

#[async_trait]
impl HttpClient for MediaClient {
    async fn execute(&self, request: HttpRequest) -> anyhow::Result<HttpResponse> {
        self.0.execute(allowed(request)?).await
    }

    fn supports_streaming(&self) -> bool {
        self.0.supports_streaming()
    }

    fn execute_streaming(&self, request: HttpRequest) -> anyhow::Result<StreamingHttpResponse> {
        self.0.execute_streaming(allowed(request)?)
    }

    fn supports_upload_streaming(&self) -> bool {
        self.0.supports_upload_streaming()
    }

    fn execute_upload(
        &self,
        request: HttpRequest,
        body: UploadBody,
        content_length: u64,
    ) -> anyhow::Result<HttpResponse> {
        self.0.execute_upload(allowed(request)?, body, content_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_a_build_without_checks_fetches_from_loopback_only() {
        let local = |url: &str| local(HttpRequest::get(url)).ok().map(|request| request.url);
        assert_eq!(local("https://127.0.0.1:7/a?b=c").as_deref(), Some("http://127.0.0.1:7/a?b=c"));
        assert_eq!(local("http://localhost:7/a").as_deref(), Some("http://localhost:7/a"));
        for refused in ["https://mmg.whatsapp.net/v/x", "https://127.0.0.1.example.com/", "file:///etc/hosts", "x"] {
            assert_eq!(local(refused), None, "{refused}");
        }
    }
}
