//! The conversion from and to Baileys as a function of any value (R5).

#![allow(clippy::expect_used, reason = "an input that breaks a promise has to end the program")]

use super::convert::{Converter, Outcome};
use super::export::one;
use super::{BaileysState, Count, Entry, convert, export};
use crate::auth::codec;
use crate::auth::kind::Kind;
use crate::auth::snapshot::{Key, State};
use serde_json::Value;
use std::collections::BTreeMap;
use wacore::libsignal::protocol::{IdentityKey, LegacySessionLocalContext, PublicKey, SenderKeyRecord, SessionRecord};

/// A kind of key with an id of that kind.
const KINDS: [(&str, &str); 11] = [
    ("pre-key", "1"),
    ("session", "15550002_1.0"),
    ("identity-key", "15550002.0"),
    ("sender-key", "1-2@g.us::15550002::0"),
    ("sender-key-memory", "1-2@g.us"),
    ("app-state-sync-key", "AAAAAA=="),
    ("app-state-sync-version", "regular"),
    ("lid-mapping", "15550002"),
    ("lid-mapping", "915550002_reverse"),
    ("device-list", "15550002"),
    ("tctoken", "15550002@s.whatsapp.net"),
];

/// Nothing panics, whatever the value of a key; and the client library reads every converted record.
pub(in crate::auth) fn holds(value: &Value) {
    let entries: Vec<_> =
        KINDS.into_iter().map(|(kind, id)| Entry { kind: kind.into(), id: id.into(), value: value.clone() }).collect();
    let identity_key = IdentityKey::new(PublicKey::from_djb_public_key_bytes(&[9; 32]).expect("32 bytes"));
    let converter =
        Converter { local: LegacySessionLocalContext { identity_key, registration_id: 1 }, first_unuploaded: 2 };
    for entry in &entries {
        let Ok(Outcome::Rows(rows)) = converter.one(entry) else { continue };
        for (kind, _, value) in rows {
            let record = codec::bytes(&value, "value");
            match kind {
                Kind::Session => drop(SessionRecord::deserialize(&record.expect("bytes")).expect("a session")),
                Kind::SenderKey => drop(SenderKeyRecord::deserialize(&record.expect("bytes")).expect("a sender key")),
                _ => {}
            }
        }
    }
    for kind in Kind::ALL {
        for id in ["1", "15550002:3@lid.0", "1-2@g.us:15550002@c.us.0", "regular|0102"] {
            let key = Key { kind: kind.name().into(), id: id.into(), value: value.clone(), expires_at: None };
            let _ = one(&key, &mut BTreeMap::new());
        }
    }
    // With the credentials: the report counts every key.
    let keys = entries.len() as u64;
    let found = BaileysState { creds: Some(value.clone()), entries, ..BaileysState::default() };
    if let Ok(converted) = convert(found, || {}) {
        let counted = |count: &Count| count.converted + count.skipped.values().sum::<u64>() + count.failed.len() as u64;
        assert_eq!(converted.report.values().map(counted).sum::<u64>(), keys + 1);
        assert_eq!(
            converted.refused.len() as u64,
            converted.report.values().map(|it| it.failed.len() as u64).sum::<u64>()
        );
        // Exported and converted again, the rows are the same.
        let keys = converted.rows.iter().map(|((kind, id), value)| Key {
            kind: (*kind).to_owned(),
            id: id.clone(),
            value: value.clone(),
            expires_at: None,
        });
        let state = State { creds: converted.creds.clone(), keys: keys.collect() };
        let exported = export(state, || {}).expect("a converted state can be exported");
        let found = BaileysState { creds: Some(exported.creds), entries: exported.entries, ..BaileysState::default() };
        let again = convert(found, || {}).expect("an exported state can be converted");
        assert_eq!(again.rows, converted.rows);
    }
}
