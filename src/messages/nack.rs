//! What the server means by refusing a message (M3), and what happens to the row.
//!
//! The codes are those that WhatsApp Web knows by name (`wacore::protocol::nack`) and those that its servers use as
//! HTTP does. There is no official list; a code that is not in this one is retried like any other failure.

use crate::jobs::JobError;

/// What happens after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRefusal {
    /// Retry after a backoff, until the row is out of attempts.
    Retry,
    /// Failed: the server would refuse the same message again.
    Fail,
    /// Retry, and pause the session until somebody resumes it: WhatsApp limits the number, and continuing gets numbers
    /// banned.
    Pause,
}

/// Code, what happens, and the meaning.
pub const CODES: &[(u16, AfterRefusal, &str)] = &[
    (400, AfterRefusal::Fail, "WhatsApp does not accept such a message"),
    (401, AfterRefusal::Fail, "not allowed to send to this chat"),
    (403, AfterRefusal::Fail, "not allowed to send to this chat: not in the group, or only admins may send"),
    (404, AfterRefusal::Fail, "there is no such recipient"),
    (405, AfterRefusal::Fail, "not allowed"),
    (406, AfterRefusal::Fail, "not acceptable"),
    (408, AfterRefusal::Retry, "timeout"),
    (421, AfterRefusal::Retry, "the group has changed its addressing (phone numbers or LIDs)"),
    (429, AfterRefusal::Pause, "too many messages"),
    (463, AfterRefusal::Pause, "the account may not start new chats at present"),
    (475, AfterRefusal::Pause, "too many new chats"),
    (479, AfterRefusal::Fail, "the stanza was not understood"),
    (487, AfterRefusal::Fail, "the stanza could not be parsed"),
    (488, AfterRefusal::Fail, "the stanza is not known"),
    (489, AfterRefusal::Fail, "the class of stanza is not known"),
    (490, AfterRefusal::Fail, "the type of stanza is not known"),
    (491, AfterRefusal::Fail, "the message could not be parsed"),
    (493, AfterRefusal::Fail, "not allowed for a device of this kind"),
    (495, AfterRefusal::Fail, "the secret of the message that it refers to is missing"),
    (499, AfterRefusal::Fail, "the message that it refers to was deleted"),
    (500, AfterRefusal::Retry, "internal error"),
    (503, AfterRefusal::Retry, "not available"),
    (550, AfterRefusal::Fail, "an admin cannot revoke this message"),
    (551, AfterRefusal::Fail, "the group does not accept this kind of address"),
    (552, AfterRefusal::Retry, "internal error of the database"),
];

/// What happens after a refusal with that code, and the error text.
pub(crate) fn refused(code: &str) -> (AfterRefusal, String) {
    let known = code.parse().ok().and_then(|code: u16| CODES.iter().find(|(known, ..)| *known == code));
    known.map_or_else(
        || (AfterRefusal::Retry, format!("refused by the server with code {code}")),
        |(_, then, meaning)| (*then, format!("refused by the server with code {code}: {meaning}")),
    )
}

impl AfterRefusal {
    /// The error of the attempt.
    pub(crate) const fn job_error(self, text: String) -> JobError {
        match self {
            Self::Retry | Self::Pause => JobError::Retry(text),
            Self::Fail => JobError::Permanent(text),
        }
    }
}
