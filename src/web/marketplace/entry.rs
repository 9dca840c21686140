//! Coming from the partner: a user's browser that the partner leads here, or a program that registers a company.

use super::super::error::{WebError, wants_json};
use super::super::identity::begin;
use super::super::request::Asked;
use super::super::{Web, page};
use super::caller::bearer;
use super::error::{ApiError, Problem};
use super::{change, of, signature, token};
use crate::config::is_phone;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;
use utoipa::ToSchema;

/// A company that somebody came for.
struct Entered {
    company_id: i64,
    session: String,
    /// Of its link page.
    secret: String,
}

async fn enter(web: &Web, salon_id: i64) -> Result<Entered, ApiError> {
    let _share = change(web, salon_id).await?;
    let mut tx = begin(&web.pool).await?;
    let entered = sqlx::query_as!(
        Entered,
        r#"SELECT company_id AS "company_id!", session AS "session!", secret AS "secret!" FROM wa.enter_company($1)"#,
        salon_id
    )
    .fetch_one(&mut tx)
    .await?;
    tx.commit().await?;
    tracing::info!(company = entered.company_id, session = entered.session, "somebody came from the partner");
    Ok(entered)
}

/// The partner leads a user here; the user is led on to the link page of the company.
#[utoipa::path(
    get, path = "/auth/yclients/redirect", tag = "partner",
    params(
        ("salon_id" = Option<i64>, Query, description = "The company at the partner"),
        ("salon_ids[0]" = Option<i64>, Query, description = "The same, as the partner writes several"),
        ("user_data" = String, Query, description = "A JSON in base64: who comes"),
        ("user_data_sign" = String, Query, description = "HMAC-SHA256 of that JSON under the partner's token, in hex"),
    ),
    responses(
        (status = 303, description = "To the link page, or to marketplace.page_url with a token"),
        (status = 400, description = "No positive salon_id", body = Problem),
        (status = 403, description = "The signature is missing or wrong", body = Problem),
    )
)]
pub(super) async fn redirect(State(web): State<Web>, RawQuery(query): RawQuery, asked: Asked) -> Response {
    let query = query.unwrap_or_default();
    let value = |wanted: &[&str]| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| wanted.contains(&name.as_ref()));
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let enter = async {
        let own = of(&web)?;
        let salon_id = value(&["salon_id", "salon_ids[0]", "salon_ids[]"]);
        let salon_id = salon_id.and_then(|it| it.parse::<i64>().ok()).filter(|it| *it > 0);
        let salon_id = salon_id.ok_or_else(|| invalid("salon_id", "a positive integer"))?;
        let data = value(&["user_data"]).unwrap_or_default();
        let signed = signature::signed(&own.partner_token, &data, &value(&["user_data_sign"]).unwrap_or_default());
        if !signed.is_some_and(|data| signature::is_of(&data, salon_id)) {
            // Somebody may be trying.
            web.limits.attempt(asked.client).map_err(|_| ApiError::RateLimit)?;
            return Err(ApiError::Forbidden);
        }
        let entered = enter(&web, salon_id).await?;
        match &own.page_url {
            Some(page) => {
                let token = own.tokens.create(entered.company_id, salon_id).map_err(|_| ApiError::InvalidToken)?;
                Ok(format!("{page}?token={token}"))
            }
            None => Ok(format!("/link/{}", entered.secret)),
        }
    };
    match enter.await {
        Ok(to) => Redirect::to(&to).into_response(),
        Err(error) if wants_json(&asked.headers) => error.into_response(),
        Err(error) => {
            let status = match &error {
                ApiError::Forbidden => {
                    Some((StatusCode::FORBIDDEN, "the partner has not signed this; come from it again"))
                }
                _ => None,
            };
            let error = match (status, error) {
                (Some((_, text)), _) => WebError::Forbidden(text),
                (None, ApiError::Sql(error)) => WebError::Sql(error),
                (None, ApiError::RateLimit) => WebError::TooMany,
                (None, ApiError::Busy) => WebError::Busy,
                (None, ApiError::Invalid(text)) => {
                    let words = WebError::Invalid(text);
                    let mut response = page::answer(&words, asked.words, &asked.headers, "/");
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    return response;
                }
                (None, _) => WebError::NotFound,
            };
            page::answer(&error, asked.words, &asked.headers, "/")
        }
    }
}

/// Which company to register.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Registration {
    /// The company at the partner.
    #[schema(value_type = i64, minimum = 1, example = 962_302)]
    salon_id: Option<Value>,
    /// The number that is to be linked; checked, and not kept.
    #[schema(pattern = r"^\+?[1-9]\d{1,14}$", example = "+79001234567")]
    phone: Option<String>,
}

/// A registered company.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Registered {
    /// Always true.
    success: bool,
    /// The company here.
    #[schema(example = 1)]
    company_id: i64,
    /// The company at the partner.
    #[schema(example = 962_302)]
    salon_id: i64,
    /// The name of its session.
    #[schema(example = "company_962302")]
    session_id: String,
    /// For the other calls, and for Socket.IO.
    token: String,
    /// Seconds for which the token and the link page are valid.
    #[schema(example = 3600)]
    expires_in: u64,
    /// The link page.
    connect_url: String,
}

/// Registers a company, as if a user came from the partner for it.
#[utoipa::path(
    post, path = "/marketplace/register", tag = "companies", request_body = Registration,
    security(("partner_token" = [])),
    responses(
        (status = 201, description = "Registered", body = Registered),
        (status = 400, description = "A field is missing or wrong", body = Problem),
        (status = 401, description = "Not the partner's token", body = Problem),
        (status = 429, description = "Too many requests", body = Problem),
    )
)]
pub(super) async fn register(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let own = of(&web)?;
    let is_partner = bearer(&headers).is_some_and(|token| own.is_partner(token));
    if !is_partner {
        return Err(ApiError::InvalidToken);
    }
    let asked: Registration = read(&body)?;
    let salon_id =
        asked.salon_id.as_ref().and_then(positive).ok_or_else(|| invalid("salon_id", "a positive integer"))?;
    if asked.phone.is_some_and(|phone| !is_phone(&phone)) {
        return Err(invalid("phone", "an international number such as +79001234567"));
    }
    let Entered { company_id, session, secret } = enter(&web, salon_id).await?;
    let token = own.tokens.create(company_id, salon_id).map_err(|_| ApiError::InvalidToken)?;
    let registered = Registered {
        success: true,
        company_id,
        salon_id,
        session_id: session,
        token,
        expires_in: token::VALID.as_secs(),
        connect_url: format!("{}/link/{secret}", own.url),
    };
    Ok((StatusCode::CREATED, Json(registered)))
}

/// The error of a field.
pub(super) fn invalid(field: &str, accepted: &str) -> ApiError {
    ApiError::Invalid(format!("{field}: accepted is {accepted}"))
}

/// A body of JSON.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Invalid("body: accepted is a JSON object".into()))
}

/// A positive integer; the older front ends also write it as a text.
pub(super) fn positive(value: &Value) -> Option<i64> {
    let text = || value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
    value.as_i64().or_else(text).filter(|number| *number > 0)
}
