//! What the server means by refusing a message (M3), and what becomes of the row.
//!
//! The codes are those that WhatsApp Web knows by name (`wacore::protocol::nack`) and those that its servers use as HTTP
//! does. Nobody has a list; what is not in ours is tried again like any other failure.

use crate::jobs::JobError;

/// What follows a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Tried again after a backoff, until the row is out of attempts.
    Retry,
    /// Failed: the same message would be refused again.
    Fail,
    /// Tried again, and the session sends nothing more until somebody has looked: WhatsApp limits the number, and to go on
    /// is what gets numbers banned.
    Pause,
}

/// Codes, what follows, and what is meant.
pub const CODES: &[(u16, Then, &str)] = &[
    (400, Then::Fail, "not a message that WhatsApp takes"),
    (401, Then::Fail, "not allowed to write there"),
    (403, Then::Fail, "not allowed to write there: not in the group, or only admins may"),
    (404, Then::Fail, "there is no such recipient"),
    (405, Then::Fail, "not allowed"),
    (406, Then::Fail, "not acceptable"),
    (408, Then::Retry, "timeout"),
    (421, Then::Retry, "the group uses the other kind of addresses by now"),
    (429, Then::Pause, "too many messages"),
    (463, Then::Pause, "the account may not begin new chats at present"),
    (475, Then::Pause, "too many new chats"),
    (479, Then::Fail, "the stanza was not understood"),
    (487, Then::Fail, "the stanza could not be parsed"),
    (488, Then::Fail, "the stanza is not known"),
    (489, Then::Fail, "the class of stanza is not known"),
    (490, Then::Fail, "the type of stanza is not known"),
    (491, Then::Fail, "the message could not be parsed"),
    (493, Then::Fail, "not from a device like this"),
    (495, Then::Fail, "the secret of the message that it is about is missing"),
    (499, Then::Fail, "the message that it is about is deleted"),
    (500, Then::Retry, "internal error"),
    (503, Then::Retry, "not available"),
    (550, Then::Fail, "an admin cannot take this back"),
    (551, Then::Fail, "the group does not take such addresses"),
    (552, Then::Retry, "internal error of the database"),
];

/// What follows the refusal with that code, and in which words.
pub(crate) fn refused(code: &str) -> (Then, String) {
    let known = code.parse().ok().and_then(|code: u16| CODES.iter().find(|(known, ..)| *known == code));
    known.map_or_else(
        || (Then::Retry, format!("refused by the server with code {code}")),
        |(_, then, meaning)| (*then, format!("refused by the server with code {code}: {meaning}")),
    )
}

impl Then {
    /// What the attempt came to.
    pub(crate) const fn outcome(self, words: String) -> JobError {
        match self {
            Self::Retry | Self::Pause => JobError::Retry(words),
            Self::Fail => JobError::Permanent(words),
        }
    }
}
