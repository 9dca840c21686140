//! What the partner tells of companies.

use super::super::Web;
use super::super::identity::begin;
use super::entry::positive;
use super::error::ApiError;
use super::{change, of};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An event of the partner.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as the protocol names them")]
pub(super) struct Event {
    /// The company at the partner.
    #[schema(value_type = i64, example = 962_302)]
    salon_id: Option<Value>,
    /// This application at the partner.
    #[schema(value_type = i64, example = 18_289)]
    application_id: Option<Value>,
    /// `uninstall` or `freeze`; others are ignored.
    #[schema(example = "uninstall")]
    event: Option<String>,
    /// The older name of it.
    event_type: Option<String>,
    /// The partner's token, which shows that the event is the partner's.
    partner_token: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Heard {
    /// Whether the event is the partner's and could be read.
    success: bool,
    /// `logged_out`, `closed`, `duplicate`, `ignored`, `unknown_company`, `limited`, `refused`, or `failed`.
    #[schema(example = "logged_out")]
    action: String,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Heard {
    fn done(action: &str) -> Json<Self> {
        Json(Self { success: true, action: action.to_owned(), error: None })
    }

    fn not(action: &str, error: &str) -> Json<Self> {
        Json(Self { success: false, action: action.to_owned(), error: Some(error.to_string()) })
    }
}

/// The partner tells what happened to a company: `uninstall` logs its session out and deletes its auth state, `freeze`
/// closes it. The answer is 200 whatever was done, and says what.
#[utoipa::path(
    post, path = "/webhook/yclients", tag = "partner", request_body = Event,
    responses((status = 200, description = "What was done", body = Heard))
)]
pub(super) async fn hear(State(web): State<Web>, body: Result<Bytes, BytesRejection>) -> Json<Heard> {
    heard(&web, body, None).await
}

/// The same for one company.
#[utoipa::path(
    post, path = "/marketplace/webhook/{company_id}", tag = "partner", request_body = Event,
    params(("company_id" = i64, Path, description = "The company here")),
    responses((status = 200, description = "What was done", body = Heard))
)]
pub(super) async fn hear_of(
    State(web): State<Web>,
    Path(company_id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Json<Heard> {
    match company_id.parse() {
        Ok(id) => heard(&web, body, Some(id)).await,
        Err(_) => Heard::not("refused", "companyId: accepted is a positive integer"),
    }
}

/// The answer when the partner tells too much.
pub(super) fn limited(error: &str) -> Json<Heard> {
    Heard::not("limited", error)
}

async fn heard(web: &Web, body: Result<Bytes, BytesRejection>, company_id: Option<i64>) -> Json<Heard> {
    let Ok(own) = of(web) else { return Heard::not("refused", &ApiError::NotFound.words()) };
    let Ok(body) = body else {
        return Heard::not("refused", "body: accepted are at most 64 KiB");
    };
    let Ok(event) = serde_json::from_slice::<Event>(&body) else {
        return Heard::not("refused", "body: accepted is a JSON object");
    };
    // Before anything that somebody else could make of it.
    if !event.partner_token.as_deref().is_some_and(|token| own.is_partner(token)) {
        return Heard::not("refused", "partner_token: not the partner's token");
    }
    let Some(salon_id) = event.salon_id.as_ref().and_then(positive) else {
        return Heard::not("refused", "salon_id: accepted is a positive integer");
    };
    let other = event.application_id.as_ref().and_then(positive).zip(own.application_id);
    if other.is_some_and(|(told, own)| u64::try_from(told) != Ok(own)) {
        return Heard::not("refused", "application_id: that of another application");
    }
    if !own.limits.hook(salon_id) {
        return limited("too many events of this company; try again in a minute");
    }
    let kind = event.event.or(event.event_type);
    let done = async {
        let _share = change(web, salon_id).await?;
        let mut tx = begin(&web.pool).await?;
        let query = sqlx::query_scalar!(
            r#"SELECT wa.hear_partner($1, $2, $3) AS "action!""#,
            salon_id,
            kind.as_deref(),
            company_id
        );
        let action = query.fetch_one(&mut tx).await?;
        tx.commit().await?;
        Ok::<_, ApiError>(action)
    };
    match done.await {
        Ok(action) => {
            tracing::info!(salon = salon_id, event = kind, action, "the partner told something of a company");
            Heard::done(&action)
        }
        Err(error) => Heard::not("failed", &error.words()),
    }
}
