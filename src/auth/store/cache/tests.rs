//! A3: the cache gives what was read, and nothing that a write may have changed.

use super::*;

const SESSION: Kind = Kind::Session;
const ANNA: &str = "900:3@lid.0";

fn id(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

/// Anna's device list and one session.
fn found() -> impl Iterator<Item = (String, Kind, String, Value)> {
    let row = |kind, key_id: &str, value: &str| ("900".to_owned(), kind, key_id.to_owned(), Value::from(value));
    [row(Kind::DeviceList, "900", "list"), row(SESSION, ANNA, "one")].into_iter()
}

fn read(cache: &Cache) {
    drop(cache.ask("900"));
    cache.begin().end(found());
}

#[test]
fn a3_a_key_read_ahead_is_given_once_and_a_missing_key_is_known() {
    let cache = Cache::default();
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown, "nothing was read");
    let mut answer = cache.ask("900");
    cache.begin().end(found());
    assert_eq!(answer.try_recv(), Ok(Some("list".into())));
    assert_eq!(cache.has(SESSION, ANNA), Some(true));
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Value("one".into()));
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown, "the library may have changed it since");
    assert_eq!(cache.has(SESSION, ANNA), Some(true));
    assert_eq!(cache.take(SESSION, "900@lid.0"), Lookup::Absent);
    assert_eq!(cache.take(Kind::IdentityKey, ANNA), Lookup::Absent);
    assert_eq!(cache.take(SESSION, "901@lid.0"), Lookup::Unknown);
    assert_eq!(cache.take(Kind::SenderKey, ANNA), Lookup::Unknown);
}

#[test]
fn a3_a_write_forgets_before_and_after_and_during_a_read() {
    let cache = Cache::default();
    read(&cache);
    let writing = cache.writing(Write::Keys(SESSION, &id(ANNA)));
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown);
    // While the new value is not committed, the old one may be read; the end of the write forgets it.
    read(&cache);
    writing.end();
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown);
    // A read that began before the write and ended after it.
    drop(cache.ask("900"));
    let reading = cache.begin();
    cache.writing(Write::Keys(SESSION, &id("900:4@lid.0"))).end();
    reading.end(found());
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown);
    // A write of another person's key, and of a kind that is not read ahead.
    read(&cache);
    cache.writing(Write::Keys(SESSION, &id("901@lid.0"))).end();
    cache.writing(Write::AnyOf(Kind::SenderKey)).end();
    cache.writing(Write::Credentials).end();
    assert_eq!(cache.has(SESSION, ANNA), Some(true));
    cache.writing(Write::AnyOf(SESSION)).end();
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown);
}

#[test]
fn a3_no_write_of_a_cached_kind_goes_unnoticed() {
    let filled = |kind| {
        let cache = Cache::default();
        drop(cache.ask("900"));
        cache.begin().end(std::iter::once(("900".to_owned(), kind, ANNA.to_owned(), Value::from("old"))));
        if kind == Kind::TcToken {
            cache.remember_token(0, ANNA, Some("old".into()));
        }
        cache
    };
    let old = Lookup::Value("old".into());
    let answers = |cache: &Cache, kind| cache.take(kind, ANNA) == old || cache.token(ANNA) == old;
    let mut cached = vec![];
    for kind in Kind::ALL.into_iter().filter(|kind| answers(&filled(*kind), *kind)) {
        cached.push(kind.name());
        for write in [Write::Keys(kind, &id(ANNA)), Write::AnyOf(kind), Write::All] {
            let cache = filled(kind);
            let writing = cache.writing(write);
            assert!(!answers(&cache, kind), "{write:?} has begun, and the old value is given");
            writing.end();
            let cache = filled(kind);
            drop(cache.writing(write));
            assert!(!answers(&cache, kind), "{write:?} is in doubt, and the old value is given");
        }
    }
    assert_eq!(cached, ["session", "identity-key", "device-list", "tctoken"]);
}

#[test]
fn a3_a_token_is_given_again_until_tokens_are_written() {
    let cache = Cache::default();
    let write = Write::AnyOf(Kind::TcToken);
    assert_eq!(cache.token("900"), Lookup::Unknown);
    let writes = cache.token_writes();
    cache.remember_token(writes, "900", Some("token".into()));
    cache.remember_token(writes, "901", None);
    for _ in 0..2 {
        assert_eq!(cache.token("900"), Lookup::Value("token".into()));
        assert_eq!(cache.token("901"), Lookup::Absent);
    }
    let writing = cache.writing(write);
    assert_eq!(cache.token("900"), Lookup::Unknown);
    // Read before the write, or while it was under way.
    cache.remember_token(writes, "900", Some("token".into()));
    let writes = cache.token_writes();
    writing.end();
    cache.remember_token(writes, "901", None);
    assert_eq!((cache.token("900"), cache.token("901")), (Lookup::Unknown, Lookup::Unknown));
    cache.remember_token(cache.token_writes(), "900", None);
    assert_eq!(cache.token("900"), Lookup::Absent);
    // A write of everything, and a write that may or may not have happened.
    cache.writing(Write::All).end();
    assert_eq!(cache.token("900"), Lookup::Unknown);
    drop(cache.writing(write));
    cache.remember_token(cache.token_writes(), "900", None);
    assert_eq!(cache.token("900"), Lookup::Unknown);
}

#[test]
fn a3_after_a_write_in_doubt_nothing_is_read_ahead_any_more() {
    let cache = Cache::default();
    drop(cache.writing(Write::Keys(Kind::SenderKey, &id(ANNA))));
    read(&cache);
    assert_eq!(cache.has(SESSION, ANNA), Some(true));
    drop(cache.writing(Write::Keys(SESSION, &id(ANNA))));
    read(&cache);
    assert_eq!(cache.take(SESSION, ANNA), Lookup::Unknown);
}
