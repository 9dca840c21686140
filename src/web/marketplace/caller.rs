//! Who calls: the partner, or whoever acts for a company.

use super::super::Web;
use super::super::identity::begin;
use super::error::ApiError;
use super::signature::same;
use super::{Marketplace, of};
use axum::http::{HeaderMap, header};

/// The header with a company's API key.
pub(super) const API_KEY: &str = "x-api-key";

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The partner, or an operator who has its token.
    Partner,
    /// A front end of a company, or the company's own program.
    Company(Company),
}

/// A company, by both of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::web) struct Company {
    pub(in crate::web) id: i64,
    pub(in crate::web) salon_id: i64,
}

impl Marketplace {
    /// Whether this is the partner's token.
    pub(super) fn is_partner(&self, token: &str) -> bool {
        same(token, self.partner_token.expose())
    }

    /// The company of a token of ours.
    ///
    /// # Errors
    /// [`ApiError::InvalidToken`].
    pub(super) fn company_of(&self, token: &str) -> Result<Company, ApiError> {
        let claims = self.tokens.verify(token).map_err(|_| ApiError::InvalidToken)?;
        Ok(Company { id: claims.company_id, salon_id: claims.salon_id })
    }
}

/// The token in `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (kind, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Caller {
    /// By `Authorization` (the partner's token, or one of ours) or `X-API-Key`.
    ///
    /// # Errors
    /// [`ApiError::InvalidToken`].
    pub(super) async fn of(web: &Web, headers: &HeaderMap) -> Result<Self, ApiError> {
        let own = of(web)?;
        if let Some(token) = bearer(headers) {
            return if own.is_partner(token) { Ok(Self::Partner) } else { own.company_of(token).map(Self::Company) };
        }
        let key = headers.get(API_KEY).and_then(|key| key.to_str().ok()).ok_or(ApiError::InvalidToken)?;
        let mut tx = begin(&web.pool).await?;
        let found =
            sqlx::query!(r#"SELECT company_id AS "id!", salon_id AS "salon_id!" FROM wa.company_of_key($1)"#, key)
                .fetch_optional(&mut tx)
                .await?;
        tx.commit().await?;
        own.limits.learn(key.as_bytes(), found.is_some());
        if let Some(found) = found {
            return Ok(Self::Company(Company { id: found.id, salon_id: found.salon_id }));
        }
        Err(ApiError::InvalidToken)
    }

    /// If the caller may see this company: the number that it must have at the partner, unless the partner asks.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`].
    pub(super) fn may_see(self, id: i64) -> Result<Option<i64>, ApiError> {
        match self {
            Self::Company(company) if company.id != id => Err(ApiError::Forbidden),
            Self::Company(company) => Ok(Some(company.salon_id)),
            Self::Partner => Ok(None),
        }
    }
}
