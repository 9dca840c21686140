//! What pages and this server say to each other, in the words of the front ends that exist (H3, H4).

use crate::web::qr;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;

/// The name of the namespace.
pub(super) const NAMESPACE: &str = "/marketplace";
/// A page asks for a QR code.
pub(super) const REQUEST_QR: &str = "request-qr";
/// A page asks for a pairing code.
pub(super) const REQUEST_PAIRING_CODE: &str = "request-pairing-code";
/// The most seconds that a page is told to show a QR code; longer ones it gets again.
pub(super) const SHOWN: u64 = 20;

/// Why something is refused or over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidToken,
    RateLimit,
    QrExpired,
    ConnectionFailed,
    CompanyNotFound,
    DbError,
}

impl Code {
    #[cfg(test)]
    const ALL: [Self; 6] = [
        Self::InvalidToken,
        Self::CompanyNotFound,
        Self::QrExpired,
        Self::RateLimit,
        Self::ConnectionFailed,
        Self::DbError,
    ];

    /// Its name, and its status in HTTP.
    pub(super) const fn parts(self) -> (&'static str, u16) {
        match self {
            Self::InvalidToken => ("INVALID_TOKEN", 401),
            Self::CompanyNotFound => ("COMPANY_NOT_FOUND", 404),
            Self::QrExpired => ("QR_EXPIRED", 410),
            Self::RateLimit => ("RATE_LIMIT", 429),
            Self::ConnectionFailed => ("CONNECTION_FAILED", 500),
            Self::DbError => ("DB_ERROR", 503),
        }
    }
}

/// Why there is no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCode {
    PhoneRequired,
    InvalidPhoneFormat,
    RequestInProgress,
    PairingCodeFailed,
    /// The connection to WhatsApp ended. The name is that of the library of older servers, which pages compare with.
    BaileysError,
}

impl NoCode {
    #[cfg(test)]
    const ALL: [Self; 5] = [
        Self::PhoneRequired,
        Self::InvalidPhoneFormat,
        Self::RequestInProgress,
        Self::PairingCodeFailed,
        Self::BaileysError,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PhoneRequired => "PHONE_REQUIRED",
            Self::InvalidPhoneFormat => "INVALID_PHONE_FORMAT",
            Self::RequestInProgress => "REQUEST_IN_PROGRESS",
            Self::PairingCodeFailed => "PAIRING_CODE_FAILED",
            Self::BaileysError => "BAILEYS_ERROR",
        }
    }
}

/// An event for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Say {
    Qr { text: String, seconds: u64 },
    Code { code: String, phone: String, seconds: u64 },
    NoCode { why: NoCode, message: String },
    Connected { phone: String, company: i64, session: String },
    Error { code: Code, message: String },
}

/// The arguments of the events.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum Payload {
    Qr { qr: String, expires_in: u64 },
    Code { code: String, phone_number: String, expires_in: u64 },
    Connected { success: bool, phone: String, company_id: i64, session_id: String, message: &'static str },
    Error { message: String, code: &'static str, status: u16 },
    NoCode { message: String, code: &'static str },
}

impl Say {
    pub(super) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into() }
    }

    pub(super) fn no_code(why: NoCode, message: impl Into<String>) -> Self {
        Self::NoCode { why, message: message.into() }
    }

    /// Its name and argument. `drawn` asks for QR codes as pictures.
    pub(super) fn parts(self, drawn: bool) -> (&'static str, Payload) {
        match self {
            Self::Qr { text, seconds } => {
                let picture = if drawn { qr::png(&text) } else { None };
                let qr = picture.map_or(text, |png| format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png)));
                ("qr-update", Payload::Qr { qr, expires_in: seconds })
            }
            Self::Code { code, phone, seconds } => {
                ("pairing-code", Payload::Code { code, phone_number: phone, expires_in: seconds })
            }
            Self::NoCode { why, message } => ("pairing-code-error", Payload::NoCode { message, code: why.name() }),
            Self::Connected { phone, company, session } => {
                let message = "WhatsApp is connected";
                let connected =
                    Payload::Connected { success: true, phone, company_id: company, session_id: session, message };
                ("whatsapp-connected", connected)
            }
            Self::Error { code, message } => {
                let (code, status) = code.parts();
                ("error", Payload::Error { message, code, status })
            }
        }
    }
}

/// What a page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Qr,
    /// The number as the page sends it, if it sends one.
    Code(Option<String>),
}

impl Ask {
    /// Of the argument of `request-pairing-code`: `{phoneNumber}`.
    pub(super) fn code(argument: Option<&Value>) -> Self {
        let number = match argument.and_then(|it| it.get("phoneNumber")) {
            Some(Value::String(number)) => Some(number.trim().to_owned()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Self::Code(number.filter(|number| !number.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn h3_events_have_the_fields_that_pages_read() {
        let shown = |say: Say| {
            let (name, payload) = say.parts(false);
            json!([name, serde_json::to_value(payload).expect("JSON")])
        };
        assert_eq!(
            shown(Say::Qr { text: "2@x".into(), seconds: 20 }),
            json!(["qr-update", { "qr": "2@x", "expiresIn": 20 }])
        );
        assert_eq!(
            shown(Say::Code { code: "ABCD-EFGH".into(), phone: "15550001".into(), seconds: 180 }),
            json!(["pairing-code", { "code": "ABCD-EFGH", "phoneNumber": "15550001", "expiresIn": 180 }])
        );
        assert_eq!(
            shown(Say::Connected { phone: "15550001".into(), company: 7, session: "shop".into() }),
            json!(["whatsapp-connected", {
                "success": true, "phone": "15550001", "companyId": 7, "sessionId": "shop", "message": "WhatsApp is connected"
            }])
        );
        assert_eq!(
            shown(Say::no_code(NoCode::PhoneRequired, "no number")),
            json!(["pairing-code-error", { "message": "no number", "code": "PHONE_REQUIRED" }])
        );
    }

    #[test]
    fn h3_h4_every_code_has_its_status() {
        let found = Code::ALL.map(Code::parts);
        let stated = [
            ("INVALID_TOKEN", 401),
            ("COMPANY_NOT_FOUND", 404),
            ("QR_EXPIRED", 410),
            ("RATE_LIMIT", 429),
            ("CONNECTION_FAILED", 500),
            ("DB_ERROR", 503),
        ];
        assert_eq!(found, stated);
        let page = include_str!("../../../docs/marketplace.md");
        for (name, status) in found {
            assert!(page.contains(&format!("| `{name}` | {status} |")), "{name} is not in the documentation");
        }
    }

    #[test]
    fn h3_every_reason_for_no_pairing_code_is_in_the_documentation() {
        let page = include_str!("../../../docs/marketplace.md");
        for why in NoCode::ALL {
            assert!(page.contains(&format!("| `{}` |", why.name())), "{why:?}");
        }
    }

    #[test]
    fn h3_the_argument_of_a_pairing_code_is_read_as_pages_write_it() {
        assert_eq!(Ask::code(Some(&json!({ "phoneNumber": " +1 555 " }))), Ask::Code(Some("+1 555".into())));
        assert_eq!(Ask::code(Some(&json!({ "phoneNumber": 15_550_001 }))), Ask::Code(Some("15550001".into())));
        for none in [json!({}), json!(null), json!("15550001"), json!({ "phoneNumber": "" })] {
            assert_eq!(Ask::code(Some(&none)), Ask::Code(None), "{none}");
        }
        assert_eq!(Ask::code(None), Ask::Code(None));
    }
}
