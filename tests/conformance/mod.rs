//! X1: the same exchanges with every client library, each in a sandbox of its own.
//!
//! A new exchange is written over [`party`] in `exchanges`, and gets a line in [`conformance`] below.

mod baileys;
mod exchanges;
mod party;
mod phone;
mod stage;
mod whatsapp_rust;

use std::time::Duration;

use anyhow::Result;
use wagres_sandbox::{Options, Pace};

use stage::{Kind, run};

/// For exchanges in which no phone may send receipts.
fn without_read_receipts() -> Options {
    let never = Duration::from_hours(1);
    Options { pace: Pace { delivered: never, read: never }, ..Options::default() }
}

/// One test for each exchange and client.
macro_rules! conformance {
    ($($exchange:ident $(, $options:expr)? => $rust:ident $baileys_7:ident $baileys_6:ident;)*) => {
        const EXCHANGES: &[&str] = &[$(stringify!($exchange)),*];
        $(
            conformance!(@one $rust WhatsappRust $exchange $($options)?);
            conformance!(@one $baileys_7 Baileys7 $exchange $($options)?);
            conformance!(@one $baileys_6 Baileys6 $exchange $($options)?);
        )*
    };
    (@one $name:ident $kind:ident $exchange:ident) => {
        conformance!(@one $name $kind $exchange Options::default());
    };
    (@one $name:ident $kind:ident $exchange:ident $options:expr) => {
        #[tokio::test]
        async fn $name() -> Result<()> {
            run(Kind::$kind, $options, exchanges::$exchange).await
        }
    };
}

#[test]
fn x1_each_conformance_exchange_is_documented() {
    let docs = include_str!("../../ecosystem/sandbox/docs/sandbox.md");
    let section = docs.split("## Conformance").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(rows, EXCHANGES);
}

conformance! {
    link_by_qr => x1_conformance_link_by_qr_whatsapp_rust
        x1_conformance_link_by_qr_baileys_7 x1_conformance_link_by_qr_baileys_6;
    link_by_code => x1_conformance_link_by_code_whatsapp_rust
        x1_conformance_link_by_code_baileys_7 x1_conformance_link_by_code_baileys_6;
    text_both_ways => x1_conformance_text_whatsapp_rust
        x1_conformance_text_baileys_7 x1_conformance_text_baileys_6;
    reply => x1_conformance_reply_whatsapp_rust
        x1_conformance_reply_baileys_7 x1_conformance_reply_baileys_6;
    reaction => x1_conformance_reaction_whatsapp_rust
        x1_conformance_reaction_baileys_7 x1_conformance_reaction_baileys_6;
    edit => x1_conformance_edit_whatsapp_rust
        x1_conformance_edit_baileys_7 x1_conformance_edit_baileys_6;
    revoke => x1_conformance_revoke_whatsapp_rust
        x1_conformance_revoke_baileys_7 x1_conformance_revoke_baileys_6;
    image => x1_conformance_image_whatsapp_rust
        x1_conformance_image_baileys_7 x1_conformance_image_baileys_6;
    group_text => x1_conformance_group_text_whatsapp_rust
        x1_conformance_group_text_baileys_7 x1_conformance_group_text_baileys_6;
    receipts_of_the_phone => x1_conformance_receipts_of_the_phone_whatsapp_rust
        x1_conformance_receipts_of_the_phone_baileys_7 x1_conformance_receipts_of_the_phone_baileys_6;
    receipts_of_the_client, without_read_receipts() => x1_conformance_receipts_of_the_client_whatsapp_rust
        x1_conformance_receipts_of_the_client_baileys_7 x1_conformance_receipts_of_the_client_baileys_6;
    offline => x1_conformance_offline_whatsapp_rust
        x1_conformance_offline_baileys_7 x1_conformance_offline_baileys_6;
    reconnect => x1_conformance_reconnect_whatsapp_rust
        x1_conformance_reconnect_baileys_7 x1_conformance_reconnect_baileys_6;
    log_out => x1_conformance_log_out_whatsapp_rust
        x1_conformance_log_out_baileys_7 x1_conformance_log_out_baileys_6;
    unlink => x1_conformance_unlink_whatsapp_rust
        x1_conformance_unlink_baileys_7 x1_conformance_unlink_baileys_6;
}
