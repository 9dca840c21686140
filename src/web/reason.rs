//! Reasons of the database (`wa.reason_kinds`) in the reader's language: a code and its arguments become a sentence of `words/`.

use super::format;
use super::words::Words;
use chrono_tz::Tz;
use maud::{Markup, html};
use serde_json::Value;

/// Those that hold back some messages of a session, or let them go one after another; all others hold back every message.
const PARTIAL: [&str; 4] = ["limited", "gate", "used_up", "campaign_paused"];
/// Those of a session that is being linked, until somebody acts.
const LINKING: [&str; 5] = ["passkey", "passkey_code", "pairing_code", "qr_code", "linking"];

/// The functions that reasons name, and the buttons that call them.
const BUTTONS: [(&str, &str); 12] = [
    ("wa.link", "session.link"),
    ("wa.connect", "session.connect"),
    ("wa.logout", "session.logout"),
    ("wa.restore_auth", "session.restore_auth"),
    ("wa.resume", "session.resume"),
    ("wa.resume_tenant", "fleet.resume_tenant"),
    ("wa.resume_campaign", "queue.lift"),
    ("wa.answer_passkey", "session.answer_passkey"),
    ("wa.confirm_passkey", "session.confirm_passkey"),
    ("wa.set_proxy", "session.set_proxy"),
    ("wa.set_pacing", "session.set_pacing"),
    ("wa.retry", "queue.retry"),
];

/// Whether these reasons of a session hold back every message.
pub(super) fn holds(reasons: Option<&Value>) -> bool {
    codes(reasons).any(|code| !PARTIAL.contains(&code))
}

/// Whether these reasons of a session are those of a linking alone, which goes its way.
pub(super) fn is_linking(reasons: Option<&Value>) -> bool {
    let mut codes = codes(reasons).peekable();
    codes.peek().is_some() && codes.all(|code| LINKING.contains(&code))
}

/// Whether a message waits for its session alone.
pub(super) fn is_of_session(reasons: Option<&Value>) -> bool {
    codes(reasons).any(|code| code == "of_session")
}

/// The paused campaigns among these reasons.
pub(super) fn paused_campaigns(reasons: Option<&Value>) -> impl Iterator<Item = &str> {
    each(reasons)
        .filter(|reason| reason["code"] == "campaign_paused")
        .filter_map(|reason| reason.get("campaign")?.as_str())
}

/// Of one reason, or of several.
fn codes(reasons: Option<&Value>) -> impl Iterator<Item = &str> {
    each(reasons).filter_map(|reason| reason.get("code")?.as_str())
}

fn each(reasons: Option<&Value>) -> impl Iterator<Item = &Value> {
    let reasons = match reasons {
        Some(Value::Array(reasons)) => reasons.as_slice(),
        Some(reason) => std::slice::from_ref(reason),
        None => &[],
    };
    reasons.iter()
}

/// A reason, or several.
pub(super) fn show(words: &Words, zone: Tz, reason: &Value) -> Markup {
    match reason {
        Value::Array(reasons) => html! {
            @for (at, reason) in reasons.iter().enumerate() { @if at > 0 { "; " } (show(words, zone, reason)) }
        },
        Value::Object(parts) => match (parts.get("code").and_then(Value::as_str), parts.get("text")) {
            (code, Some(text)) => said(words, zone, code, text.as_str().unwrap_or_default()),
            (Some(code), None) => html! {
                @for part in parts_of(words.t(&format!("reason.{code}"))) {
                    @match part {
                        Part::Words(text) => (with_buttons(words, text)),
                        Part::Argument { before, name, after } => @if let Some(value) = parts.get(name) {
                            (before) (show(words, zone, value)) (after)
                        }
                    }
                }
            },
            (None, None) => html! {},
        },
        Value::String(text) => format::sentence(zone, text),
        Value::Null => html! {},
        other => html! { (other) },
    }
}

/// What a worker or WhatsApp said in English, after the reader's words for its code.
pub(super) fn said(words: &Words, zone: Tz, code: Option<&str>, text: &str) -> Markup {
    let text = &with_buttons(words, text);
    let word = code.and_then(|code| {
        ["cause", "failure_class"].into_iter().find_map(|section| words.find(&format!("{section}.{code}")))
    });
    html! {
        @match word.filter(|_| !words.is_english()) {
            Some(word) => { (word) " " (original(words, &html! { "(" (format::sentence(zone, text)) ")" })) }
            None => (original(words, &format::sentence(zone, text)))
        }
    }
}

