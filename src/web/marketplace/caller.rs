//! Who calls: the partner, or whoever acts for a company.

use super::super::Web;
use super::super::client::Client;
use super::super::identity::begin;
use super::error::ApiError;
use super::limits::API_KEY;
use super::signature::same;
use super::{Marketplace, of};
use axum::http::{HeaderMap, header};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The partner, or an operator who has its token.
    Partner,
    /// A front end of a company, or the company's own program.
    Company(Company),
}

/// A company, by both of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Company {
    pub(super) id: i64,
    pub(super) salon_id: i64,
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
    /// [`ApiError::InvalidToken`]; [`ApiError::RateLimit`] for an address that tries many keys.
    pub(super) async fn of(web: &Web, client: Client, headers: &HeaderMap) -> Result<Self, ApiError> {
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
        if let Some(found) = found {
            return Ok(Self::Company(Company { id: found.id, salon_id: found.salon_id }));
        }
        own.limits.address(client).check()?;
        Err(ApiError::InvalidToken)
    }

    /// The company that is asked for, if the caller may see it; the caller's own without a number.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`].
    pub(super) fn may_see(self, id: i64) -> Result<(), ApiError> {
        match self {
            Self::Company(company) if company.id != id => Err(ApiError::Forbidden),
            _ => Ok(()),
        }
    }
}
