//! A transaction whose statements leave nothing behind on its connection, so that it may go through a pooler (Q9).

use super::pool::Unnamed;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Execute, Executor, SqlStr};

/// A transaction; rolled back unless it is committed. Statements run on `&mut` of it.
#[derive(Debug)]
pub struct UnnamedTransaction(sqlx::Transaction<'static, Postgres>);

impl UnnamedTransaction {
    /// Begins one with this statement, which may go on after `BEGIN;`.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(pool: &PgPool, statement: &'static str) -> sqlx::Result<Self> {
        Ok(Self(pool.begin_with(statement).await?))
    }

    /// Commits.
    ///
    /// # Errors
    /// The database's.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.0.commit().await
    }

    /// Rolls back, and returns when the database has done so.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.0.rollback().await
    }
}

impl<'c> Executor<'c> for &'c mut UnnamedTransaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        (*self.0).fetch_many(Unnamed(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        (*self.0).fetch_optional(Unnamed(query))
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        (*self.0).prepare_with(sql, types)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        (*self.0).describe(sql)
    }
}