/// A text with the buttons in place of the calls that do the same: `call wa.link` becomes `press “Link here”`, and `(wa.resume)` at the end
/// of a reason `(button “Resume”)`.
fn with_buttons(words: &Words, text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("wa.") {
        let (before, from) = rest.split_at(at);
        let end = from[3..]
            .find(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
            .map_or(from.len(), |end| end + 3);
        let (name, mut after) = from.split_at(end);
        if let Some((_, label)) = BUTTONS.iter().find(|(function, _)| *function == name) {
            let label = words.with("common.quoted", words.t(label));
            if let Some((_, behind)) = after.strip_prefix('(').and_then(|call| call.split_once(')')) {
                after = behind;
            }
            if let (Some(before), true) = (before.strip_suffix('('), after.starts_with(')')) {
                told.push_str(before);
                told.push('(');
                told.push_str(&words.with("common.button", &label));
            } else if let Some(before) = before.strip_suffix("call ") {
                told.push_str(before);
                told.push_str("press ");
                told.push_str(&label);
            } else {
                told.push_str(before.strip_suffix("SELECT ").unwrap_or(before));
                told.push_str(&label);
            }
        } else {
            told.push_str(before);
            told.push_str(name);
        }
        rest = after;
    }
    told.push_str(rest);
    told
}

/// A text that is English on every page.
pub(super) fn original(words: &Words, text: &Markup) -> Markup {
    html! { @if words.is_english() { (text) } @else { span.original lang="en" { (text) } } }
}

/// A part of a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Words(&'a str),
    /// An argument, and what is said before and after it if there is one.
    Argument {
        before: &'a str,
        name: &'a str,
        after: &'a str,
    },
}

