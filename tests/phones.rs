//! M2: numbers in any usual notation, against the library whose data the database has.

use crate::support::db;
use anyhow::{Result, ensure};
use phonenumber::metadata::{DATABASE, Metadata};
use std::path::Path;

const FILE: &str = "sql/schema/14_regions.sql";

/// The countries of the library, without what is none.
fn countries() -> Vec<&'static Metadata> {
    let mut all: Vec<&Metadata> =
        DATABASE.iter().filter(|it| it.id().chars().all(|c| c.is_ascii_uppercase())).collect();
    all.sort_by_key(|it| it.id());
    all
}

/// What is dialled before a number, as an expression.
fn prefix(country: &Metadata) -> Option<String> {
    let named = || country.national_prefix().map(str::to_owned);
    country.national_prefix_for_parsing().map(|it| it.as_str().split_whitespace().collect()).or_else(named)
}

fn generated() -> String {
    let quoted =
        |text: Option<String>| text.map_or_else(|| "NULL".into(), |text| format!("'{}'", text.replace('\'', "''")));
    let tight = |pattern: &str| pattern.split_whitespace().collect::<String>();
    let lines: Vec<String> = countries()
        .into_iter()
        .map(|it| {
            let general = it.descriptors().general();
            // The first country of a code is the one that numbers with it are read by.
            let main =
                DATABASE.by_code(&it.country_code()).and_then(|all| all.first().map(|first| first.id() == it.id()));
            format!(
                "    ({}, '{}', {}, {}, {}, {}, {})",
                quoted(Some(it.id().into())),
                it.country_code(),
                main.unwrap_or(true),
                quoted(it.international_prefix().map(|it| tight(it.as_str()))),
                quoted(prefix(it)),
                quoted(it.national_prefix_transform_rule().map(str::to_owned)),
                quoted(Some(tight(general.national_number().as_str())))
            )
        })
        .collect();
    format!(
        "-- Made by tests/phones.rs from the data of libphonenumber. WAGRES_WRITE_DOCS=1 makes it anew.\n\n\
         INSERT INTO wa.region (region, code, main, international_prefix, national_prefix, transform, pattern) VALUES\n{}\n\
         ON CONFLICT (region) DO UPDATE SET code = excluded.code, main = excluded.main, international_prefix = excluded.international_prefix,\n    \
         national_prefix = excluded.national_prefix, transform = excluded.transform, pattern = excluded.pattern;\n",
        lines.join(",\n")
    )
}

#[test]
fn m2_the_data_of_the_library_is_in_the_database() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("WAGRES_WRITE_DOCS").is_some() {
        return Ok(std::fs::write(path, generated())?);
    }
    ensure!(
        std::fs::read_to_string(path)? == generated(),
        "{FILE} is not what the library has; WAGRES_WRITE_DOCS=1 writes it"
    );
    Ok(())
}

/// How a number of a country may be written: the country in which it is read, the text, the digits that it stands for.
fn written(country: &Metadata) -> Vec<(String, String, String)> {
    let all = country.descriptors();
    // What is dialled before the numbers of a place is not dialled everywhere before others.
    let trunk = country.national_prefix().unwrap_or_default();
    let kinds =
        [(all.fixed_line(), trunk), (all.mobile(), ""), (all.voip(), ""), (all.toll_free(), ""), (all.uan(), "")];
    let numbers = kinds.into_iter().filter_map(|(kind, trunk)| Some((kind?.example()?, trunk)));
    let (id, code) = (country.id(), country.country_code());
    let mut written = vec![];
    for (number, trunk) in numbers.filter(|(number, _)| (7..=15).contains(&(number.len() + code.to_string().len()))) {
        let (middle, end) = number.split_at(number.len() / 2);
        for (region, text) in [
            (id, number.to_owned()),
            (id, format!("{middle} {end}")),
            (id, format!("{trunk}{number}")),
            (id, format!("{trunk}{middle}/{end}")),
            (id, format!("({trunk}{middle}) {end}")),
            (id, format!("+{code}{number}")),
            (id, format!("+{code} {middle}-{end}")),
            (id, format!("tel:+{code}-{middle}.{end}")),
            (id, format!("+{code} ({trunk}){middle} {end}")),
            // From abroad.
            ("DE", format!("00{code}{number}")),
            ("DE", format!("00 {code} {middle} {end}")),
            ("US", format!("011 {code} {middle} {end}")),
            ("RU", format!("8~10 {code} {middle}–{end}")),
            ("", format!("+{code}{number}")),
            ("", format!("{code}{number}")),
            ("", format!("00{code}{number}")),
            ("", format!("＋{code}\u{a0}({trunk}){middle} {end}")),
        ] {
            written.push((region.to_owned(), text, format!("{code}{number}")));
        }
    }
    written
}

