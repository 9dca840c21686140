//! The description of the routes, made from their handlers.

use super::{activate, companies, entry, hooks, qr};
use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wagres: marketplace",
        description = "Onboarding of companies from the partner's marketplace. Requests are limited to 60 a minute for an \
                       address and 120 for an API key; X-RateLimit-* say what is left.",
        license(name = "MIT")
    ),
    paths(
        entry::redirect,
        entry::register,
        qr::qr,
        qr::api_qr,
        companies::status,
        companies::session_status,
        companies::companies,
        activate::activate,
        activate::callback,
        hooks::hear,
        hooks::hear_of,
    ),
    modifiers(&Secured),
    tags(
        (name = "partner", description = "Called by the partner"),
        (name = "front ends", description = "Called by pages in a browser"),
        (name = "companies", description = "Called by programs"),
    )
)]
struct Description;

struct Secured;

impl Modify for Secured {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let Some(components) = &mut openapi.components else { return };
        let bearer = || SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", bearer());
        components.add_security_scheme("partner_token", bearer());
        components
            .add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    }
}

/// The description.
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