/// The parts of a sentence such as `paused by {by}[: {reason}]`, as `wa.reason_text` takes them apart.
fn parts_of(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = vec![];
    while let Some(at) = text.find(['[', '{']) {
        let (words, rest) = text.split_at(at);
        parts.push(Part::Words(words));
        let (whole, end) = if let Some(whole) = rest.strip_prefix('[') { (whole, ']') } else { (rest, '}') };
        let Some((inside, rest)) = whole.split_once(end) else { break };
        let (before, argument) = inside.split_once('{').unwrap_or(("", inside));
        let (name, after) = argument.split_once('}').unwrap_or((argument, ""));
        parts.push(Part::Argument { before, name, after });
        text = rest;
    }
    parts.push(Part::Words(text));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn shown(language: &str, reason: &Value) -> String {
        let words = Words::of(language).expect("a language");
        show(words, Tz::UTC, reason).into_string()
    }

    /// The codes and words of `wa.reason_kinds`.
    fn kinds() -> Vec<(String, String)> {
        let list = include_str!("../../sql/schema/62_why.sql").split("$$").nth(1).expect("a list");
        let rows = list.lines().filter_map(|line| line.trim().strip_prefix("('")?.split_once("', '"));
        let rows = rows.map(|(code, words)| {
            (code.to_owned(), words.trim_end_matches([',', ')']).trim_end_matches('\'').to_owned())
        });
        rows.collect()
    }

    fn arguments(text: &str) -> BTreeSet<&str> {
        let arguments = parts_of(text).into_iter().filter_map(|part| match part {
            Part::Argument { name, .. } => Some(name),
            Part::Words(_) => None,
        });
        arguments.collect()
    }

    #[test]
    fn h2_s12_every_reason_has_words_in_each_language_with_the_same_arguments() {
        let kinds = kinds();
        assert!(kinds.len() > 30, "{kinds:?}");
        for words in Words::all() {
            for (code, english) in &kinds {
                let told = words.find(&format!("reason.{code}")).unwrap_or_else(|| panic!("{}: {code}", words.code));
                if words.is_english() {
                    assert_eq!(told, english, "{code}");
                } else {
                    assert_ne!(told, english, "{}: {code}", words.code);
                }
                assert_eq!(arguments(told), arguments(english), "{}: {code}", words.code);
            }
        }
    }

    #[test]
    fn h2_s12_every_cause_has_words_in_each_other_language() {
        let codes = include_str!("../../sql/schema/21_session_status.sql").split("wa.status_code(reason text)").nth(1);
        let codes = codes.and_then(|rest| rest.split("$$").nth(1)).expect("a list");
        let codes = codes.lines().filter_map(|line| line.trim().strip_prefix("('")?.split('\'').next());
        let ends = crate::session::ending::ENDS.iter().map(|end| end.shown().name);
        let codes: BTreeSet<&str> = codes.chain(ends).chain(["no_code", "restored", "imported"]).collect();
        assert!(codes.len() > 20, "{codes:?}");
        for words in Words::all().iter().filter(|words| !words.is_english()) {
            let missing = codes.iter().filter(|code| words.find(&format!("cause.{code}")).is_none());
            assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{}", words.code);
        }
    }

    /// `wa.status_code` knows the reasons of workers by their words, which stand in statements and in the source.
    #[test]
    fn s12_h2_the_reasons_with_a_code_are_those_that_workers_write() {
        fn texts(folder: &std::path::Path, all: &mut String) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    texts(&path, all);
                } else if !path.ends_with("21_session_status.sql") {
                    all.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
                }
            }
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = String::new();
        for folder in ["src/session", "src/worker", "src/db", "sql"] {
            texts(&root.join(folder), &mut sources);
        }
        let schema = include_str!("../../sql/schema/21_session_status.sql");
        let known = schema.split("FROM (VALUES").nth(1).and_then(|rest| rest.split(") k (code, reason)").next());
        let known = known.expect("a list").split("('").skip(1).filter_map(|one| one.split('\'').nth(2));
        let known: Vec<&str> = known.collect();
        assert!(known.len() > 4, "{known:?}");
        for text in known {
            assert!(
                sources.contains(&format!("\"{text}\"")) || sources.contains(&format!("'{text}'")),
                "nobody writes: {text}"
            );
        }
        let prefix =
            schema.split("WHEN reason LIKE '").nth(1).and_then(|rest| rest.split("%'").next()).expect("a prefix");
        assert!(sources.contains(&format!("\"{prefix}{{")), "nobody writes: {prefix}");
    }

    #[test]
    fn h2_s12_a_reason_is_a_sentence_with_what_there_is_of_its_arguments() {
        let mut reason = json!({ "code": "paused", "by": "anna", "since": "2026-11-20 10:00:00+00" });
        let time = "<time datetime=\"2026-11-20T10:00:00+00:00\">2026-11-20 10:00</time>";
        assert_eq!(shown("en", &reason), format!("paused by anna since {time} (button “Resume”)"));
        reason["reason"] = "[lunch] {x}".into();
        assert_eq!(shown("en", &reason), format!("paused by anna since {time}: [lunch] {{x}} (button “Resume”)"));
        let ended = json!([{ "code": "stopped", "since": "x", "because": { "code": "no_scan", "text": "no <b>" } }, { "code": "no_worker" }]);
        assert_eq!(
            shown("en", &ended),
            "stopped since x: no &lt;b&gt; (button “Connect”); no worker runs (wagres worker)"
        );
        assert!(shown("ru", &ended).contains("<span class=\"original\" lang=\"en\">(no &lt;b&gt;)</span>"));
    }

    #[test]
    fn h2_s12_a_reason_on_a_page_names_the_button_and_no_function() {
        for words in Words::all() {
            for (_, english) in kinds() {
                let told = with_buttons(words, &english);
                assert!(!told.contains("wa."), "{}: {told}", words.code);
                assert_eq!(
                    told.contains(words.t("common.button").split('{').next().unwrap_or_default()),
                    english.contains("wa."),
                    "{told}"
                );
            }
            for (_, label) in BUTTONS {
                assert!(words.find(label).is_some(), "{}: {label}", words.code);
            }
        }
        let words = Words::of("en").expect("a language");
        for (text, told) in [
            ("call wa.link when somebody is there to scan", "press “Link here” when somebody is there to scan"),
            ("call wa.resume('shop')", "press “Resume”"),
            ("SELECT wa.link(…) shows a QR code", "“Link here” shows a QR code"),
            ("wa.restore_auth and wa.connect, or link", "“Restore link” and “Connect”, or link"),
            ("wa.session_errors, wa.", "wa.session_errors, wa."),
        ] {
            assert_eq!(with_buttons(words, text), told);
        }
        // A person's words stay as they are.
        let paused = json!({ "code": "paused", "by": "anna", "since": "x", "reason": "call wa.resume" });
        assert_eq!(shown("en", &paused), "paused by anna since x: call wa.resume (button “Resume”)");
    }
}