#[tokio::test]
async fn m2_numbers_are_read_however_they_are_written() -> Result<()> {
    let db = db::fresh().await;
    let cases: Vec<(String, String, String)> = countries().into_iter().flat_map(written).collect();
    ensure!(cases.len() > 10_000, "{} cases", cases.len());
    let column = |which: fn(&(String, String, String)) -> &String| {
        cases.iter().map(|case| which(case).clone()).collect::<Vec<_>>()
    };
    let wrong: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s %s: %s, not %s', r, t, wa.phone(t, nullif(r, '')), e) FROM unnest($1::text[], $2::text[], $3::text[]) AS c (r, t, e)
         WHERE wa.phone(t, nullif(r, '')) IS DISTINCT FROM e",
    )
    .bind(column(|case| &case.0))
    .bind(column(|case| &case.1))
    .bind(column(|case| &case.2))
    .fetch_all(&db.pool)
    .await?;
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn m2_q3_a_session_has_a_country_for_numbers_without_calling_code() -> Result<()> {
    let db = db::fresh().await;
    let run = async |sql: &str| sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&db.pool).await;
    run("SELECT wa.add_session('shop'), wa.add_session('far')").await?;
    run("SELECT wa.set_region('shop', 'de')").await?;
    for (session, recipient, chat) in [
        ("shop", "089 / 1234 567", Some("49891234567")),
        ("shop", "0171-1234567", Some("491711234567")),
        ("shop", "+4915112345678", Some("4915112345678")),
        ("shop", "+79001234567", Some("79001234567")),
        ("shop", "00 7 900 123 45 67", Some("79001234567")),
        ("shop", "79001234567@s.whatsapp.net", Some("79001234567")),
        ("far", "4915112345678", Some("4915112345678")),
        ("far", "0171-1234567", None),
        ("far", "tel:+49-171-1234567", Some("491711234567")),
        ("far", "+٤٩ ١٧١ ١٢٣٤٥٦٧", Some("491711234567")),
        ("far", "+49 171 1234567 ext. 5", None),
    ] {
        let insert = format!("SELECT wa.send_text('{session}', '{recipient}', 'x')");
        let sent = run(&insert).await;
        ensure!(sent.is_ok() == chat.is_some(), "{recipient}: {sent:?}");
        let last: Option<String> =
            sqlx::query_scalar("SELECT chat FROM wa.outbound ORDER BY id DESC LIMIT 1").fetch_one(&db.pool).await?;
        let expected = chat.map(|digits| format!("{digits}@s.whatsapp.net"));
        ensure!(chat.is_none() || last == expected, "{recipient}: {last:?}");
    }
    // People in content and arguments, too.
    run("SELECT wa.send_text('shop', '0171 1234567', 'x', mentions => '{0171 1234567}'), wa.check_numbers('shop', '{0171 1234567}')").await?;
    let named: bool = sqlx::query_scalar(
        "SELECT (SELECT content #>> '{mentions,0}' FROM wa.outbound ORDER BY id DESC LIMIT 1) = '491711234567@s.whatsapp.net'
            AND (SELECT args #>> '{numbers,0}' FROM wa.session_job WHERE kind = 'check_numbers') = '491711234567@s.whatsapp.net'",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(named, "people are named otherwise");
    run("SELECT wa.set_region('shop', NULL)").await?;
    ensure!(run("SELECT wa.send_text('shop', '0171 1234567', 'x')").await.is_err(), "it still has a country");
    Ok(())
}
