//! The parts that all requests share: bodies, errors, and common fields.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wacore_binary::{Jid, JidExt as _};

use super::super::group::GroupRefusal;
use super::super::media::StorageFull;
use super::super::pairing::LinkError;
use super::super::phone::{Phone, PhoneError};
use super::super::server::Server;

pub(super) type Outcome = Result<Json<Value>, Failure>;

/// An error answer: `{"error": "…"}` with its status.
pub(super) struct Failure(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl Failure {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, message.into())
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, message.into())
    }

    pub(super) fn no_phone(number: &str) -> Self {
        Self::missing(format!("no phone has the number {number}; create it with POST /phones"))
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let status = match error {
            LinkError::NoPhone(_) | LinkError::NotShown(_) => StatusCode::NOT_FOUND,
            LinkError::Unreadable(_) | LinkError::NotACode(_) | LinkError::WrongCode(_) | LinkError::Passkey(_) => {
                StatusCode::BAD_REQUEST
            }
            LinkError::Stale
            | LinkError::UsedUp
            | LinkError::NoRequest(_)
            | LinkError::Expired(_)
            | LinkError::TooManyTries => StatusCode::CONFLICT,
            LinkError::Unfinished => StatusCode::GATEWAY_TIMEOUT,
            LinkError::Keys(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<StorageFull> for Failure {
    fn from(error: StorageFull) -> Self {
        Self(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
    }
}

impl From<GroupRefusal> for Failure {
    fn from(refusal: GroupRefusal) -> Self {
        let status = match refusal {
            GroupRefusal::NotFound | GroupRefusal::Gone => StatusCode::NOT_FOUND,
            GroupRefusal::NotIn | GroupRefusal::NotAdmin | GroupRefusal::Announcements => StatusCode::FORBIDDEN,
            GroupRefusal::AlreadyIn | GroupRefusal::Conflict => StatusCode::CONFLICT,
            GroupRefusal::Words | GroupRefusal::Full => StatusCode::BAD_REQUEST,
        };
        Self(status, refusal.to_string())
    }
}

impl From<PhoneError> for Failure {
    fn from(error: PhoneError) -> Self {
        let status = match error {
            PhoneError::NoAccount(_) | PhoneError::NoMessage(_) => StatusCode::NOT_FOUND,
            PhoneError::NoRoom(_) => StatusCode::INSUFFICIENT_STORAGE,
            PhoneError::Off | PhoneError::OtherPast => StatusCode::CONFLICT,
            PhoneError::NotOurs(_) | PhoneError::Status => StatusCode::BAD_REQUEST,
            PhoneError::Group(refusal) => return refusal.into(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

/// A JSON body whose errors are answered in our own form. Any content type is accepted, because curl sends another one
/// by default.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes =
            axum::body::Bytes::from_request(request, state).await.map_err(|error| Failure::bad(error.body_text()))?;
        match Json::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(Failure::bad(match error {
                // The inner error names the field; the outer one adds nothing.
                JsonRejection::JsonDataError(error) => format!("the body: {}", inner(&error)),
                JsonRejection::JsonSyntaxError(error) => format!("the body is not JSON: {}", inner(&error)),
                error => error.body_text(),
            })),
        }
    }
}

fn inner(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The digits of a phone number.
pub(super) fn digits(field: &str, number: &str) -> Result<String, Failure> {
    phone_number(field, number).map_err(Failure::bad)
}

/// The digits of a phone number, or an error text.
pub(in super::super) fn phone_number(field: &str, number: &str) -> Result<String, String> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain && (5..=15).contains(&digits.len()) {
        return Ok(digits.to_owned());
    }
    Err(format!(
        "{field}: {number:?} is not a phone number; use 5 to 15 digits with the country code, with or without a leading +"
    ))
}

/// A chat: a phone number, or an address in one of the forms that clients use.
pub(super) fn chat(field: &str, given: &str) -> Result<Jid, Failure> {
    if !given.contains('@') {
        return Ok(Jid::pn(digits(field, given)?));
    }
    let known = |jid: &Jid| jid.is_pn() || jid.is_lid() || jid.is_group() || jid.is_status_broadcast();
    given
        .parse::<Jid>()
        .ok()
        .filter(|jid| !jid.user.is_empty() && known(jid))
        .ok_or_else(|| Failure::bad(format!("{field}: {given:?} is not an address; use {CHATS}")))
}

pub(super) const CHATS: &str = "a phone number, user@s.whatsapp.net, user@lid, group@g.us or status@broadcast";

/// A group's address.
pub(super) fn group(field: &str, given: &str) -> Result<Jid, Failure> {
    let jid = given.parse::<Jid>().ok().filter(|jid| jid.is_group() && !jid.user.is_empty());
    jid.ok_or_else(|| Failure::bad(format!("{field}: {given:?} is not a group's address, such as 120363…@g.us")))
}

pub(super) fn phone(server: &Server, number: &str) -> Result<Phone, Failure> {
    let number = digits("number", number)?;
    let state = server.state();
    state.accounts.get(&number).map(|account| account.phone.clone()).ok_or_else(|| Failure::no_phone(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_numbers_are_digits_with_an_optional_plus() {
        for (given, kept) in [("15550001", "15550001"), ("+15550001", "15550001")] {
            assert_eq!(digits("number", given).ok().as_deref(), Some(kept));
        }
        for bad in ["", "+", "abc", "1555 0001", "0155500001", "1234", "1234567890123456", "++15550001"] {
            assert!(digits("number", bad).is_err(), "{bad:?} was accepted");
        }
    }
}
