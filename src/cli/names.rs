//! Names that do not exist: they are refused, and the error says which one that exists was meant.

use super::exit::of_database;
use crate::auth::snapshot::SnapshotError;
use crate::db::Db;

/// A word is taken for another one only if most of its letters are the same.
const LIKE: f64 = 0.75;
/// Of a word with one letter too many, too few, wrong or in the wrong place: nearer than others of many equal letters.
const ONE_SLIP: f64 = 1.0;

/// The name that is nearest to the unknown one of this error, if one is near. What the caller does not see is not named.
pub(super) async fn nearest(pool: &Db, error: &anyhow::Error) -> Option<String> {
    if let Some(SnapshotError::NoSession(given)) = error.chain().find_map(|cause| cause.downcast_ref()) {
        return best(given, sessions(pool).await.ok()?);
    }
    let refused = error.chain().find_map(of_database)?;
    // The messages of the database have the name in double quotes.
    let given = refused.message().split('"').nth(1)?;
    let known = match &*refused.code()? {
        "WA001" => sessions(pool).await,
        "WA012" if refused.message().starts_with("tenant:") => {
            sqlx::query_scalar!(r#"SELECT tenant AS "name!" FROM wa.tenant"#).fetch_all(pool).await
        }
        "WA025" => sqlx::query_scalar!(r#"SELECT name AS "name!" FROM wa.schedule"#).fetch_all(pool).await,
        "WA033" => sqlx::query_scalar!(r#"SELECT name AS "name!" FROM wa.consumers"#).fetch_all(pool).await,
        "WA051" => {
            sqlx::query_scalar!(
                r#"SELECT name AS "name!" FROM wa.token WHERE purpose = 'token' AND revoked_at IS NULL"#
            )
            .fetch_all(pool)
            .await
        }
        "WA054" => sqlx::query_scalar!(r#"SELECT name AS "name!" FROM wa.webhooks"#).fetch_all(pool).await,
        _ => return None,
    };
    best(given, known.ok()?)
}

async fn sessions(pool: &Db) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(r#"SELECT name AS "name!" FROM wa.session"#).fetch_all(pool).await
}

/// Refuses a session that does not exist, or that the caller does not see. A list of it would only be empty.
pub(super) async fn known_session(pool: &Db, name: Option<&str>) -> sqlx::Result<()> {
    let Some(name) = name else { return Ok(()) };
    sqlx::query_scalar!(r#"SELECT wa.session_id($1) AS "id!""#, name).fetch_one(pool).await.map(drop)
}

/// Refuses a tenant that does not exist, or that the caller does not see.
pub(super) async fn known_tenant(pool: &Db, name: Option<&str>) -> sqlx::Result<()> {
    let Some(name) = name else { return Ok(()) };
    sqlx::query_scalar!(r#"SELECT wa.existing_tenant($1) AS "tenant!""#, name).fetch_one(pool).await.map(drop)
}

fn best(given: &str, known: Vec<String>) -> Option<String> {
    let lower = given.to_lowercase();
    let like = |name: &str| {
        let name = name.to_lowercase();
        let one_slip = lower.chars().count() > 2 && strsim::damerau_levenshtein(&lower, &name) <= 1;
        if one_slip { ONE_SLIP } else { strsim::jaro_winkler(&lower, &name) }
    };
    let near = known.into_iter().map(|name| (like(&name), name)).filter(|(like, _)| *like >= LIKE);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn h7_the_nearest_name_is_one_that_somebody_could_have_meant() {
        let known = || ["shop", "shop-2", "support", "café", "crm"].map(str::to_owned).to_vec();
        let found = |given: &str| best(given, known());
        for (given, meant) in [
            ("shpo", "shop"),
            ("Shop", "shop"),
            ("shop2", "shop-2"),
            ("suport", "support"),
            ("cafe", "café"),
            ("cmr", "crm"),
        ] {
            assert_eq!(found(given).as_deref(), Some(meant), "{given}");
        }
        for given in ["", "x", "warehouse"] {
            assert_eq!(found(given), None, "{given}");
        }
    }
}
