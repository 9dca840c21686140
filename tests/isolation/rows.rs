//! Rows: what each table and view shows a tenant.

use super::{filled, texts};
use crate::support::logins::{login, web_login};
use anyhow::{Result, ensure};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// Tables whose rows belong to no tenant: numbers of countries, the fleet's processes, the server's identity, the schema.
const FLEET: [&str; 11] = [
    "wa.partner",
    "wa.auth_home",
    "wa.drain_request",
    "wa.numbers_batch",
    "wa.region",
    "wa.restore_request",
    "wa.schema_state",
    "wa.sealing",
    "wa.web",
    "wa.witness",
    "wa.worker",
];

#[tokio::test]
async fn r9_q14_every_table_has_row_security_or_is_of_the_fleet_or_secret() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let open = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
           AND EXISTS (SELECT FROM unnest('{wa_app,wa_admin,wa_readonly}'::text[]) r WHERE has_any_column_privilege(r, c.oid, 'SELECT, INSERT, UPDATE'))",
    )
    .await?;
    // Numbers of countries are no secret. The others of the fleet keep web roles without a token out.
    ensure!(open == BTreeSet::from(["wa.region".to_owned()]), "{open:?}");
    let all = texts(
        &db.pool,
        "SELECT p.polrelid::regclass::text FROM pg_policy p WHERE p.polname = 'fleet' UNION ALL SELECT 'wa.region'",
    )
    .await?;
    ensure!(all == FLEET.map(str::to_owned).into(), "{all:?}");
    let views = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind = 'v'
           AND NOT coalesce(array_to_string(c.reloptions, ',') ~ 'security_invoker=(on|true)', false)",
    )
    .await?;
    // The first counts keys that its readers may not see, the second says which tenants are the reader's, the third has jobs of
    // the housekeeping; all filter by tenant or role.
    let filtering = BTreeSet::from(["wa.auth_size", "wa.my_tenant", "wa.retries"].map(str::to_owned));
    ensure!(views == filtering, "with their owner's rights: {views:?}");
    let public = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
         WHERE c.relnamespace = 'wa'::regnamespace AND a.grantee = 0",
    )
    .await?;
    ensure!(public.is_empty(), "granted to PUBLIC: {public:?}");
    Ok(())
}

/// What the caller may read of each table and view, as a query that gives each row as text.
const READABLE: &str = "
    SELECT c.oid::regclass::text AS relation, format('SELECT r::text FROM (SELECT %s FROM %s t%s) r',
               string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum), c.oid::regclass,
               -- Schedules without a session do the housekeeping for all.
               CASE WHEN c.oid = 'wa.schedule'::regclass THEN ' WHERE t.session IS NOT NULL' ELSE '' END) AS query
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
    GROUP BY c.oid";

#[tokio::test]
async fn r9_q14_every_table_and_view_shows_a_tenant_its_own_rows() -> Result<()> {
    let (db, acme, bolt) = filled().await?;
    let readers = (login(&db, "wa_readonly", Some("acme")).await?, login(&db, "wa_readonly", Some("bolt")).await?);
    let viewers = (web_login(&db, "viewer", Some("acme")).await?, web_login(&db, "viewer", Some("bolt")).await?);
    let operators = (web_login(&db, "operator", Some("acme")).await?, web_login(&db, "operator", Some("bolt")).await?);
    for (role, one, other) in [
        ("wa_app", &acme, &bolt),
        ("wa_readonly", &readers.0, &readers.1),
        ("wa_web_viewer", &viewers.0, &viewers.1),
        ("wa_web_operator", &operators.0, &operators.1),
    ] {
        let readable = sqlx::query(READABLE).fetch_all(one).await?;
        ensure!(readable.len() > 20, "{role} reads {} relations", readable.len());
        for relation in readable {
            let (name, query): (String, String) = (relation.try_get(0)?, relation.try_get(1)?);
            let (of_one, of_other) = (texts(one, &query).await?, texts(other, &query).await?);
            if FLEET.contains(&name.as_str()) {
                continue;
            }
            let both: Vec<_> = of_one.intersection(&of_other).collect();
            ensure!(both.is_empty(), "{role} sees rows of both tenants in {name}: {both:?}");
            // Jobs of the housekeeping, and the files that it deletes, are of all, so no tenant sees one.
            // A web role has its tenants from a token, none by wa.grant_tenant.
            let of_all = matches!(name.as_str(), "wa.maintenance_job" | "wa.dropped_file")
                || name == "wa.my_tenant" && role.starts_with("wa_web");
            ensure!(of_one.is_empty() == of_all, "{role} sees of {name}: {of_one:?}");
            for row in of_other {
                ensure!(!row.contains("acme"), "{role} of bolt sees in {name}: {row}");
            }
        }
    }
    Ok(())
}
