//! Ids as `wa.auth_key.key_id`: several parts become one text.

use crate::db::storable::hashed;
use std::{borrow::Cow, fmt::Write};

/// Most bytes of an id, as `wa.auth_key` takes them.
const MOST: usize = 1024;

/// Joins the parts with `|`. Within a part `%`, `|` and control characters are percent-encoded, so that no two lists of
/// parts give the same id and Postgres refuses no text of a peer (one with a NUL, say). The end of an id of more than
/// [`MOST`] bytes is a hash of the whole. Ids in use look unchanged.
pub(super) fn join(parts: &[&str]) -> String {
    let mut id = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            id.push('|');
        }
        id.push_str(&encoded(part));
    }
    if id.len() > MOST { hashed(&id, &id, MOST) } else { id }
}

/// Encodes one part, which may be an id by itself.
pub(super) fn escape(part: &str) -> Cow<'_, str> {
    let id = encoded(part);
    if id.len() > MOST { Cow::Owned(hashed(&id, &id, MOST)) } else { id }
}

fn encoded(part: &str) -> Cow<'_, str> {
    let special = |c: char| c == '%' || c == '|' || c.is_ascii_control();
    if !part.contains(special) {
        return Cow::Borrowed(part);
    }
    let mut text = String::with_capacity(part.len() + 8);
    for c in part.chars() {
        if special(c) {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{:02X}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Decodes what [`escape`] encoded and did not shorten. Text that [`escape`] cannot have written is returned unchanged.
pub(super) fn unescape(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        part.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        if let Some(code) = code {
            part.push(char::from(code));
            rest = &rest[at + 3..];
        } else {
            part.push('%');
            rest = &rest[at + 1..];
        }
    }
    part.push_str(rest);
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a1_ids_in_use_look_unchanged() {
        assert_eq!(
            join(&["120363021033254949@g.us", "551@s.whatsapp.net"]),
            "120363021033254949@g.us|551@s.whatsapp.net"
        );
        assert_eq!(join(&["a|b", "c%\0"]), "a%7Cb|c%25%00");
    }

    #[test]
    fn r10_long_ids_fit_their_column_and_stay_apart() {
        let long = |last: &str| format!("{}{last}", "x".repeat(3000));
        for id in [join(&["chat", &long("a")]), escape(&long("a")).into_owned()] {
            assert_eq!(id.len(), MOST);
        }
        assert_ne!(join(&["chat", &long("a")]), join(&["chat", &long("b")]));
        assert_ne!(escape(&long("a")), escape(&long("b")));
    }

    proptest! {
        #[test]
        fn r5_no_two_lists_of_parts_give_one_id(a in prop::collection::vec(".*", 2), b in prop::collection::vec(".*", 2)) {
            let id = |parts: &[String]| join(&[&parts[0], &parts[1]]);
            prop_assert_eq!(id(&a) == id(&b), a == b);
            prop_assert!(!id(&a).contains('\0'));
        }

        #[test]
        fn r5_a_part_comes_back(part in ".*") {
            prop_assert_eq!(unescape(&escape(&part)), part);
        }

        #[test]
        fn r5_any_text_unescapes(text in ".*") {
            let _ = unescape(&text);
        }
    }
}
