//! Q14, R9: names and limits of one tenant are not in the way of another.

use crate::support::logins::{expect, login, run, two_tenants};
use anyhow::{Result, ensure};

#[tokio::test]
async fn r9_q14_each_tenant_has_names_of_its_own_for_schedules() -> Result<()> {
    let db = two_tenants().await?;
    run(&db.pool, "UPDATE wa.schedule SET enabled = true WHERE name = 'retention'").await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    for (app, session) in [(&acme, "a"), (&bolt, "b")] {
        let night = format!("SELECT wa.schedule('night', '0 1 * * *', 'close', session => '{session}')");
        // The name of a default schedule is not taken either.
        let retention = format!("SELECT wa.schedule('retention', '0 1 * * *', 'connect', session => '{session}')");
        let again = format!(
            "INSERT INTO wa.schedule (name, cron, kind, session) VALUES ('night', '0 1 * * *', 'close', '{session}')"
        );
        expect(app, &[(&night, Ok(1)), (&retention, Ok(1)), (&again, Err("23505"))]).await?;
    }
    expect(
        &acme,
        &[
            ("SELECT wa.disable_schedule('night'), wa.schedule('retention', '0 2 * * *')", Ok(1)),
            ("SELECT FROM wa.schedule WHERE name = 'night'", Ok(1)),
            ("SELECT wa.disable_schedule('bolt/night')", Err("WA025")),
            ("SELECT wa.disable_schedule('nobody/night')", Err("WA025")),
            ("SELECT wa.unschedule('acme/retention')", Ok(1)),
        ],
    )
    .await?;
    let left = "SELECT format('%s %s %s', tenant, name, enabled) FROM wa.schedule
                WHERE name IN ('night', 'retention') ORDER BY tenant NULLS FIRST, name";
    let found: Vec<String> = sqlx::query_scalar(left).fetch_all(&db.pool).await?;
    ensure!(found == [" retention t", "acme night f", "bolt night t", "bolt retention t"], "{found:?}");
    // Whoever sees all says which one, and means the housekeeping first.
    let admin = login(&db, "wa_admin", None).await?;
    expect(
        &admin,
        &[
            ("SELECT wa.enable_schedule('night')", Err("WA025")),
            ("SELECT wa.enable_schedule('acme/night')", Ok(1)),
            ("SELECT FROM wa.schedule WHERE schedule_id = wa.schedule_id('retention') AND tenant IS NULL", Ok(1)),
        ],
    )
    .await?;
    // A schedule goes with its session to another tenant.
    run(&db.pool, "SELECT wa.add_tenant('core'); UPDATE wa.session SET tenant = 'core' WHERE name = 'b'").await?;
    expect(&bolt, &[("SELECT FROM wa.schedule WHERE tenant IS NOT NULL", Ok(0))]).await?;
    expect(&db.pool, &[("SELECT FROM wa.schedule WHERE tenant = 'core' AND session = 'b'", Ok(2))]).await
}

#[tokio::test]
async fn r9_q14_codes_of_a_phone_count_by_tenant() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    for _ in 0..5 {
        expect(&acme, &[("SELECT wa.link('a', '+15550007')", Ok(1))]).await?;
        // Ended, so that the next call is a job of its own.
        run(&db.pool, "UPDATE wa.session_job SET status = 'done' WHERE session = 'a'").await?;
    }
    expect(&acme, &[("SELECT wa.link('a', '+15550007')", Err("WA028"))]).await?;
    expect(&bolt, &[("SELECT wa.link('b', '+15550007')", Ok(1))]).await
}
