//! The codes that the owner of a phone scans or types.

use futures::poll;
use tokio::pin;

use super::super::pairing::{self, LinkError};
use super::client::Client;
use super::world::{ALICE, check, run};

/// Offers a text as a QR code, scans it, and enters it as a pairing code. `{ref}`, `{noise}`, `{identity}` and
/// `{secret}` stand for the parts of a waiting device's code.
pub fn qr(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    run(async |server| {
        let mut client = Client::unlinked(&server);
        let shown = client.show_code();
        let values = [
            ("{ref}", &shown.reference),
            ("{noise}", &shown.noise_key),
            ("{identity}", &shown.identity_key),
            ("{secret}", &shown.secret),
        ];
        let text = values.iter().fold(text, |text, (name, value)| text.replace(name, value));
        let before = server.state().devices(ALICE).count();
        let held = pairing::show(&server, &text, None);
        {
            let scan = pairing::scan(&server, ALICE, &text);
            pin!(scan);
            // The code is refused at once, or the phone waits for the device's signature.
            let scanned = match poll!(scan.as_mut()) {
                std::task::Poll::Ready(scanned) => scanned,
                std::task::Poll::Pending => {
                    assert!(client.sign_identity(&server), "the phone waits for a device that received no identity");
                    scan.await
                }
            };
            assert_eq!(held.is_ok(), scanned.is_ok(), "offering and scanning agree: {held:?}, {scanned:?}");
            if let Err(error) = &scanned {
                assert!(matches!(error, LinkError::Unreadable(_) | LinkError::Stale), "{error:?}");
            }
            assert_eq!(server.state().devices(ALICE).count(), before + usize::from(scanned.is_ok()));
        }
        if held.is_ok() {
            assert!(
                matches!(pairing::scan(&server, ALICE, &text).await, Err(LinkError::Stale)),
                "a code works only once"
            );
        }
        let confirmed = pairing::confirm(&server, ALICE, &text).await;
        assert!(matches!(confirmed, Err(LinkError::NotACode(_) | LinkError::NoRequest(_))), "{confirmed:?}");
        check(&server).await;
    });
}
