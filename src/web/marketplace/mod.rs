//! Onboarding of companies from the partner's marketplace (H6): the way of a user from the partner to a linked phone, the
//! calls of front ends of the older systems, and what the partner tells. `docs/marketplace.md` has the protocol.
//!
//! Whom a request is from is decided here: by the partner's token or signature, by a token of ours ([`token`]), or by a
//! company's API key. What it may do is in the functions of `sql/schema/57_companies.sql` and `58_onboarding.sql`.

mod activate;
mod caller;
mod codes;
mod companies;
mod entry;
mod error;
mod hooks;
mod limits;
mod openapi;
mod qr;
mod signature;
pub(super) mod token;

use super::identity::begin;
use super::{Web, guard, page};
use crate::config::{Config, OriginPattern, Secret};
use crate::telemetry;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{any, get, post};
use codes::Codes;
use error::ApiError;
use limits::Limits;
use std::sync::Arc;
use token::Tokens;

/// Most bytes of a request.
const BODY: usize = 64 << 10;

/// What the routes share.
pub(super) struct Marketplace {
    partner_token: Secret,
    tokens: Tokens,
    limits: Limits,
    /// QR codes that were shown.
    pub(super) codes: Codes,
    /// Sites whose pages may call.
    origins: Arc<[OriginPattern]>,
    /// URL of the routes, without a slash at the end.
    url: String,
    page_url: Option<String>,
    /// The number that gets a pairing code beside each QR code.
    pairing_phone: Option<String>,
    application_id: Option<u64>,
}

impl Marketplace {
    /// The marketplace, unless it is off. `shown` is the URL of the pages.
    pub(super) fn new(config: &Config, shown: &str) -> Option<Self> {
        let settings = &config.marketplace;
        let (partner_token, jwt_secret) = settings.secrets()?;
        Some(Self {
            partner_token: partner_token.clone(),
            tokens: Tokens::new(jwt_secret),
            limits: Limits::new(settings),
            codes: Codes::default(),
            origins: settings.origins.clone().into(),
            url: settings.own_url(config.web.url.as_deref()).unwrap_or_else(|| shown.to_owned()),
            page_url: settings.page_url.clone(),
            pairing_phone: settings.phone.clone().filter(|_| settings.pairing_code),
            application_id: settings.application_id,
        })
    }

    /// Forgets callers that have been quiet.
    pub(super) fn forget(&self) {
        self.limits.forget();
        self.codes.forget();
    }
}

/// The marketplace, in its own routes.
fn of(web: &Web) -> Result<&Marketplace, ApiError> {
    web.marketplace.as_ref().ok_or(ApiError::NotFound)
}

/// A change of a company, which may wait for a lock. Others of the company wait for it.
async fn change(web: &Web, salon_id: i64) -> Result<super::shares::Share<String>, ApiError> {
    web.linkings.wait(format!("company_{salon_id}")).await.ok_or(ApiError::Busy)
}

/// The routes; answering 404 while the marketplace is off.
pub(super) fn router(web: &Web) -> Router<Web> {
    let Some(own) = &web.marketplace else {
        let mut router = Router::new();
        for path in
            ["/auth/yclients/redirect", "/webhook/yclients", "/api/qr", "/api/status/{session}", "/marketplace/{*rest}"]
        {
            router = router.route(path, any(page::not_found));
        }
        return router;
    };
    // Pages of other sites call these.
    let front_ends = Router::new()
        .route("/api/qr", post(qr::api_qr))
        .route("/api/status/{session}", get(companies::session_status))
        .route("/marketplace/api/qr", post(qr::api_qr))
        .route("/marketplace/api/status/{session}", get(companies::session_status))
        .route("/marketplace/qr/{token}", get(qr::qr))
        .route("/marketplace/status/{company_id}", get(companies::status))
        .route("/marketplace/activate", post(activate::activate))
        .route("/marketplace/callback", post(activate::callback))
        .layer(DefaultBodyLimit::max(BODY))
        .route_layer(middleware::from_fn_with_state(web.clone(), limits::admit))
        // The outermost: a browser asks by OPTIONS first, which no route answers.
        .layer(middleware::from_fn_with_state((web.clone(), own.origins.clone()), guard::cross_origin));
    Router::new()
        .route("/auth/yclients/redirect", get(entry::redirect))
        .route("/webhook/yclients", post(hooks::hear))
        .route("/marketplace/register", post(entry::register))
        .route("/marketplace/companies", get(companies::companies))
        .route("/marketplace/webhook/{company_id}", post(hooks::hear_of))
        .route("/marketplace/openapi.json", get(openapi::openapi))
        .layer(DefaultBodyLimit::max(BODY))
        .route_layer(middleware::from_fn_with_state(web.clone(), limits::admit))
        .merge(front_ends)
}

/// Counts companies for the metrics, if the marketplace is on.
pub(super) async fn count(web: &Web) {
    if web.marketplace.is_none() {
        return;
    }
    let counted = async {
        let mut tx = begin(&web.pool).await?;
        let rows =
            sqlx::query!(r#"SELECT session_status AS "status!", companies AS "companies!" FROM wa.company_counts()"#)
                .fetch_all(&mut tx)
                .await?;
        tx.commit().await?;
        for row in rows {
            telemetry::marketplace_connections(&row.status, row.companies);
        }
        Ok::<_, sqlx::Error>(())
    };
    if let Err(error) = counted.await {
        tracing::debug!(%error, "companies not counted");
    }
}

pub(super) use activate::by_link;
pub(super) use caller::Company;
