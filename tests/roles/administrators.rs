//! Q14, R8, R9: what administrators and workers may do.

use crate::support::db::fresh;
use crate::support::logins::{DENIED, expect, login, run, two_tenants};
use anyhow::{Result, ensure};

/// Rows that workers lock for each other are for workers alone (R8).
#[tokio::test]
async fn q14_r8_administrators_cannot_lock_what_workers_share() -> Result<()> {
    let db = two_tenants().await?;
    let admin = login(&db, "wa_admin", None).await?;
    expect(
        &admin,
        &[
            ("SELECT FROM wa.lease FOR UPDATE", DENIED),
            ("SELECT FROM wa.worker FOR UPDATE", DENIED),
            ("SELECT FROM wa.sending FOR UPDATE", DENIED),
            ("UPDATE wa.lease SET holder = NULL", DENIED),
            ("DELETE FROM wa.worker", DENIED),
            ("INSERT INTO wa.contacted (session_id, chat) VALUES (1, 'c')", DENIED),
            ("SELECT FROM wa.auth_home FOR UPDATE", DENIED),
            ("SELECT FROM wa.witness FOR UPDATE", DENIED),
            ("INSERT INTO wa.witness (witness, beats) VALUES (gen_random_uuid(), 1)", DENIED),
            ("SELECT wa.restored()", Ok(1)),
            ("SELECT wa.add_session('new')", Ok(1)),
            ("SELECT wa.drain_worker(gen_random_uuid())", Err("WA027")),
            ("SELECT wa.move_session('a', NULL)", Ok(1)),
        ],
    )
    .await
}

#[tokio::test]
async fn q14_workers_and_administrators_see_every_tenant_and_administrators_no_secret() -> Result<()> {
    let db = two_tenants().await?;
    let worker = login(&db, "wa_worker", None).await?;
    expect(
        &worker,
        &[
            ("SELECT FROM wa.session", Ok(2)),
            ("SELECT FROM wa.auth", Ok(2)),
            ("SELECT FROM wa.outbound", Ok(2)),
            ("CREATE TABLE wa.mine ()", DENIED),
        ],
    )
    .await?;
    let admin = login(&db, "wa_admin", None).await?;
    expect(
        &admin,
        &[
            ("SELECT wa.add_tenant('new'), wa.add_session('new', 'new')", Ok(1)),
            ("SELECT wa.pause_tenant('acme', 'unpaid'), wa.resume_tenant('acme')", Ok(1)),
            ("SELECT FROM wa.outbound", Ok(2)),
            ("SELECT FROM wa.auth", DENIED),
            ("SELECT FROM wa.auth_key", DENIED),
        ],
    )
    .await
}

/// Messages go with their session, whoever may delete it.
#[tokio::test]
async fn r9_an_administrator_deletes_a_session_with_its_messages() -> Result<()> {
    let db = fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('shop'); INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'Hello')",
    )
    .await?;
    let admin = login(&db, "wa_admin", None).await?;
    expect(&admin, &[("DELETE FROM wa.session WHERE name = 'shop' RETURNING 1", Ok(1))]).await?;
    let left = "SELECT (SELECT count(*) FROM wa.outbound) + (SELECT count(*) FROM wa.outbound_queue)";
    ensure!(sqlx::query_scalar::<_, i64>(left).fetch_one(&db.pool).await? == 0);
    // The trigger works on no other table.
    let other = "CREATE TEMPORARY TABLE trap (session_id bigint);
                 CREATE TRIGGER trap AFTER DELETE ON trap FOR EACH ROW EXECUTE FUNCTION wa.session_after_delete();
                 INSERT INTO trap VALUES (1); DELETE FROM trap";
    ensure!(sqlx::raw_sql(other).execute(&db.pool).await.is_err_and(|error| error.to_string().contains("alone")));
    Ok(())
}
