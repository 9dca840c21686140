//! What the server means by refusing a message (M3), and what happens to the row.
//!
//! The codes are those that WhatsApp Web knows by name (`wacore::protocol::nack`) and those that its servers use as
//! HTTP does. There is no official list; a code that is not in this one is retried like any other failure.

use crate::jobs::JobError;
use crate::jobs::failure::FailureClass;

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

/// Code, what happens, the class of the failure if the message fails with it, and the meaning.
pub const CODES: &[(u16, AfterRefusal, FailureClass, &str)] = &[
    (400, AfterRefusal::Fail, FailureClass::Content, "WhatsApp does not accept such a message"),
    (401, AfterRefusal::Fail, FailureClass::Refused, "not allowed to send to this chat"),
    (
        403,
        AfterRefusal::Fail,
        FailureClass::Refused,
        "not allowed to send to this chat: not in the group, or only admins may send",
    ),
    (404, AfterRefusal::Fail, FailureClass::NotOnWhatsapp, "there is no such recipient"),
    (405, AfterRefusal::Fail, FailureClass::Refused, "not allowed"),
    (406, AfterRefusal::Fail, FailureClass::Refused, "not acceptable"),
    (408, AfterRefusal::Retry, FailureClass::Server, "timeout"),
    (421, AfterRefusal::Retry, FailureClass::Refused, "the group has changed its addressing (phone numbers or LIDs)"),
    (429, AfterRefusal::Pause, FailureClass::Limited, "too many messages"),
    (463, AfterRefusal::Pause, FailureClass::Limited, "the account may not start new chats at present"),
    (475, AfterRefusal::Pause, FailureClass::Limited, "too many new chats"),
    (479, AfterRefusal::Fail, FailureClass::Content, "the stanza was not understood"),
    (487, AfterRefusal::Fail, FailureClass::Content, "the stanza could not be parsed"),
    (488, AfterRefusal::Fail, FailureClass::Content, "the stanza is not known"),
    (489, AfterRefusal::Fail, FailureClass::Content, "the class of stanza is not known"),
    (490, AfterRefusal::Fail, FailureClass::Content, "the type of stanza is not known"),
    (491, AfterRefusal::Fail, FailureClass::Content, "the message could not be parsed"),
    (493, AfterRefusal::Fail, FailureClass::Refused, "not allowed for a device of this kind"),
    (495, AfterRefusal::Fail, FailureClass::Content, "the secret of the message that it refers to is missing"),
    (499, AfterRefusal::Fail, FailureClass::Content, "the message that it refers to was deleted"),
    (500, AfterRefusal::Retry, FailureClass::Server, "internal error"),
    (503, AfterRefusal::Retry, FailureClass::Server, "not available"),
    (550, AfterRefusal::Fail, FailureClass::Refused, "an admin cannot revoke this message"),
    (551, AfterRefusal::Fail, FailureClass::Refused, "the group does not accept this kind of address"),
    (552, AfterRefusal::Retry, FailureClass::Server, "internal error of the database"),
];

/// What happens after a refusal with that code, the class of the failure, and the error text.
pub(crate) fn refused(code: &str) -> (AfterRefusal, FailureClass, String) {
    let known = code.parse().ok().and_then(|code: u16| CODES.iter().find(|(known, ..)| *known == code));
    known.map_or_else(
        || (AfterRefusal::Retry, FailureClass::Refused, format!("refused by the server with code {code}")),
        |(_, then, class, meaning)| (*then, *class, format!("refused by the server with code {code}: {meaning}")),
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
