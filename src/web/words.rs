//! The words of the pages, one file for each language. A language more is a file more in `words/` and a line in [`ALL`].

use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::CookieJar;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Code, name in its own language, and file of each language; the first is for readers of none.
const ALL: [(&str, &str, &str); 2] =
    [("en", "English", include_str!("words/en.toml")), ("ru", "Русский", include_str!("words/ru.toml"))];

static READ: LazyLock<Vec<Words>> =
    LazyLock::new(|| ALL.map(|(code, name, file)| Words { code, name, texts: read(file) }).into());

/// The cookie that remembers the reader's choice.
pub(super) const COOKIE: &str = "wagres_language";

/// A language.
#[derive(Debug)]
pub(super) struct Words {
    /// As in the attribute `lang`: `en`.
    pub(super) code: &'static str,
    /// In its own words: `English`.
    pub(super) name: &'static str,
    texts: HashMap<String, String>,
}

/// The texts of a file by section and key: `fleet.title`.
fn read(file: &str) -> HashMap<String, String> {
    let sections: HashMap<String, HashMap<String, String>> =
        Figment::from(Toml::string(file)).extract().unwrap_or_default();
    let texts = sections
        .into_iter()
        .flat_map(|(section, texts)| texts.into_iter().map(move |(key, text)| (format!("{section}.{key}"), text)));
    texts.collect()
}

impl Words {
    /// All languages.
    pub(super) fn all() -> &'static [Self] {
        &READ
    }

    /// The language with this code.
    pub(super) fn of(code: &str) -> Option<&'static Self> {
        Self::all().iter().find(|words| words.code == code)
    }

    /// The reader's choice, else the first that the browser asks for, else English.
    pub(super) fn of_request(headers: &HeaderMap) -> &'static Self {
        let chosen = CookieJar::from_headers(headers).get(COOKIE).and_then(|cookie| Self::of(cookie.value()));
        let asked = || {
            let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
            accepted.split(',').find_map(|one| Self::of(one.trim().get(..2)?))
        };
        chosen.or_else(asked).unwrap_or(&Self::all()[0])
    }

    /// The text with this name; the name itself if there is none, which a test rules out for all names in the source.
    pub(super) fn t<'a>(&'a self, name: &'a str) -> &'a str {
        self.texts.get(name).map_or(name, String::as_str)
    }

    /// The text with this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Whether this is the language of the database and of workers.
    pub(super) fn is_english(&self) -> bool {
        self.code == Self::all()[0].code
    }

    /// The text with `{}` replaced by `value`.
    pub(super) fn with(&self, name: &str, value: impl std::fmt::Display) -> String {
        self.t(name).replacen("{}", &value.to_string(), 1)
    }

    /// A word for a value of a fixed list, such as a status: `status.connected`. The value itself when the list is newer.
    pub(super) fn of_value<'a>(&'a self, section: &str, value: &'a str) -> &'a str {
        self.texts.get(&format!("{section}.{value}")).map_or(value, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Every `.t("…")` and `.with("…"` below a folder.
    fn used(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                used(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("words.rs") {
                let text = std::fs::read_to_string(&path).expect("a text");
                for start in [".t(\"", ".with(\""] {
                    found.extend(text.split(start).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
                    // Others have a method of that name, too.
                    found.retain(|name| name.contains('.'));
                }
            }
        }
    }

    #[test]
    fn h2_every_language_has_every_text_and_no_other() {
        // The database says these in English.
        let is_own = |name: &&String| !["cause.", "sql_error."].iter().any(|section| name.starts_with(section));
        let english: BTreeSet<_> = Words::all()[0].texts.keys().collect();
        for words in Words::all() {
            assert_eq!(english, words.texts.keys().filter(is_own).collect(), "{}", words.code);
        }
    }

    #[test]
    fn h2_every_text_that_a_page_names_exists() {
        let mut found = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut found);
        assert!(found.len() > 20, "{found:?}");
        let missing: Vec<_> = found.iter().filter(|name| !Words::all()[0].texts.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Those that are sent, and those that are received.
    #[test]
    fn h2_every_kind_of_message_has_a_word() {
        let sent = include_str!("../../sql/schema/30_message_kinds.sql").split("$$").nth(1).expect("a list");
        let sent = sent.lines().filter_map(|line| line.trim().strip_prefix("('")?.split('\'').next());
        let received = include_str!("../../migrations/0006_inbox.sql").split("wa.inbox.kind IS '").nth(1);
        let received = received.and_then(|rest| rest.split(" for a message").next()).expect("a list");
        let received = received.split([',', ';']).filter_map(|one| one.split_whitespace().next());
        let kinds: BTreeSet<&str> = sent.chain(received).chain(["unknown"]).collect();
        assert!(kinds.len() > 40, "{kinds:?}");
        for words in Words::all() {
            let missing = kinds.iter().filter(|kind| !words.texts.contains_key(&format!("message_kind.{kind}")));
            assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{}", words.code);
        }
    }
}
