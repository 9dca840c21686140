//! Q14: where Postgres runs somebody's function with less than the rights of the session, nobody gains by it.

use crate::support::logins::{expect, login, run, two_tenants};
use anyhow::{Result, ensure};

/// Tells what it may see and do, when it runs in somebody else's session.
const SPY: &str = r"
    CREATE TABLE own.seen (what text, found text);
    CREATE TABLE own.bait (x integer);
    CREATE FUNCTION own.spy() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE attempt text;
    BEGIN
        INSERT INTO own.seen VALUES ('ran', current_user);
        INSERT INTO own.seen SELECT 'session', s.name FROM wa.session s;
        INSERT INTO own.seen SELECT 'message', o.session FROM wa.outbound o;
        INSERT INTO own.seen SELECT 'queue', q.session FROM wa.queue q;
        INSERT INTO own.seen SELECT 'size', z.session FROM wa.auth_size z;
        FOREACH attempt IN ARRAY ARRAY['wa.sees_all()::text', 'wa.my_tenants()::text', 'wa.pause(''b'')::text', 'wa.send_text(''b'', ''15550001'', ''x'')::text',
                                       'wa.add_consumer(''spy'')::text', 'wa.why(''b'')::text', 'wa.close(''b'')::text'] LOOP
            BEGIN
                EXECUTE 'INSERT INTO own.seen SELECT ''done'', ' || quote_literal(attempt) || ' || '' '' || ' || attempt;
            EXCEPTION WHEN OTHERS THEN
                INSERT INTO own.seen VALUES ('refused', attempt || ': ' || SQLERRM);
            END;
        END LOOP;
    END $$;
    CREATE FUNCTION own.peep(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF session_user <> current_user THEN
            PERFORM own.spy();
        END IF;
        RETURN $1;
    END $$;
    CREATE INDEX bait_peeped ON own.bait (own.peep(x));
    INSERT INTO own.bait VALUES (1);
    CREATE MATERIALIZED VIEW own.stored AS SELECT own.peep(x) FROM own.bait";

#[tokio::test]
async fn q14_a_function_in_an_index_gains_nothing_from_the_session_that_maintains_it() -> Result<()> {
    let db = two_tenants().await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    run(&db.pool, &format!(r#"CREATE SCHEMA own AUTHORIZATION "{role}""#)).await?;
    run(&app, SPY).await?;
    for maintain in [
        "ANALYZE own.bait",
        "REINDEX INDEX own.bait_peeped",
        "VACUUM FULL own.bait",
        "REFRESH MATERIALIZED VIEW own.stored",
    ] {
        run(&app, "TRUNCATE own.seen").await?;
        run(&db.pool, maintain).await?;
        let seen: Vec<(String, String)> = sqlx::query_as("SELECT what, found FROM own.seen").fetch_all(&app).await?;
        ensure!(
            seen.contains(&("ran".into(), role.clone())),
            "{maintain}: the function did not run as its owner: {seen:?}"
        );
        ensure!(seen.contains(&("session".into(), "a".into())), "{maintain}: its owner's rows are missing: {seen:?}");
        let gained: Vec<_> = seen.iter().filter(|(what, found)| what == "done" || found == "b").collect();
        ensure!(gained.is_empty(), "{maintain}: {gained:?}");
    }
    expect(
        &db.pool,
        &[("SELECT FROM wa.session WHERE paused_at IS NOT NULL OR desired = 'stopped' AND name = 'c'", Ok(0))],
    )
    .await
}

#[tokio::test]
async fn q14_policies_and_views_ask_for_the_role_whose_rights_a_statement_has() -> Result<()> {
    let db = two_tenants().await?;
    expect(
        &db.pool,
        &[
            (
                "SELECT polname FROM pg_policy WHERE pg_get_expr(polqual, polrelid) || coalesce(pg_get_expr(polwithcheck, polrelid), '') ~ 'caller'",
                Ok(0),
            ),
            (
                "SELECT relname FROM pg_class WHERE relnamespace = 'wa'::regnamespace AND relkind = 'v' AND pg_get_viewdef(oid) ~ 'caller'",
                Ok(0),
            ),
            // With its caller's rights, so that the policies hold; or nothing is computed before a row is known to be the caller's.
            (
                "SELECT relname FROM pg_class WHERE relnamespace = 'wa'::regnamespace AND relkind = 'v'
                 AND NOT coalesce(reloptions && '{security_invoker=on,security_invoker=true,security_barrier=true}', false)",
                Ok(0),
            ),
        ],
    )
    .await
}

#[tokio::test]
async fn q14_nobody_asks_for_the_tenants_of_another_role() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    let other: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&bolt).await?;
    expect(
        &acme,
        &[
            (&format!("SELECT WHERE wa.my_tenants('{other}') = '{{acme}}'"), Ok(1)),
            ("SELECT WHERE wa.sees_all((SELECT rolname FROM pg_roles WHERE rolsuper LIMIT 1))", Ok(0)),
        ],
    )
    .await
}
