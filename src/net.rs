//! Which addresses a worker may dial because a row says so: for the file of a message, or as the proxy of a session.
//! Somebody who may write such a row must not reach, through the worker, what only the worker's network reaches.

use crate::config::Allowed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The address leads out of the internet.
#[derive(Debug, thiserror::Error)]
#[error("a private network")]
pub struct PrivateNetwork;

/// The addresses that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the internet alone.
    Internet,
    /// Those of private networks and of this machine, too.
    Everywhere,
}

impl Reach {
    /// The reach under a setting that allows private networks or not.
    #[must_use]
    pub const fn with_private(allowed: bool) -> Self {
        if allowed { Self::Everywhere } else { Self::Internet }
    }

    /// Whether an address may be dialled.
    #[must_use]
    pub fn includes(self, ip: IpAddr) -> bool {
        self == Self::Everywhere || is_public(ip)
    }
}

/// What may be dialled: the addresses of a reach, and what a list allows beside them. Clones share the list.
#[derive(Debug, Clone)]
pub struct Guard {
    reach: Reach,
    allow: Arc<[Allowed]>,
}

impl Guard {
    /// The guard of a reach and a list.
    #[must_use]
    pub fn new(reach: Reach, allow: &[Allowed]) -> Self {
        Self { reach, allow: allow.into() }
    }

    /// Whether an address may be dialled.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        let listed = self.allow.iter().any(|allowed| match allowed {
            Allowed::Network(network) => network.contains(&ip),
            Allowed::Address(address) => *address == ip,
            Allowed::Host(_) => false,
        });
        listed || self.reach.includes(ip)
    }

    /// Refuses a name if one of its addresses may not be dialled, unless the name itself is listed.
    fn check(&self, host: &str, mut addresses: impl Iterator<Item = IpAddr>) -> Result<(), PrivateNetwork> {
        let named = |allowed: &Allowed| matches!(allowed, Allowed::Host(name) if name.eq_ignore_ascii_case(host));
        if self.allow.iter().any(named) || addresses.all(|ip| self.allows(ip)) { Ok(()) } else { Err(PrivateNetwork) }
    }

    /// The addresses of a host, if all of them may be dialled.
    ///
    /// # Errors
    /// The name server's, or [`PrivateNetwork`] as its source.
    pub async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?.collect();
        self.check(host, found.iter().map(SocketAddr::ip)).map_err(std::io::Error::other)?;
        Ok(found)
    }

    /// The resolver of an HTTP client that may dial these addresses. Each redirect asks it again.
    #[must_use]
    pub fn resolver(&self) -> impl Resolver {
        GuardedResolver { guard: self.clone(), inner: DefaultResolver::default() }
    }
}

#[derive(Debug)]
struct GuardedResolver {
    guard: Guard,
    inner: DefaultResolver,
}

impl Resolver for GuardedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let host = uri.host().unwrap_or_default();
        let checked = self.guard.check(host, found.iter().map(SocketAddr::ip));
        checked.map_err(|error| ureq::Error::Other(Box::new(error)))?;
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
    fn m1_r9_only_addresses_of_the_internet_are_public() {
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
