//! Activation: the partner is told that a company's phone is linked.

use super::super::Web;
use super::super::identity::begin;
use super::caller::{API_KEY, Caller, Company, bearer};
use super::companies::state;
use super::entry::read;
use super::error::{ApiError, Problem};
use super::{change, of};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;

/// How long a request waits for the partner.
const WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// Which company to activate.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct Activation {
    /// A token of ours, or the secret of a link page.
    token: Option<String>,
}

/// An activation that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Activated {
    /// Always true.
    success: bool,
    /// `active`, or `activating` while the partner has not answered yet.
    #[schema(example = "active")]
    status: &'static str,
    /// In words.
    #[schema(example = "the partner has accepted the activation")]
    message: &'static str,
    /// The company here.
    #[schema(example = 1)]
    company_id: i64,
    /// The company at the partner.
    #[schema(example = 962_302)]
    salon_id: i64,
}

/// Tells the partner that the company's phone is linked, with a new API key, and waits a moment for its answer.
#[utoipa::path(
    post, path = "/marketplace/activate", tag = "front ends", request_body = Activation,
    responses(
        (status = 200, description = "The partner has accepted", body = Activated),
        (status = 202, description = "The partner has not answered yet; the status says when it has", body = Activated),
        (status = 400, description = "No phone is linked yet", body = Problem),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 409, description = "An activation is under way", body = Problem),
        (status = 410, description = "Nobody has come from the partner within 60 minutes", body = Problem),
        (status = 502, description = "The partner did not accept", body = Problem),
    )
)]
pub(super) async fn activate(State(web): State<Web>, body: Bytes) -> Result<(StatusCode, Json<Activated>), ApiError> {
    let token = read::<Activation>(&body)?.token.ok_or(ApiError::InvalidToken)?;
    let company = of_token(&web, &token).await?;
    activated(&web, company).await
}

/// The older name of the same, for a front end that saw its phone connect.
#[utoipa::path(
    post, path = "/marketplace/callback", tag = "companies", request_body = Activation,
    security(("token" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The partner has accepted", body = Activated),
        (status = 202, description = "The partner has not answered yet", body = Activated),
        (status = 401, description = "No valid token or key", body = Problem),
        (status = 409, description = "An activation is under way", body = Problem),
    )
)]
pub(super) async fn callback(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Activated>), ApiError> {
    let company = if bearer(&headers).is_some() || headers.contains_key(API_KEY) {
        match Caller::of(&web, &headers).await? {
            Caller::Company(company) => company,
            Caller::Partner => return Err(ApiError::Forbidden),
        }
    } else {
        let token = read::<Activation>(&body)?.token.ok_or(ApiError::InvalidToken)?;
        of_token(&web, &token).await?
    };
    activated(&web, company).await
}

/// The company of a token, or of the link page with this secret.
async fn of_token(web: &Web, token: &str) -> Result<Company, ApiError> {
    let own = of(web)?;
    if !token.starts_with("wak_") {
        return own.company_of(token);
    }
    let mut tx = begin(&web.pool).await?;
    let found =
        sqlx::query!(r#"SELECT company_id AS "id!", salon_id AS "salon_id!" FROM wa.company_of_link($1)"#, token)
            .fetch_optional(&mut tx)
            .await?;
    tx.commit().await?;
    found.map(|found| Company { id: found.id, salon_id: found.salon_id }).ok_or(ApiError::InvalidToken)
}

/// Queues the callback.
async fn ask(web: &Web, company: Company) -> Result<(), ApiError> {
    of(web)?;
    let _share = change(web, company.salon_id).await?;
    let mut tx = begin(&web.pool).await?;
    let answer =
        sqlx::query_scalar!(r#"SELECT wa.activate_company($1, $2) AS "answer!""#, company.id, company.salon_id);
    let answer = answer.fetch_one(&mut tx).await?;
    tx.commit().await?;
    match answer.as_str() {
        "busy" => Err(ApiError::ActivationInProgress),
        "expired" => Err(ApiError::ActivationExpired),
        "not_linked" => Err(ApiError::NotLinked),
        _ => Ok(()),
    }
}

async fn activated(web: &Web, company: Company) -> Result<(StatusCode, Json<Activated>), ApiError> {
    ask(web, company).await?;
    let until = Instant::now() + WAIT;
    let answer = |code, status, message| {
        let Company { id, salon_id } = company;
        Ok((code, Json(Activated { success: true, status, message, company_id: id, salon_id })))
    };
    loop {
        // An outage is no end: the callback is queued.
        match state(&web.pool, company.id, Some(company.salon_id)).await {
            Ok(shown) if shown.status == "active" => {
                return answer(StatusCode::OK, "active", "the partner has accepted the activation");
            }
            Ok(shown) if shown.status == "failed" => {
                return Err(ApiError::PartnerFailed(shown.call_error.unwrap_or_default()));
            }
            Ok(shown) if shown.status != "activating" || shown.call_status.as_deref() == Some("cancelled") => {
                return Err(ApiError::CompanyNotFound);
            }
            Err(error) if !error.is_outage() => return Err(error),
            _ => {}
        }
        if Instant::now() + LOOK > until {
            return answer(StatusCode::ACCEPTED, "activating", "the partner is being told");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The same from the link page, which shows what follows. One that is under way serves as well.
///
/// # Errors
/// [`ApiError`]: the page shows its words.
pub(in crate::web) async fn by_link(web: &Web, secret: &str) -> Result<(), String> {
    let asked = async { ask(web, of_token(web, secret).await?).await };
    match asked.await {
        Ok(()) | Err(ApiError::ActivationInProgress) => Ok(()),
        Err(error) => Err(error.words()),
    }
}
