//! What programs are shown of companies.

use super::super::Web;
use super::super::identity::begin;
use super::caller::{Caller, Company};
use super::error::{ApiError, Problem};
use super::of;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPool;
use utoipa::ToSchema;

/// A company as the database shows it.
pub(super) struct Shown {
    pub(super) salon_id: i64,
    pub(super) session: String,
    name: Option<String>,
    business_type: Option<String>,
    pub(super) status: String,
    pub(super) session_status: String,
    pub(super) status_reason: Option<String>,
    phone: Option<String>,
    pub(super) qr: Option<String>,
    /// For how long it is valid, by the clock of the database.
    pub(super) qr_seconds: Option<f64>,
    pub(super) code: Option<String>,
    pub(super) code_seconds: Option<f64>,
    pub(super) link_phone: Option<String>,
    connected_at: Option<DateTime<Utc>>,
    activated_at: Option<DateTime<Utc>>,
    pub(super) job_error: Option<String>,
    pub(super) call_status: Option<String>,
    pub(super) call_error: Option<String>,
}

impl Shown {
    pub(super) fn is_connected(&self) -> bool {
        self.session_status == "connected"
    }

    /// The number of the linked phone, with a plus.
    pub(super) fn number(&self) -> Option<String> {
        self.phone.as_ref().map(|phone| format!("+{phone}"))
    }
}

/// Reads a company, which must have this number at the partner, if one is given: the token that names it may be of another
/// installation.
///
/// # Errors
/// [`ApiError::CompanyNotFound`].
pub(super) async fn state(pool: &PgPool, company_id: i64, salon_id: Option<i64>) -> Result<Shown, ApiError> {
    let mut tx = begin(pool).await?;
    let found =
        sqlx::query_file_as!(Shown, "sql/web/company_state.sql", company_id, salon_id).fetch_optional(&mut tx).await?;
    tx.commit().await?;
    found.ok_or(ApiError::CompanyNotFound)
}

/// The state of a company and of its connection.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the older systems gave them these names")]
pub(super) struct Status {
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
    /// Name, as the partner says.
    name: Option<String>,
    /// Kind of business, as the partner says.
    business_type: Option<String>,
    /// `connected`, `connecting` (also while it is being linked) or `disconnected`.
    #[schema(example = "connected")]
    status: &'static str,
    /// Whether the session is logged in.
    connected: bool,
    /// The same, under the name of the older systems.
    whatsapp_connected: bool,
    /// The number of the linked phone.
    #[schema(example = "+79001234567")]
    whatsapp_phone: Option<String>,
    /// `registered`, `activating`, `active`, `failed`, `frozen` or `uninstalled`.
    #[schema(example = "active")]
    integration_status: String,
    /// When the session last connected.
    connected_at: Option<DateTime<Utc>>,
    /// When the partner last accepted an activation.
    activated_at: Option<DateTime<Utc>>,
    /// Why the last callback to the partner failed.
    activation_error: Option<String>,
}

/// The three states that the older front ends know.
fn plain(status: &str) -> &'static str {
    match status {
        "connected" => "connected",
        "linking" | "connecting" => "connecting",
        _ => "disconnected",
    }
}

async fn shown(web: &Web, id: i64, salon_id: Option<i64>) -> Result<Json<Status>, ApiError> {
    let state = state(&web.pool, id, salon_id).await?;
    Ok(Json(Status {
        success: true,
        company_id: id,
        salon_id: state.salon_id,
        status: plain(&state.session_status),
        connected: state.is_connected(),
        whatsapp_connected: state.is_connected(),
        whatsapp_phone: state.number(),
        session_id: state.session,
        name: state.name,
        business_type: state.business_type,
        integration_status: state.status,
        connected_at: state.connected_at,
        activated_at: state.activated_at,
        activation_error: state.call_error,
    }))
}

