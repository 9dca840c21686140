//! Why a message failed, as a class.
//!
//! `wa.failure_classes()` says what each class means; a test compares the two.

/// The class of a failure, `wa.outbound.failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The recipient has no account.
    NotOnWhatsapp,
    /// WhatsApp refused the message.
    Refused,
    /// WhatsApp limits the number.
    Limited,
    /// The row cannot become a message.
    Content,
    /// The file cannot be used.
    Media,
    /// No answer from WhatsApp.
    Connection,
    /// An error of WhatsApp's own.
    Server,
    /// An error of the worker's own; also every failure whose class nobody named.
    Worker,
}

impl FailureClass {
    /// All of them, in the order of `wa.failure_classes()`.
    pub const ALL: [Self; 8] = [
        Self::NotOnWhatsapp,
        Self::Refused,
        Self::Limited,
        Self::Content,
        Self::Media,
        Self::Connection,
        Self::Server,
        Self::Worker,
    ];

    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOnWhatsapp => "not_on_whatsapp",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Content => "content",
            Self::Media => "media",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Worker => "worker",
        }
    }
}
