//! Q2, Q3: functions see what the same statement, and so the same transaction, has added just before.

use crate::support::db;
use crate::support::logins::run;
use anyhow::{Context as _, Result};

/// Calls beside `wa.add_session('@')`, as people write them to try things.
const BESIDE: &[&str] = &[
    "wa.keep_past('@'), wa.link('@')",
    "wa.set_region('@', 'DE'), wa.set_crypto_limits('@'), wa.set_proxy('@', NULL)",
    "wa.pause('@'), wa.resume('@')",
    "wa.set_pacing('@', per_minute => 3), wa.clear_pacing('@')",
    "wa.send_text('@', '+79001234567', 'x', dedupe_key => 'a'), wa.send_text('@', '+79001234567', 'x', dedupe_key => 'a'), wa.cancel_all('@')",
    "wa.pause_campaign('@', 'may'), wa.resume_campaign('@', 'may'), wa.cancel_campaign('@', 'may')",
    "wa.close('@'), wa.logout('@')",
    "wa.link_url('@'), wa.revoke_link('@')",
    "wa.retry_failed('@')",
    "wa.schedule('at-@', '0 0 * * *', 'close', session => '@'), wa.disable_schedule('at-@'), wa.enable_schedule('at-@'), wa.run_now('at-@'), wa.unschedule('at-@')",
    "wa.add_tenant('of-@'), wa.pause_tenant('of-@'), wa.resume_tenant('of-@')",
    "wa.add_consumer('by-@', '@'), wa.claim_messages('by-@'), wa.rewind_consumer('by-@', '-infinity'), wa.drop_consumer('by-@')",
    "wa.add_webhook('to-@', 'https://example.org/x'), wa.disable_webhook('to-@'), wa.enable_webhook('to-@'), wa.rotate_webhook('to-@'), wa.drop_webhook('to-@')",
    "wa.add_download_rule('@'), wa.add_media('@', 'abc')",
    "wa.check_numbers('@', '{+79001234567}'), wa.list_groups('@'), wa.move_session('@', NULL)",
];

#[tokio::test]
async fn q2_q3_functions_see_the_session_that_the_same_statement_adds() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.register_web('https://wa.example.com')").await?;
    for (at, beside) in BESIDE.iter().enumerate() {
        let sql = format!("SELECT wa.add_session('@'), {beside}").replace('@', &format!("s{at}"));
        run(&db.pool, &sql).await.with_context(|| sql.clone())?;
    }
    Ok(())
}
