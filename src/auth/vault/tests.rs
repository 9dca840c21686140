//! Sealing by example and for any bytes, and where keys come from.

use super::*;
use proptest::prelude::*;

fn vault(current: &str) -> Vault {
    let vault = Vault::default().with_key("old", &[1; 32]).and_then(|vault| vault.with_key("new", &[2; 32]));
    vault.and_then(|vault| vault.writing_with(current)).expect("keys")
}

const HERE: SealPlace<'_> = SealPlace { session_id: 7, kind: "session", key_id: "1@lid.0" };

fn secret() -> Value {
    json!({"a": [codec::buffer(b"one"), {"b": codec::buffer(b"two")}], "n": 5, "t": "text", "e": codec::buffer(b"")})
}

#[test]
fn a6_bytes_are_sealed_in_place_and_nothing_else_is() {
    let sealed = vault("old").seal(HERE, secret()).expect("sealed");
    assert_eq!(sealed["a"][0]["type"], "Sealed");
    assert_eq!(sealed["a"][1]["b"]["key"], "old");
    assert_eq!((&sealed["n"], &sealed["t"], &sealed["e"]), (&json!(5), &json!("text"), &codec::buffer(b"")));
    assert_eq!(vault("new").unseal(HERE, sealed).expect("opens"), secret());
    assert_eq!(Vault::default().seal(HERE, secret()), Ok(secret()));
}

#[test]
fn a6_a_sealed_value_opens_only_at_its_own_place() {
    let vault = vault("new");
    let sealed = vault.seal(HERE, secret()).expect("sealed");
    for elsewhere in [
        SealPlace { session_id: 8, ..HERE },
        SealPlace { kind: "sender-key", ..HERE },
        SealPlace { key_id: "1@lid.1", ..HERE },
        SealPlace { kind: "sessio", key_id: "n1@lid.0", ..HERE },
    ] {
        assert_eq!(vault.unseal(elsewhere, sealed.clone()), Err(SealError::Refused("new".into())));
    }
    let mut swapped = sealed.clone();
    swapped["a"][0] = sealed["a"][1]["b"].clone();
    assert_eq!(vault.unseal(HERE, swapped), Err(SealError::Refused("new".into())));
}

#[test]
fn a6_without_the_right_key_the_error_names_it() {
    let sealed = vault("old").seal(HERE, secret()).expect("sealed");
    let none = Vault::default().unseal(HERE, sealed.clone()).expect_err("no key").to_string();
    assert!(none.contains("\"old\"") && none.contains("encryption.keys"), "{none}");
    let other = Vault::default().with_key("old", &[9; 32]).expect("a key");
    assert_eq!(other.unseal(HERE, sealed.clone()), Err(SealError::Refused("old".into())));
    let mut broken = sealed;
    broken["a"][0]["data"] = json!("AAAA");
    assert_eq!(vault("old").unseal(HERE, broken), Err(SealError::Damaged));
    assert_eq!(vault("old").unseal(HERE, json!({"type": "Sealed"})), Err(SealError::Damaged));
}

#[test]
fn a6_resealing_brings_every_value_to_the_key_in_force() {
    let (old, new) = (vault("old"), vault("new"));
    let sealed = new.reseal(HERE, old.seal(HERE, secret()).expect("sealed")).expect("opens").expect("not current");
    assert_eq!(sealed["a"][0]["key"], "new");
    assert_eq!(new.reseal(HERE, sealed.clone()), Ok(None));
    let plain = Vault { current: None, ..new.clone() };
    assert_eq!(plain.reseal(HERE, sealed), Ok(Some(secret())), "back to plain");
    assert_eq!(plain.reseal(HERE, secret()), Ok(None));
    let wild = json!({"a": {"type": "Buffer", "data": [1, 2]}});
    let tame = new.reseal(HERE, wild).expect("opens").expect("plain");
    assert_eq!(new.unseal(HERE, tame).expect("opens"), json!({"a": codec::buffer(&[1, 2])}));
}

#[test]
fn a6_a_vault_shows_no_key() {
    let shown = format!("{:?}", vault("new"));
    assert_eq!(shown, r#"Vault { current: Some("new"), keys: ["new", "old"] }"#);
}

#[test]
fn a6_keys_are_read_as_base64_and_as_hexadecimal_digits() {
    let key = [0xAB; 32];
    assert_eq!(key_from_text(&format!(" {}\n", codec::base64(&key))), Some(key));
    assert_eq!(key_from_text(&hex::encode(key)), Some(key));
    assert_eq!(key_from_text("c2hvcnQ="), None);
}

#[tokio::test]
async fn a6_keys_come_from_a_file_the_environment_or_a_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, codec::base64(&[3; 32])).expect("written");
    let source = |file: Option<PathBuf>, env: Option<&str>, command: Option<&[&str]>| KeySource {
        file,
        env: env.map(Into::into),
        command: command.map(|line| line.iter().map(ToString::to_string).collect()),
    };
    let open = async |source| {
        let keys = BTreeMap::from([("k1".to_owned(), source)]);
        Vault::open(&EncryptionConfig { key: Some("k1".into()), keys }).await
    };
    let printing = codec::base64(&[3; 32]);
    let sealed = Vault::default().with_key("k1", &[3; 32]).and_then(|v| v.writing_with("k1")).expect("a key");
    let sealed = sealed.seal(HERE, secret()).expect("sealed");
    for source in [source(Some(file.clone()), None, None), source(None, None, Some(&["echo", &printing]))] {
        assert_eq!(open(source).await.expect("a key").unseal(HERE, sealed.clone()), Ok(secret()));
    }
    for (source, said) in [
        (source(Some(folder.path().join("none")), None, None), "none: No such file"),
        (source(None, Some("WAGRES_NO_SUCH_VARIABLE"), None), "WAGRES_NO_SUCH_VARIABLE: environment variable"),
        (source(None, None, Some(&["false"])), "false: exit status: 1"),
        (source(None, None, Some(&["echo", "secret"])), "echo holds something else; accepted are 32 bytes"),
        (source(None, None, Some(&[])), "accepted is one of file, env and command"),
        (source(Some(file), Some("X"), None), "accepted is one of file, env and command"),
    ] {
        let error = open(source).await.expect_err("no key").to_string();
        assert!(error.starts_with("encryption.keys.k1: ") && error.contains(said), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let config = EncryptionConfig { key: Some("k2".into()), keys: BTreeMap::new() };
    let error = Vault::open(&config).await.expect_err("no such key").to_string();
    assert!(error.starts_with("encryption.key: \"k2\" is none of"), "{error}");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| codec::buffer(&bytes)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a6_every_value_opens_as_it_was(value in value()) {
        let vault = vault("old");
        let sealed = vault.seal(HERE, value.clone()).expect("sealed");
        prop_assert!(vault.is_current(&sealed));
        prop_assert_eq!(vault.unseal(HERE, sealed), Ok(codec::canonical(value)));
    }
}
