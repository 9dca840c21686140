//! The destination of statements: the server itself, or a pooler whose clients share its connections (Q9).
//!
//! Such a pooler (`PgBouncer`'s `pool_mode = transaction`) gives each transaction any free connection of the server.
//! State of a connection then reaches other clients: LISTEN, session-level locks, and prepared statements. That
//! includes unnamed ones, because the driver prepares a statement and runs it in two exchanges, so one statement could
//! run with the parameters of another. Therefore each statement through a pooler is a transaction of its own, which
//! keeps both exchanges on one connection, and leaves no named statement behind.

use super::{DbError, options, pool_options};
use crate::config::Secret;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::postgres::{
    PgArguments, PgConnection, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{ConnectOptions, Connection, Describe, Either, Execute, Executor, Row, SqlStr};
use std::sync::{Arc, Mutex, PoisonError};

/// The settings of each connection of a worker. No statement waits longer for a lock: the last net under statements that
/// skip what an application has locked (R8). A plan reads no whole table if an index serves: the server keeps plans, and one
/// that it made while a table was empty would read everything that has come since. Where only the whole table will do, the
/// estimate is so high that the server would compile the plan, which takes longer than any statement of a worker.
const SETTINGS: &str = "SET lock_timeout = '1s'; SET enable_seqscan = off; SET jit = off";
/// The same through a pooler, where a connection is not the worker's own. There no plan is kept.
const BEGIN_WITH_SETTINGS: &str = "BEGIN; SET LOCAL lock_timeout = '1s'; SET LOCAL jit = off";
/// Plans each statement once, for any values of its parameters.
const GENERIC_PLANS: &str = "SET plan_cache_mode = force_generic_plan";

/// A pool of connections. Statements run on it as on sqlx's own pool, one by one.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    pooler: bool,
    /// The statement that begins a transaction through a pooler.
    begin: &'static str,
    /// The pools of [`Db::own_connection`], of one connection each.
    own: Arc<Mutex<Vec<PgPool>>>,
}

/// A pool on the server itself.
impl From<PgPool> for Db {
    fn from(pool: PgPool) -> Self {
        Self { pool, pooler: false, begin: "BEGIN", own: Arc::default() }
    }
}

impl Db {
    /// Connects a pool of at most `connections` to the server, or to a `pooler` in front of it.
    ///
    /// # Errors
    /// No connection; or a pooler although `pooler` is false. That is refused because most statements would seem to
    /// work.
    pub async fn connect(url: &Secret, pooler: bool, connections: u32, name: &str) -> Result<Self, DbError> {
        let pool = super::connect(url, connections, name).await?;
        if !pooler && shares_connections(&pool, url).await? {
            return Err(DbError::Pooler);
        }
        Ok(Self { pooler, ..Self::from(pool) })
    }

    /// The same for a worker: no statement waits longer than a second for a lock.
    ///
    /// # Errors
    /// As [`Db::connect`].
    pub async fn connect_worker(url: &Secret, pooler: bool, connections: u32, name: &str) -> Result<Self, DbError> {
        let plain = Self::connect(url, pooler, connections, name).await?;
        if pooler {
            return Ok(Self { begin: BEGIN_WITH_SETTINGS, ..plain });
        }
        // Only now, because a setting would stay on the connections of a pooler that nobody has declared.
        plain.close().await;
        Ok(set_up(connections, &[SETTINGS]).connect_with(options(url, name)?).await.map_err(DbError::Connect)?.into())
    }

    /// A connection of its own for statements that run often and one after the other, under this name in
    /// `pg_stat_activity`. The pool gives each statement the connection that has rested longest, so each of them has to
    /// read the catalog and plan the statement, several times with the values of the parameters. Here a statement is
    /// planned once, for any values. It connects when it is first used, and closes with this pool.
    #[must_use]
    pub fn own_connection(&self, name: &str) -> Self {
        let options = self.pool.connect_options().as_ref().clone().application_name(name);
        let pool = if self.pooler { pool_options(1) } else { set_up(1, &[SETTINGS, GENERIC_PLANS]) };
        let pool = pool.connect_lazy_with(options);
        self.own.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        Self { pool, ..self.clone() }
    }

    /// The pool, for several statements on one connection; through a pooler these must be in a transaction.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes all connections after their current statements.
    pub async fn close(&self) {
        let own = std::mem::take(&mut *self.own.lock().unwrap_or_else(PoisonError::into_inner));
        let own = own.iter().map(PgPool::close);
        tokio::join!(self.pool.close(), futures::future::join_all(own));
    }
}

/// Options of a pool on the server itself, each of whose connections begins with these statements.
fn set_up(connections: u32, statements: &'static [&'static str]) -> PgPoolOptions {
    pool_options(connections).after_connect(move |connection, _| {
        Box::pin(async move {
            for statement in statements {
                connection.execute(*statement).await?;
            }
            Ok(())
        })
    })
}

/// Whether clients share connections of the server. Two connections ask for their backend several times, once while the
/// other has an open transaction; without sharing each always gets the same backend of its own.
async fn shares_connections(pool: &PgPool, url: &Secret) -> Result<bool, DbError> {
    let mut one = pool.acquire().await?;
    let mut other = options(url, "wagres pooler check")?.connect().await.map_err(DbError::Connect)?;
    let mut ones = vec![backend(&mut one).await?];
    let mut others = vec![backend(&mut other).await?];
    let mut transaction = other.begin().await?;
    others.push(backend(&mut transaction).await?);
    // If both share a single connection, a query on the other would wait for ever.
    if ones != [others[1]] {
        ones.push(backend(&mut one).await?);
    }
    transaction.rollback().await?;
    other.close().await?;
    let moved = |backends: &[i32]| backends.windows(2).any(|two| two[0] != two[1]);
    Ok(moved(&ones) || moved(&others) || ones.iter().any(|backend| others.contains(backend)))
}

/// The process id of the connection's backend, asked without preparing a statement.
async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?.try_get(0)
}

type Step = Either<PgQueryResult, PgRow>;

/// Runs a statement as a transaction and returns its rows after the commit.
async fn run<'q>(db: Db, query: impl Execute<'q, Postgres> + 'q) -> sqlx::Result<Vec<Step>> {
    let mut transaction = db.pool.begin_with(db.begin).await?;
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
        let steps = run(self.clone(), query).map_ok(|steps| stream::iter(steps.into_iter().map(Ok)));
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
        let steps = run(self.clone(), query);
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

/// A statement that the driver prepares without a name.
pub(super) struct Unnamed<E>(pub(super) E);

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
