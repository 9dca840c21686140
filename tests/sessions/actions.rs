//! M2, M9: group and contact actions.

use crate::support::docs;
use crate::support::until::LIMIT;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

/// Queues an action, waits until its job is announced as done, and returns its result.
async fn run_action(world: &World, ends: &mut PgListener, call: &str) -> Result<Value> {
    let (status, row) = run_to_end(world, ends, call).await?;
    ensure!(status == "done", "{call}: {row:#}");
    Ok(row["result"].clone())
}

/// Queues an action and waits until its end is announced; returns its status and row.
async fn run_to_end(world: &World, ends: &mut PgListener, call: &str) -> Result<(String, Value)> {
    let id = world.count(&format!("SELECT wa.{call}")).await.with_context(|| call.to_owned())?;
    loop {
        let notice = tokio::time::timeout(LIMIT, ends.recv())
            .await
            .with_context(|| format!("{call}: its end was not announced"))??;
        let notice: Value = serde_json::from_str(notice.payload())?;
        if notice["id"] == id {
            let row: Value = world.until(&format!("SELECT to_jsonb(j) FROM wa.session_job j WHERE id = {id}")).await?;
            ensure!(notice["session_id"] == row["session_id"], "{notice}");
            return Ok((row["status"].as_str().context("status")?.to_owned(), row));
        }
    }
}

/// Two linked sessions, and a listener for the ends of jobs.
async fn shop_and_anna() -> Result<(World, PgListener, Worker)> {
    let world = World::new().await?;
    let mut ends = PgListener::connect(&world.db.url).await?;
    ends.listen("wa_job").await?;
    let worker = world.worker().await?;
    for (session, number) in [("shop", "15550001"), ("anna", "15550002")] {
        world.link(session, number).await?;
    }
    Ok((world, ends, worker))
}

fn admins(group: &Value) -> Vec<String> {
    let participants = group["participants"].as_array().cloned().unwrap_or_default();
    let admins = participants.iter().filter(|it| it["admin"] == true).filter_map(|it| it["jid"].as_str());
    let mut admins: Vec<String> = admins.map(|jid| jid.replace("@s.whatsapp.net", "")).collect();
    admins.sort();
    admins
}

#[tokio::test]
async fn m2_m9_each_action_is_a_row_with_a_result() -> Result<()> {
    let (world, mut ends, worker) = shop_and_anna().await?;
    world.phone("15550003").await?;
    numbers_and_groups(&world, &mut ends).await?;
    contacts_and_files(&world, &mut ends).await?;

    let never = "SELECT string_agg(a.kind, ', ') FROM wa.actions() a
                 WHERE NOT EXISTS (SELECT FROM wa.session_job j WHERE j.kind = a.kind AND j.status = 'done')";
    let never: Option<String> = sqlx::query_scalar(never).fetch_one(world.pool()).await?;
    ensure!(never.is_none(), "never done: {never:?}");
    let table = "SELECT string_agg(format('| `%s` | %s | %s | %s |', a.kind, coalesce(f.fields, ''), coalesce('`' || a.gives || '`', ''), a.about), E'\\n' ORDER BY a.place)
                 FROM wa.actions() WITH ORDINALITY a (kind, gives, about, place)
                 LEFT JOIN (SELECT d.kind, string_agg(format('`%s`%s: %s', d.field, CASE WHEN d.required THEN '' ELSE ' (optional)' END, d.about), ' ' ORDER BY d.place) AS fields
                            FROM wa.action_fields() WITH ORDINALITY d (kind, field, type, required, low, high, about, place) GROUP BY d.kind) f USING (kind)";
    let table: String = sqlx::query_scalar(table).fetch_one(world.pool()).await?;
    docs::table(
        "docs/actions.md",
        "actions",
        &format!("| action | takes | result | what it does |\n| --- | --- | --- | --- |\n{table}\n"),
    )?;
    worker.stop().await
}

async fn numbers_and_groups(world: &World, ends: &mut PgListener) -> Result<()> {
    let found = run_action(world, ends, "check_numbers('shop', '{+1 555 0002,15559998}')").await?;
    let found = found.as_array().context("numbers")?;
    ensure!(found.len() == 2, "{found:?}");
    for person in found {
        ensure!(person["on_whatsapp"] == (person["jid"] == "15550002@s.whatsapp.net"), "{person}");
    }

    let made = run_action(world, ends, "create_group('shop', 'Team', '{15550002}')").await?;
    let group = made["jid"].as_str().context("jid")?.to_owned();
    ensure!(made["subject"] == "Team" && admins(&made) == ["15550001"], "{made:#}");
    let of = |call: &str, rest: &str| format!("{call}('shop', '{group}'{rest})");
    let added = run_action(world, ends, &of("add_participants", ", '{15550003}'")).await?;
    ensure!(added == json!([{ "jid": "15550003@s.whatsapp.net", "error": null }]), "{added}");
    run_action(world, ends, &of("promote_participants", ", '{15550002,15550003}'")).await?;
    run_action(world, ends, &of("demote_participants", ", '{15550003}'")).await?;
    run_action(world, ends, &of("set_group_subject", ", 'The team'")).await?;
    run_action(world, ends, &of("set_group_description", ", 'Who does it'")).await?;
    let shown = run_action(world, ends, &of("show_group", "")).await?;
    ensure!(shown["subject"] == "The team" && shown["description"] == "Who does it", "{shown:#}");
    ensure!(admins(&shown) == ["15550001", "15550002"], "{shown:#}");
    ensure!(shown["participants"].as_array().is_some_and(|all| all.len() == 3), "{shown:#}");
    run_action(world, ends, &of("set_group_description", "")).await?;
    let listed = run_action(world, ends, "list_groups('shop')").await?;
    ensure!(listed[0]["jid"] == group.as_str() && listed[0]["description"].is_null(), "{listed:#}");

    run_action(world, ends, &of("remove_participants", ", '{15550002}'")).await?;
    let link =
        run_action(world, ends, &of("group_invite_link", "")).await?["link"].as_str().context("link")?.to_owned();
    let fresh = run_action(world, ends, &of("group_invite_link", ", reset => true")).await?;
    ensure!(fresh["link"] != link.as_str(), "{fresh}");
    let (status, row) = run_to_end(world, ends, &format!("join_group('anna', '{link}')")).await?;
    ensure!(status == "failed" && row["last_error"].is_string(), "{row:#}");
    let link = fresh["link"].as_str().context("link")?;
    let joined = run_action(world, ends, &format!("join_group('anna', '{link}')")).await?;
    ensure!(joined == json!({ "jid": group, "pending": false }), "{joined}");
    run_action(world, ends, &format!("leave_group('anna', '{group}')")).await?;
    ensure!(run_action(world, ends, "list_groups('anna')").await? == json!([]));
    Ok(())
}

