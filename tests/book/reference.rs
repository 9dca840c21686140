//! The pages of `docs/reference`, which are generated.

use crate::support::db::fresh;
use crate::support::docs;
use crate::support::world::wagres;
use anyhow::{Context as _, Result, ensure};
use sqlx::Row as _;
use std::fmt::Write as _;

/// A comment as Markdown.
fn prose(comment: &str) -> String {
    // Code between backticks stays as it is.
    let escape = |(at, part): (usize, &str)| {
        if at % 2 == 1 { part.to_owned() } else { part.replace('<', "&lt;").replace('*', "\\*").replace('_', "\\_") }
    };
    comment.split('`').enumerate().map(escape).collect::<Vec<_>>().join("`")
}

fn cell(comment: &str) -> String {
    prose(comment).replace('|', "\\|").replace('\n', " ")
}

#[tokio::test]
async fn h10_the_reference_has_every_function_of_a_subject() -> Result<()> {
    let db = fresh().await;
    let rows = sqlx::query(
        "SELECT s.subject, s.about, p.proname::text AS name, obj_description(p.oid, 'pg_proc') AS comment,
                format('wa.%s(%s) -> %s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) AS signature,
                ARRAY(SELECT r::text FROM unnest(g.roles) r WHERE r::text NOT LIKE 'wa\\_web%') AS roles
         FROM wa.help_subjects() WITH ORDINALITY s (subject, about, functions, place)
         CROSS JOIN unnest(s.functions) WITH ORDINALITY f (name, place)
         JOIN pg_proc p ON p.pronamespace = 'wa'::regnamespace AND p.proname = f.name
         JOIN wa.function_grants() g ON g.function = p.oid::regprocedure::text
         ORDER BY s.place, f.place, p.pronargs, signature",
    )
    .fetch_all(&db.pool)
    .await?;
    let (mut text, mut subject, mut name) = (String::new(), String::new(), String::new());
    for row in &rows {
        let (of, about): (String, String) = (row.try_get("subject")?, row.try_get("about")?);
        if of != subject {
            writeln!(text, "\n## {}{}\n\n{}", of[..1].to_uppercase(), &of[1..], prose(&about))?;
            subject = of;
        }
        let function: String = row.try_get("name")?;
        if function != name {
            writeln!(text, "\n### {function}")?;
            name = function;
        }
        let (signature, comment): (String, String) = (row.try_get("signature")?, row.try_get("comment")?);
        let roles: Vec<String> = row.try_get("roles")?;
        let roles = roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ");
        writeln!(text, "\n```text\n{signature}\n```\n\n{}\n\nFor {roles}.", prose(&comment))?;
    }
    ensure!(rows.len() > 120, "only {} functions", rows.len());
    docs::table("docs/reference/functions.md", "functions", &text)
}

#[tokio::test]
async fn h10_the_reference_has_every_table_and_view() -> Result<()> {
    let db = fresh().await;
    let rows = sqlx::query(
        "SELECT c.relname::text AS name, obj_description(c.oid, 'pg_class') AS about, a.attname::text AS column_name,
                replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz') AS type,
                coalesce(col_description(c.oid, a.attnum), '') AS comment
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
         ORDER BY c.relname, a.attnum",
    )
    .fetch_all(&db.pool)
    .await?;
    let (mut text, mut last, mut tables) = (String::new(), String::new(), 0);
    for row in rows {
        let (name, about): (String, String) = (row.try_get("name")?, row.try_get("about")?);
        if name != last {
            writeln!(text, "\n## {name}\n\n{}\n\n| column | type | meaning |\n| --- | --- | --- |", prose(&about))?;
            last = name;
            tables += 1;
        }
        let (column, of, comment): (String, String, String) =
            (row.try_get("column_name")?, row.try_get("type")?, row.try_get("comment")?);
        writeln!(text, "| `{column}` | {} | {} |", cell(&of), cell(&comment))?;
    }
    ensure!(tables > 50, "only {tables} tables");
    docs::table("docs/reference/tables.md", "tables", &text)
}

/// Adds what `wagres COMMAND… --help` says, and then the commands below it.
async fn describe(command: &mut Vec<String>, text: &mut String) -> Result<()> {
    let done = wagres().args(&*command).arg("--help").env("NO_COLOR", "1").env_remove("COLUMNS").output().await?;
    ensure!(done.status.success(), "wagres {command:?} --help: {}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout)?;
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let heading = if command.len() < 2 { "##" } else { "###" };
    writeln!(text, "\n{heading} wagres {}\n\n```text\n{}\n```", command.join(" "), lines.join("\n").trim_end())?;
    let listed = lines.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    for name in names.into_iter().filter(|name| name != "help") {
        command.push(name);
        Box::pin(describe(command, text)).await?;
        command.pop();
    }
    Ok(())
}

#[tokio::test]
async fn h10_the_reference_has_every_command() -> Result<()> {
    let mut text = String::new();
    describe(&mut vec![], &mut text).await.context("help")?;
    let text = text.replace("## wagres \n", "## wagres\n");
    ensure!(text.matches("```text").count() > 40, "too few commands");
    docs::table("docs/reference/commands.md", "commands", &text)
}
