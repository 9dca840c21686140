//! Which receivers may be dialled: the guard against private networks.

use crate::config::WebhookConfig;
use crate::net::{Guard, PrivateNetwork, Reach};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::IpAddr;
use url::{Host, Url};

/// The receivers that the configuration allows. Clones share the list.
#[derive(Debug, Clone)]
pub struct Receivers(Guard);

impl Receivers {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &WebhookConfig) -> Self {
        Self(Guard::new(Reach::with_private(config.private_networks), &config.allow))
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
        if self.0.allows(ip) { Ok(()) } else { Err(PrivateNetwork) }
    }
}

/// As the resolver of the HTTP client, which then dials the checked addresses and no others.
impl Resolve for Receivers {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(guard.resolve(name.as_str(), 0).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowed;

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
        let name = Receivers::new(&config).0.resolve("localhost", 0).await;
        assert!(name.is_err_and(|error| error.to_string().contains("private network")));
        config.allow = vec![
            Allowed::Network("10.1.0.0/16".parse().expect("a network")),
            Allowed::Address("127.0.0.1".parse().expect("an address")),
            Allowed::Host("LocalHost".into()),
        ];
        assert!(
            allows(&config, "http://10.1.2.3")
                && !allows(&config, "http://10.2.2.3")
                && allows(&config, "http://127.0.0.1")
        );
        assert!(Receivers::new(&config).0.resolve("localhost", 0).await.is_ok());
        config.private_networks = true;
        assert!(allows(&config, "http://10.2.2.3"));
    }
}
