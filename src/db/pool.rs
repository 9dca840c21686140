//! Where statements go: the server itself, or a pooler that has many clients share its connections (Q9).
//!
//! Such a pooler (`PgBouncer`'s `pool_mode = transaction`) gives each transaction whichever connection of the server is
//! free. What belongs to a connection is then somebody else's: LISTEN, locks of the session, and prepared statements,
//! also unnamed ones, for the driver prepares a statement and runs it in two exchanges. A statement could so be run with
//! the parameters of another. So through a pooler each statement is a transaction of its own, which keeps both exchanges
//! on one connection, and leaves no name behind.

use super::{DbError, options};
use crate::config::Secret;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{ConnectOptions, Connection, Describe, Either, Execute, Executor, Row, SqlStr};

/// A pool of connections. Statements run on it as on sqlx's own, one by one.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    pooler: bool,
}

/// For who is on the server itself.
impl From<PgPool> for Db {
    fn from(pool: PgPool) -> Self {
        Self { pool, pooler: false }
    }
}

impl Db {
    /// Connects a pool of at most `connections` to the server, or to a `pooler` before it.
    ///
    /// # Errors
    /// No connection; or a pooler that was not said to be one, because most would seem to work over it.
    pub async fn connect(url: &Secret, pooler: bool, connections: u32, name: &str) -> Result<Self, DbError> {
        let pool = super::connect(url, connections, name).await?;
        if !pooler && shares_connections(&pool, url).await? {
            return Err(DbError::Pooler);
        }
        Ok(Self { pool, pooler })
    }

    /// The pool, for what takes several statements on one connection; through a pooler these must be in a transaction.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes all connections when they have done what they are at.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether transactions of one connection run on connections of others: two of ours ask for their backend, one after
/// the other and one within the transaction of the other, and each must have one of its own that stays.
async fn shares_connections(pool: &PgPool, url: &Secret) -> Result<bool, DbError> {
    let mut one = pool.acquire().await?;
    let mut other = options(url, "wagres looks for a pooler")?.connect().await.map_err(DbError::Connect)?;
    let mut ones = vec![backend(&mut one).await?];
    let mut others = vec![backend(&mut other).await?];
    let mut transaction = other.begin().await?;
    others.push(backend(&mut transaction).await?);
    // With one connection for all, ours would wait for ever.
    if ones != [others[1]] {
        ones.push(backend(&mut one).await?);
    }
    transaction.rollback().await?;
    other.close().await?;
    let moved = |backends: &[i32]| backends.windows(2).any(|two| two[0] != two[1]);
    Ok(moved(&ones) || moved(&others) || ones.iter().any(|backend| others.contains(backend)))
}

/// Asked without preparing anything.
async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?.try_get(0)
}

type Step = Either<PgQueryResult, PgRow>;

/// Runs a statement as a transaction. What it gives is told when it is committed.
async fn run<'q>(pool: PgPool, query: impl Execute<'q, Postgres> + 'q) -> sqlx::Result<Vec<Step>> {
    let mut transaction = pool.begin().await?;
    let steps = transaction.fetch_many(Unnamed(query)).try_collect().await?;
    transaction.commit().await?;
    Ok(steps)
}

impl<'p> Executor<'p> for &Db {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'p: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        if !self.pooler {
            return self.pool.fetch_many(query);
        }
        let steps = run(self.pool.clone(), query).map_ok(|steps| stream::iter(steps.into_iter().map(Ok)));
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        if !self.pooler {
            return self.pool.fetch_optional(query);
        }
        let steps = run(self.pool.clone(), query);
        steps.map_ok(|steps| steps.into_iter().find_map(Either::right)).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, types)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}

/// A statement that is prepared without a name.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
