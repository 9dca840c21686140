//! What is read of a request: the claim to be somebody, the language, and the place asked for.

use super::Web;
use super::client::{Client, user_of};
use super::error::WebError;
use super::identity::{self, Claim, Identity};
use super::shares::{Share, Shares};
use super::words::Words;
use crate::db::transaction::UnnamedTransaction;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar};
use chrono_tz::Tz;
use sqlx::postgres::PgPool;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::net::SocketAddr;

/// The cookie with the secret of a login.
pub(super) const COOKIE: &str = "wagres";

/// The cookie with the reader's time zone.
const ZONE: &str = "wagres_zone";

/// Who asks, in which language, for what.
pub(super) struct Asked {
    /// What the request says about who it is; `None` says nothing.
    pub(super) claim: Option<Claim>,
    /// The user whom a trusted proxy names beside a cookie.
    user: Option<Claim>,
    pub(super) words: &'static Words,
    /// The reader's time zone, which a script finds out; UTC until then.
    pub(super) zone: Tz,
    pub(super) client: Client,
    pub(super) headers: HeaderMap,
    /// Path and query.
    pub(super) wanted: String,
}

impl Asked {
    /// The claim.
    ///
    /// # Errors
    /// [`WebError::SignedOut`] without one.
    pub(super) fn claim(&self) -> Result<Claim, WebError> {
        self.claim.clone().ok_or(WebError::SignedOut)
    }

    /// Begins a transaction with the rights of whoever asks. A cookie that is no longer valid does not stand in the way of the
    /// user whom a proxy has signed in.
    ///
    /// # Errors
    /// [`WebError::is_signed_out`] when no claim is valid.
    pub(super) async fn enter(&self, pool: &PgPool) -> Result<(UnnamedTransaction, Identity), WebError> {
        match (identity::enter(pool, self.claim()?).await, &self.user) {
            (Err(error), Some(user)) if error.is_signed_out() => identity::enter(pool, user.clone()).await,
            (entered, _) => entered,
        }
    }

    /// The same as soon as whoever asks has a share left. Whoever waits for it has no connection to the database.
    ///
    /// # Errors
    /// [`WebError::Crowded`] after a while, and those of [`Asked::enter`].
    pub(super) async fn enter_in_turn<K: Eq + Hash + Clone>(
        &self,
        pool: &PgPool,
        shares: &Shares<K>,
        key: impl Fn(&Identity) -> K,
    ) -> Result<(Share<K>, UnnamedTransaction, Identity), WebError> {
        let (tx, who) = self.enter(pool).await?;
        if let Some(share) = shares.take(key(&who)) {
            return Ok((share, tx, who));
        }
        tx.rollback().await?;
        let share = shares.wait(key(&who)).await.ok_or(WebError::Crowded)?;
        let (tx, who) = self.enter(pool).await?;
        Ok((share, tx, who))
    }

    /// The answer, which ends the cookie if `who` has not come by it.
    pub(super) fn without_stale_cookie(&self, who: &Claim, answer: Response) -> Response {
        if self.user.is_none() || self.claim.as_ref() == Some(who) {
            return answer;
        }
        (CookieJar::from_headers(&self.headers).remove(Cookie::build(COOKIE).path("/")), answer).into_response()
    }
}

impl FromRequestParts<Web> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Infallible> {
        let headers = &parts.headers;
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(unspecified, |info| info.0);
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(|it| Claim::Secret(it.to_owned()));
        let cookie = || Some(Claim::Secret(CookieJar::from_headers(headers).get(COOKIE)?.value().to_owned()));
        let user = || user_of(web, peer.ip(), headers).map(Claim::User);
        Ok(Self {
            user: user().filter(|_| bearer.is_none() && cookie().is_some()),
            claim: bearer.or_else(cookie).or_else(user),
            words: Words::of_request(headers),
            zone: CookieJar::from_headers(headers).get(ZONE).and_then(|it| it.value().parse().ok()).unwrap_or(Tz::UTC),
            client: parts.extensions.get().copied().unwrap_or_else(Client::unknown),
            headers: headers.clone(),
            wanted: parts.uri.path_and_query().map_or_else(|| "/".into(), ToString::to_string),
        })
    }
}

/// Which screen is asked for, and with which choices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// First part of the path: `session`.
    pub(super) screen: String,
    /// Second part: `shop`.
    pub(super) item: Option<String>,
    /// The query; empty values are left out.
    pub(super) query: BTreeMap<String, String>,
}

impl Place {
    /// Reads a path with its query: `/session/shop?days=7`.
    pub(super) fn read(path: &str) -> Option<Self> {
        let url = url::Url::parse("http://page").ok()?.join(path).ok()?;
        // A browser takes what follows two slashes for a host.
        if url.host_str() != Some("page") || url.path().starts_with("//") {
            return None;
        }
        let mut parts = url.path_segments()?.map(|part| {
            percent_encoding::percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned).ok()
        });
        let screen = parts.next().flatten()?;
        let item = parts.next().flatten().filter(|item| !item.is_empty());
        let query = url.query_pairs().filter(|(_, value)| !value.is_empty());
        let query = query.map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        Some(Self { screen, item, query })
    }

    /// A screen without choices.
    pub(super) fn screen(screen: &str) -> Self {
        Self { screen: screen.to_owned(), ..Self::default() }
    }

    /// A screen about one thing.
    pub(super) fn of(screen: &str, item: &str) -> Self {
        Self { screen: screen.to_owned(), item: Some(item.to_owned()), query: BTreeMap::new() }
    }

    /// The value of a choice.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }

    /// A choice that is a number.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.parse().ok()
    }

    /// Path and query.
    pub(super) fn href(&self) -> String {
        let mut href = format!("/{}", self.screen);
        if let Some(item) = &self.item {
            href.push('/');
            href.extend(percent_encoding::utf8_percent_encode(item, percent_encoding::NON_ALPHANUMERIC));
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        if query.is_empty() { href } else { format!("{href}?{query}") }
    }

    /// The same with one choice changed, or dropped.
    pub(super) fn with(&self, key: &str, value: Option<&str>) -> String {
        let mut changed = self.clone();
        match value {
            Some(value) => changed.query.insert(key.to_owned(), value.to_owned()),
            None => changed.query.remove(key),
        };
        changed.href()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_a_place_is_read_and_written_alike() {
        for path in ["/fleet", "/session/a%2Eb", "/queue/shop?after=5&status=a+b"] {
            assert_eq!(Place::read(path).map(|place| place.href()).as_deref(), Some(path));
        }
        assert_eq!(Place::read("/fleet?x=").map(|place| place.href()).as_deref(), Some("/fleet"));
        assert_eq!(Place::read("//elsewhere/fleet"), None);
        assert_eq!(Place::read("http://elsewhere/fleet"), None);
        assert_eq!(Place::read("/.//elsewhere/fleet"), None);
    }
}
