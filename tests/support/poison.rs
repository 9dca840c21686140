//! A database that refuses rows.

use anyhow::Result;
use sqlx::{AssertSqlSafe, PgPool};

/// Makes every write of a row that the condition selects (of NEW) fail with this SQLSTATE, until [`accept`].
pub(crate) async fn refuse(pool: &PgPool, table: &str, condition: &str, code: &str) -> Result<()> {
    let sql = format!(
        "CREATE TABLE public.wa_poison (active boolean);
         INSERT INTO public.wa_poison VALUES (true);
         GRANT SELECT ON public.wa_poison TO PUBLIC;
         CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF {condition} AND EXISTS (SELECT FROM public.wa_poison) THEN
                 RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{code}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON wa.{table} FOR EACH ROW EXECUTE FUNCTION public.refuse();"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

/// Ends [`refuse`].
pub(crate) async fn accept(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql("DELETE FROM public.wa_poison").execute(pool).await?;
    Ok(())
}

/// The same for the first `times` writes. The sequence `public.attempts` counts all of them, because it keeps its value
/// when the statement fails.
#[cfg(feature = "sandbox")]
pub(crate) async fn refuse_first(pool: &PgPool, times: i64, table: &str, condition: &str, code: &str) -> Result<()> {
    sqlx::raw_sql("CREATE SEQUENCE public.attempts; GRANT ALL ON SEQUENCE public.attempts TO PUBLIC")
        .execute(pool)
        .await?;
    refuse(pool, table, &format!("{condition} AND nextval('public.attempts') <= {times}"), code).await
}
