//! Which receivers may be dialled: the guard against private networks.

use crate::config::{Receiver, WebhookConfig};
use crate::net::{PrivateNetwork, Reach};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// The receivers that the configuration allows. Clones share the list.
#[derive(Debug, Clone)]
pub struct Receivers {
    reach: Reach,
    allow: Arc<[Receiver]>,
}

impl Receivers {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &WebhookConfig) -> Self {
        Self { reach: Reach::with_private(config.private_networks), allow: config.allow.clone().into() }
    }

    fn allows(&self, ip: IpAddr) -> bool {
        let listed = self.allow.iter().any(|receiver| match receiver {
            Receiver::Network(network) => network.contains(&ip),
            Receiver::Address(address) => *address == ip,
            Receiver::Host(_) => false,
        });
        listed || self.reach.includes(ip)
    }

    fn names(&self, host: &str) -> bool {
        self.allow.iter().any(|receiver| matches!(receiver, Receiver::Host(name) if name.eq_ignore_ascii_case(host)))
    }

    /// Refuses an address in a private network. A name is refused when it is resolved.
    ///
    /// # Errors
    /// [`PrivateNetwork`].
    pub fn check(&self, url: &Url) -> Result<(), PrivateNetwork> {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            _ => return Ok(()),
        };
        if self.allows(ip) { Ok(()) } else { Err(PrivateNetwork) }
    }

    /// The addresses of a name, if all of them may be dialled.
    async fn resolve_name(self, name: String) -> std::io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        if self.names(&name) || found.iter().all(|address| self.allows(address.ip())) {
            Ok(found)
        } else {
            Err(std::io::Error::other(PrivateNetwork))
        }
    }
}

/// As the resolver of the HTTP client, which then dials the checked addresses and no others.
impl Resolve for Receivers {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.clone().resolve_name(name.as_str().to_owned());
        Box::pin(async move {
            let addresses: Addrs = Box::new(found.await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(config: &WebhookConfig, url: &str) -> bool {
        Receivers::new(config).check(&Url::parse(url).expect("a URL")).is_ok()
    }

    #[tokio::test]
    async fn h5_r9_no_receiver_is_in_a_private_network_unless_allowed() {
        let mut config = WebhookConfig::default();
        for inside in [
            "http://127.0.0.1",
            "http://[::1]",
            "http://10.1.2.3",
            "http://2130706433",
            "http://0x7f.1",
            "http://169.254.169.254/",
        ] {
            assert!(!allows(&config, inside), "{inside}");
        }
        assert!(allows(&config, "https://1.1.1.1/hook"));
        let name = Receivers::new(&config).resolve_name("localhost".into()).await;
        assert!(name.is_err_and(|error| error.to_string().contains("private network")));
        config.allow = vec![
            Receiver::Network("10.1.0.0/16".parse().expect("a network")),
            Receiver::Address("127.0.0.1".parse().expect("an address")),
            Receiver::Host("LocalHost".into()),
        ];
        assert!(
            allows(&config, "http://10.1.2.3")
                && !allows(&config, "http://10.2.2.3")
                && allows(&config, "http://127.0.0.1")
        );
        assert!(Receivers::new(&config).resolve_name("localhost".into()).await.is_ok());
        config.private_networks = true;
        assert!(allows(&config, "http://10.2.2.3"));
    }
}
