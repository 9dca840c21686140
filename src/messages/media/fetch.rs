//! Files from the web. Somebody who may insert a row must not reach, through the worker, what only the worker's network
//! reaches.

use crate::config::MediaConfig;
use crate::jobs::JobError;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tempfile::NamedTempFile;
use ureq::http::Uri;
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

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
    let resolver = PublicResolver { private: settings.private_networks, inner: DefaultResolver::default() };
    ureq::Agent::with_parts(config, DefaultConnector::default(), resolver)
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

#[derive(Debug, thiserror::Error)]
#[error("a private network")]
struct PrivateNetwork;

/// Resolves names and refuses addresses outside the internet. Each redirect asks it again.
#[derive(Debug)]
struct PublicResolver {
    private: bool,
    inner: DefaultResolver,
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if !self.private && found.iter().any(|address| !is_public(address.ip())) {
            return Err(ureq::Error::Other(Box::new(PrivateNetwork)));
        }
        Ok(found)
    }
}

/// Whether an address belongs to the internet. IANA's registries of special-purpose addresses list those that do not.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        // An IPv4 address in another form.
        [0x64, 0xff9b, 0, .., high, low] | [0x2002, high, low, ..] => is_public_v4(inner(high, low)),
        // Tunnels, documentation, and ranges reserved for protocols.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m1_only_addresses_of_the_internet_are_asked_for_media() {
        let is = |text: &str| text.parse().map(is_public);
        for public in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1"] {
            assert_eq!(is(public), Ok(true), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert_eq!(is(private), Ok(false), "{private}");
        }
    }
}