/// The state of a company.
#[utoipa::path(
    get, path = "/marketplace/status/{company_id}", tag = "companies",
    params(("company_id" = i64, Path, description = "The company here")),
    security(("token" = []), ("api_key" = []), ("partner_token" = [])),
    responses(
        (status = 200, description = "Its state", body = Status),
        (status = 401, description = "No valid token or key", body = Problem),
        (status = 403, description = "A token or key of another company", body = Problem),
        (status = 404, description = "No such company", body = Problem),
    )
)]
pub(super) async fn status(
    State(web): State<Web>,
    Path(company_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Status>, ApiError> {
    let caller = Caller::of(&web, &headers).await?;
    let company_id = company_id.parse().ok().filter(|id| *id > 0);
    let company_id = company_id.ok_or_else(|| super::entry::invalid("companyId", "a positive integer"))?;
    let salon_id = caller.may_see(company_id)?;
    shown(&web, company_id, salon_id).await
}

/// The same by the name of the session.
#[utoipa::path(
    get, path = "/api/status/{session}", tag = "front ends",
    params(("session" = String, Path, description = "company_ and the company at the partner")),
    security(("token" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "Its state", body = Status),
        (status = 401, description = "No valid token or key", body = Problem),
        (status = 403, description = "A token or key of another company", body = Problem),
        (status = 404, description = "No such company", body = Problem),
    )
)]
pub(super) async fn session_status(
    State(web): State<Web>,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Status>, ApiError> {
    match Caller::of(&web, &headers).await? {
        Caller::Company(Company { id, salon_id }) if session == format!("company_{salon_id}") => {
            shown(&web, id, Some(salon_id)).await
        }
        _ => Err(ApiError::Forbidden),
    }
}

/// A company in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    /// The company here.
    company_id: i64,
    /// The company at the partner.
    salon_id: i64,
    /// Name, as the partner says.
    name: Option<String>,
    /// Kind of business, as the partner says.
    business_type: Option<String>,
    /// `registered`, `activating`, `active`, `failed`, `frozen` or `uninstalled`.
    status: String,
    /// The name of its session.
    session: String,
    /// The state of its session.
    session_status: String,
    /// The number of the linked phone, without a plus.
    phone: Option<String>,
    /// When the session last connected.
    connected_at: Option<DateTime<Utc>>,
    /// When the partner last accepted an activation.
    activated_at: Option<DateTime<Utc>>,
    /// How often the session connected, as far back as events are kept.
    connections: i64,
    /// How often a connection ended without being asked to; as far back.
    disconnections: i64,
}

/// Companies and their connections.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the older systems gave them these names")]
pub(super) struct Companies {
    /// Always true.
    success: bool,
    /// Counts over `companies`.
    stats: Stats,
    /// At most 500; `?after=` the last `company_id` gives the next ones.
    companies: Vec<Listed>,
}

/// Counts of companies.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// All.
    total: usize,
    /// Those whose session is logged in.
    connected: usize,
    /// Those that the partner has accepted.
    active: usize,
}

/// Where a list begins.
#[derive(Debug, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: i64,
}

/// Companies with their connection statistics: the key's own, or with the partner's token all.
#[utoipa::path(
    get, path = "/marketplace/companies", tag = "companies",
    params(("after" = Option<i64>, Query, description = "The last company_id of the list before")),
    security(("api_key" = []), ("partner_token" = [])),
    responses(
        (status = 200, description = "Companies", body = Companies),
        (status = 401, description = "No valid key", body = Problem),
    )
)]
pub(super) async fn companies(
    State(web): State<Web>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Json<Companies>, ApiError> {
    of(&web)?;
    // A browser has a token, and is shown no list.
    let only = match Caller::of(&web, &headers).await? {
        Caller::Partner => None,
        Caller::Company(company) if super::caller::bearer(&headers).is_none() => Some(company.id),
        Caller::Company(_) => return Err(ApiError::Forbidden),
    };
    let mut tx = begin(&web.pool).await?;
    let companies = sqlx::query_file_as!(Listed, "sql/web/list_companies.sql", only, after).fetch_all(&mut tx).await?;
    tx.commit().await?;
    let stats = Stats {
        total: companies.len(),
        connected: companies.iter().filter(|it| it.session_status == "connected").count(),
        active: companies.iter().filter(|it| it.status == "active").count(),
    };
    Ok(Json(Companies { success: true, stats, companies }))
}