async fn contacts_and_files(world: &World, ends: &mut PgListener) -> Result<()> {
    run_action(world, ends, "watch_presence('anna', '15550001')").await?;
    for available in [true, false] {
        run_action(world, ends, &format!("set_presence('shop', available => {available})")).await?;
        world
            .holds(&format!("SELECT (data->>'available')::boolean = {available} FROM wa.event WHERE session = 'anna' AND kind = 'presence' ORDER BY id DESC LIMIT 1"))
            .await?;
    }
    ensure!(run_action(world, ends, "contact_picture('shop', '15550002')").await?.is_null());
    ensure!(
        run_action(world, ends, "set_picture('shop')").await?.is_null(),
        "a picture that never was set was removed"
    );
    run_action(world, ends, "watch_presence('shop', '15550002')").await?;
    run_action(world, ends, "block_contact('shop', '15550002')").await?;
    let refused = world.send("anna", "15550001", "while blocked").await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {refused}")).await?;
    run_action(world, ends, "unblock_contact('shop', '15550002')").await?;
    world.send("anna", "15550001", "after that").await?;
    world
        .holds(
            "SELECT array_agg(body) = '{after that}' FROM wa.inbox WHERE session = 'shop' AND chat LIKE '15550002@%'",
        )
        .await?;

    let picture = json!({ "to": "15550001", "image": { "data": "AAAA" } });
    world.control.post("/phones/15550003/send", picture).await?;
    let inbox_id: i64 = world.until("SELECT id FROM wa.inbox WHERE session = 'shop' AND media IS NOT NULL").await?;
    let downloaded = run_action(world, ends, &format!("download({inbox_id})")).await?;
    ensure!(downloaded["size"] == 3, "{downloaded}");
    Ok(())
}

#[tokio::test]
async fn m9_s7_actions_wait_for_a_connection_and_do_not_hold_up_connecting() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    for _ in 0..2 {
        world.count("SELECT wa.list_groups('shop')").await?;
    }
    // This job was queued later and does not wait behind them.
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world
        .holds(
            "SELECT count(*) = 2 FROM wa.session_job WHERE kind = 'list_groups' AND status = 'done' AND attempts = 1",
        )
        .await?;
    worker.stop().await
}

#[tokio::test]
async fn m9_a_session_and_a_group_change_their_picture() -> Result<()> {
    let (world, mut ends, worker) = shop_and_anna().await?;
    let ends = &mut ends;
    let made = run_action(&world, ends, "create_group('shop', 'Team', '{15550002}')").await?;
    let group = made["jid"].as_str().context("jid")?.to_owned();
    let add = async |bytes: Vec<u8>| -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT wa.add_media('shop', $1)").bind(bytes).fetch_one(world.pool()).await?)
    };
    let mut file = std::io::Cursor::new(vec![]);
    image::RgbImage::from_pixel(900, 600, image::Rgb([0, 120, 90])).write_to(&mut file, image::ImageFormat::Png)?;
    let picture = add(file.into_inner()).await?;
    for (whose, more) in [("15550001", String::new()), (&group, format!(", \"group\" => '{group}'"))] {
        let set = run_action(&world, ends, &format!("set_picture('shop', media => {picture}{more})")).await?;
        let seen = run_action(&world, ends, &format!("contact_picture('anna', '{whose}')")).await?;
        ensure!(set["id"].is_string() && set["id"] == seen["id"] && seen["url"].is_string(), "{whose}: {set} {seen}");
        let removed = run_action(&world, ends, &format!("set_picture('shop'{more})")).await?;
        ensure!(removed.is_null(), "{removed}");
        ensure!(run_action(&world, ends, &format!("contact_picture('anna', '{whose}')")).await?.is_null());
    }
    // The other members of the group are told.
    let events = format!(
        "SELECT count(*) = 2 FROM wa.event WHERE session = 'anna' AND kind = 'picture_changed' AND data->>'contact' = '{group}' AND data->>'by' LIKE '15550001@%'"
    );
    world.holds(&events).await?;
    let words = add(b"no picture".to_vec()).await?;
    let (status, row) = run_to_end(&world, ends, &format!("set_picture('shop', media => {words})")).await?;
    let error = row["last_error"].as_str().unwrap_or_default();
    ensure!(status == "failed" && error.contains(&format!("args.media: {words}")), "{row:#}");
    worker.stop().await
}
