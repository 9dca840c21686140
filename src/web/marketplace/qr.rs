//! QR codes for front ends that ask for them, without Socket.IO.

use super::super::identity::begin;
use super::super::{Web, qr as picture};
use super::caller::{Company, bearer};
use super::companies::{Shown, state};
use super::error::{ApiError, Problem};
use super::{change, of};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;

/// How long a request waits for a code.
const WAIT: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// The code to scan, or that the phone is linked.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the older systems gave them these names")]
pub(super) struct Code {
    /// Always true.
    success: bool,
    /// The company here.
    #[schema(example = 1)]
    company_id: i64,
    /// The name of its session.
    #[schema(example = "company_962302")]
    session_id: String,
    /// Whether the phone is linked; then there is no code.
    connected: bool,
    /// The number of the linked phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// A PNG as data URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "data:image/png;base64,iVBORw0KGgo…")]
    qr: Option<String>,
    /// Seconds for which the code is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20)]
    expires_in: Option<i64>,
    /// Where `marketplace.pairing_code` says so: a pairing code for `marketplace.phone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ABCD-1234")]
    pairing_code: Option<String>,
}

/// Begins the linking if need be, and waits for a code.
async fn code(web: &Web, Company { id, salon_id }: Company) -> Result<Json<Code>, ApiError> {
    let own = of(web)?;
    let until = Instant::now() + WAIT;
    let begun = begin_linking(web, id, salon_id, own.pairing_phone.as_deref()).await?;
    loop {
        let shown = state(&web.pool, id, Some(salon_id)).await?;
        if let Some(code) = answer(id, &shown, own.pairing_phone.is_some()) {
            if let Some(qr) = shown.qr.filter(|_| code.qr.is_some()) {
                own.codes.shown(id, &qr);
            }
            return Ok(Json(code));
        }
        let is_idle = !matches!(shown.session_status.as_str(), "new" | "linking" | "connecting");
        if begun
            && is_idle
            && let Some(error) = shown.job_error.or(shown.status_reason.filter(|_| shown.session_status == "banned"))
        {
            return Err(ApiError::ConnectionFailed(error));
        }
        if Instant::now() + LOOK > until {
            return Err(ApiError::NoCode);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn begin_linking(web: &Web, id: i64, salon_id: i64, phone: Option<&str>) -> Result<bool, ApiError> {
    let _share = change(web, salon_id).await?;
    let mut tx = begin(&web.pool).await?;
    let begun = sqlx::query_scalar!(r#"SELECT wa.start_company($1, $2, $3) AS "begun!""#, id, salon_id, phone)
        .fetch_one(&mut tx)
        .await?;
    tx.commit().await?;
    Ok(begun)
}

/// The answer that a company's state allows now.
fn answer(id: i64, shown: &Shown, with_code: bool) -> Option<Code> {
    let (session_id, connected) = (shown.session.clone(), shown.is_connected());
    let empty = Code {
        success: true,
        company_id: id,
        session_id,
        connected,
        phone: None,
        qr: None,
        expires_in: None,
        pairing_code: None,
    };
    if connected {
        return Some(Code { phone: shown.number(), ..empty });
    }
    let left = whole_seconds(shown.qr_seconds?);
    let png = shown.qr.as_deref().filter(|_| left > 0).and_then(picture::png)?;
    let pairing_code = shown.code.clone().filter(|_| with_code && shown.code_seconds.is_some_and(|left| left > 0.0));
    // The code comes a moment after the QR code.
    if with_code && shown.link_phone.is_some() && pairing_code.is_none() && shown.code_seconds.is_none() && left > 15 {
        return None;
    }
    let qr = Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png)));
    Some(Code { qr, expires_in: Some(left), pairing_code, ..empty })
}

/// What is left of a validity; less than a second is none.
fn whole_seconds(left: f64) -> i64 {
    let left = Duration::try_from_secs_f64(left).unwrap_or_default();
    i64::try_from(left.as_secs()).unwrap_or(i64::MAX)
}

/// A QR code for the company of a token in the path.
#[utoipa::path(
    get, path = "/marketplace/qr/{token}", tag = "front ends",
    params(("token" = String, Path, description = "A token of /marketplace/register")),
    responses(
        (status = 200, description = "A code, or that the phone is linked", body = Code),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 404, description = "The partner froze or uninstalled the company", body = Problem),
        (status = 410, description = "No code came in time", body = Problem),
        (status = 429, description = "Too many requests, or too many links within an hour", body = Problem),
        (status = 500, description = "WhatsApp does not let the phone be linked", body = Problem),
    )
)]
pub(super) async fn qr(State(web): State<Web>, Path(token): Path<String>) -> Result<Json<Code>, ApiError> {
    let company = of(&web)?.company_of(&token)?;
    code(&web, company).await
}

/// The same with the token in the header.
#[utoipa::path(
    post, path = "/api/qr", tag = "front ends", security(("token" = [])),
    responses(
        (status = 200, description = "A code, or that the phone is linked", body = Code),
        (status = 401, description = "The token is not valid", body = Problem),
    )
)]
pub(super) async fn api_qr(State(web): State<Web>, headers: HeaderMap) -> Result<Json<Code>, ApiError> {
    let token = bearer(&headers).ok_or(ApiError::InvalidToken)?;
    let company = of(&web)?.company_of(token)?;
    code(&web, company).await
}
