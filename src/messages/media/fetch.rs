//! Files from the web.

use crate::config::MediaConfig;
use crate::jobs::JobError;
use crate::net::{Guard, PrivateNetwork, Reach};
use std::io::{Read as _, Write as _};
use tempfile::NamedTempFile;
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::unversioned::transport::DefaultConnector;

/// A file, and the validators that its server gave.
pub(super) struct SourceFile {
    pub(super) bytes: NamedTempFile,
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

pub(super) fn too_large(field: &str, most: u64) -> JobError {
    JobError::Permanent(format!("content.{field}: more than media.max_bytes, {most}"))
}

/// The HTTP client that fetches files.
pub(super) fn agent(settings: &MediaConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(settings.timeout()))
        .max_redirects(5)
        .http_status_as_error(false)
        // A proxy would resolve names by itself, and reach what is refused here.
        .proxy(None)
        .user_agent(concat!("wagres/", env!("CARGO_PKG_VERSION")))
        .build();
    let reach = Guard::new(Reach::with_private(settings.private_networks), &[]);
    ureq::Agent::with_parts(config, DefaultConnector::default(), reach.resolver())
}

/// Fetches a file of at most `most` bytes; `None` when it has not changed since `validators`, an `ETag` and a time of
/// change.
pub(super) fn fetch(
    agent: &ureq::Agent,
    url: &str,
    validators: Option<(Option<String>, Option<String>)>,
    most: u64,
) -> Result<Option<SourceFile>, JobError> {
    let (etag, modified) = validators.unwrap_or_default();
    let mut request = agent.get(url);
    for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let response = request.call().map_err(refused)?;
    match response.status().as_u16() {
        200 => {}
        304 => return Ok(None),
        status @ (408 | 425 | 429 | 500..) => return Err(JobError::Retry(format!("content.url: status {status}"))),
        status => return Err(JobError::Permanent(format!("content.url: status {status}"))),
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (etag, modified) = (header(ETAG), header(LAST_MODIFIED));
    let mut file = NamedTempFile::new().map_err(super::disk)?;
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let (mut buffer, mut length) = (vec![0; 64 << 10], 0);
    loop {
        let read = body.read(&mut buffer).map_err(|error| JobError::Retry(format!("content.url: {error}")))?;
        if read == 0 {
            break;
        }
        length += read as u64;
        if length > most {
            return Err(too_large("url", most));
        }
        file.write_all(&buffer[..read]).map_err(super::disk)?;
    }
    if length == 0 {
        return Err(JobError::Permanent("content.url: the file is empty".into()));
    }
    Ok(Some(SourceFile { bytes: file, etag, modified }))
}

fn refused(error: ureq::Error) -> JobError {
    let text = format!("content.url: {error}");
    match error {
        ureq::Error::Other(error) if error.is::<PrivateNetwork>() => {
            JobError::Permanent("content.url: it leads to a private network (media.private_networks)".into())
        }
        ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            JobError::Permanent(text)
        }
        _ => JobError::Retry(text),
    }
}
