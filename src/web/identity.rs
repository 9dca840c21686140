//! Who asks, and with which rights. The rights are the database's: each request is one transaction under the role of its
//! token's scope, and row-level security looks the token up again (`sql/schema/70_web.sql`).

use super::error::WebError;
use crate::config::Secret;
use crate::db::transaction::UnnamedTransaction;
use crate::db::{Db, DbError, outage};
use sqlx::Executor as _;
use sqlx::postgres::PgPool;

/// A page never waits longer than this for a row or a result. To compile a statement takes longer than to run it.
const BEGIN: &str = "BEGIN; SET LOCAL ROLE wa_web; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; SET LOCAL jit = off";

/// What a token may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scope {
    /// Reads.
    Viewer,
    /// Sends, links, pauses: what `wa_app` may.
    Operator,
    /// Everything of all tenants: what `wa_admin` may.
    Admin,
}

impl Scope {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "viewer" => Self::Viewer,
            "operator" => Self::Operator,
            "admin" => Self::Admin,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    const fn role(self) -> &'static str {
        match self {
            Self::Viewer => "SET LOCAL ROLE wa_web_viewer",
            Self::Operator => "SET LOCAL ROLE wa_web_operator",
            Self::Admin => "SET LOCAL ROLE wa_web_admin",
        }
    }
}

/// How a request says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// The secret of a token or a cookie.
    Secret(String),
    /// The name of the user whom a trusted proxy has signed in.
    User(String),
}

/// Whom the database takes the request for.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Name of the token.
    pub(super) name: String,
    pub(super) scope: Scope,
    /// The one tenant that it sees; `None` is all.
    pub(super) tenant: Option<String>,
    /// What it was taken from, for later transactions of the same page.
    pub(super) claim: Claim,
}

/// Begins a transaction as `wa_web` itself, which may call what needs no token of an operator: logins and link pages.
///
/// A restart of the server leaves the pool full of dead connections, which are found by the first statement. `BEGIN` may
/// be repeated, so each of them is tried once, and then a new one.
pub(super) async fn begin(pool: &PgPool) -> sqlx::Result<UnnamedTransaction> {
    for _ in 0..pool.size() {
        match UnnamedTransaction::begin(pool, BEGIN).await {
            Err(error) if outage::is_outage(&error) && !matches!(error, sqlx::Error::PoolTimedOut) => {}
            begun => return begun,
        }
    }
    UnnamedTransaction::begin(pool, BEGIN).await
}

/// Begins a transaction with the rights of `claim`.
///
/// # Errors
/// [`WebError::is_signed_out`] when the claim is not valid, or no longer.
pub(super) async fn enter(pool: &PgPool, claim: Claim) -> Result<(UnnamedTransaction, Identity), WebError> {
    let mut transaction = begin(pool).await?;
    let (name, scope, tenant) = match &claim {
        Claim::Secret(secret) => {
            let found =
                sqlx::query!(r#"SELECT name AS "name!", scope AS "scope!", tenant FROM wa.web_enter($1)"#, secret);
            let found = found.fetch_one(&mut transaction).await?;
            (found.name, found.scope, found.tenant)
        }
        Claim::User(user) => {
            let found = sqlx::query!(r#"SELECT name AS "name!", scope AS "scope!", tenant FROM wa.web_user($1)"#, user);
            let found = found.fetch_one(&mut transaction).await?;
            (found.name, found.scope, found.tenant)
        }
    };
    let scope = Scope::of(&scope).ok_or(WebError::SignedOut)?;
    transaction.execute(scope.role()).await?;
    Ok((transaction, Identity { name, scope, tenant, claim }))
}

/// The pool of the pages.
pub(super) async fn connect(url: &Secret, pooler: bool, connections: u32) -> Result<PgPool, DbError> {
    let pool = Db::connect(url, pooler, connections, "wagres web").await?;
    Ok(pool.pool().clone())
}

/// Says where browsers reach the pages, for the links that SQL functions make. A guess replaces only a guess.
pub(super) async fn register(pool: &PgPool, url: &str, guessed: bool) -> sqlx::Result<()> {
    let mut tx = begin(pool).await?;
    sqlx::query!("SELECT wa.register_web($1, $2)", url, guessed).execute(&mut tx).await?;
    tx.commit().await
}
