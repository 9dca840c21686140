//! X1: a sandbox listens on loopback only.

use wagres_sandbox::{Options, Sandbox};

#[tokio::test]
async fn x1_the_sandbox_stays_on_loopback() {
    for options in [
        Options { ws: ([0, 0, 0, 0], 0).into(), ..Options::default() },
        Options { control: ([0, 0, 0, 0], 0).into(), ..Options::default() },
        Options { media: ([0, 0, 0, 0], 0).into(), ..Options::default() },
    ] {
        let error = Sandbox::start(options).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("loopback"), "{error:?}");
    }
}
