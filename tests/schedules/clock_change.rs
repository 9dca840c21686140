//! The rule for clock changes, and ticks computed forwards and backwards.

use super::{Scheduled, at};
use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use wagres::jobs::cron::expression::Expression;

/// All ticks in Berlin between two moments, computed forwards, in UTC.
fn ticks(expression: &str, from: &str, to: &str) -> Result<Vec<DateTime<Utc>>> {
    forwards(&Expression::parse(expression, "Europe/Berlin")?, at(from)?, at(to)?)
}

fn forwards(expression: &Expression, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>> {
    let (mut ticks, mut now) = (Vec::new(), from);
    loop {
        now = expression.next_after(now)?;
        if now > to {
            return Ok(ticks);
        }
        ticks.push(now);
    }
}

// At 02:00 on 29 March the clock goes to 03:00, which is 01:00 UTC.
const SPRING: (&str, &str) = ("2026-03-28T23:30:00Z", "2026-03-29T21:30:00Z");
// At 03:00 on 25 October it goes back to 02:00, which again is 01:00 UTC.
const AUTUMN: (&str, &str) = ("2026-10-24T22:30:00Z", "2026-10-25T22:30:00Z");

#[test]
fn q10_a_fixed_time_in_the_skipped_hour_fires_right_after_it() -> Result<()> {
    ensure!(ticks("30 2 * * *", SPRING.0, SPRING.1)? == [at("2026-03-29T01:00:00Z")?]);
    // The day after, it fires at its usual time.
    ensure!(ticks("30 2 * * *", SPRING.1, "2026-03-30T12:00:00Z")? == [at("2026-03-30T00:30:00Z")?]);
    Ok(())
}

#[test]
fn q10_a_fixed_time_in_the_repeated_hour_fires_the_first_time_only() -> Result<()> {
    ensure!(ticks("30 2 * * *", AUTUMN.0, AUTUMN.1)? == [at("2026-10-25T00:30:00Z")?]);
    ensure!(ticks("0 3 * * *", AUTUMN.0, AUTUMN.1)? == [at("2026-10-25T02:00:00Z")?]);
    Ok(())
}

#[test]
fn q10_a_wildcard_minute_fires_every_minute_of_real_time() -> Result<()> {
    for (from, to, hours) in [(SPRING.0, SPRING.1, 22), (AUTUMN.0, AUTUMN.1, 24)] {
        let ticks = ticks("* * * * *", from, to)?;
        ensure!(ticks.len() == hours * 60, "{} ticks", ticks.len());
        ensure!(ticks.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(1)), "a gap or a double");
    }
    Ok(())
}

#[test]
fn q10_lists_and_steps_follow_the_wall_clock() -> Result<()> {
    ensure!(ticks("0,30 2 * * *", SPRING.0, SPRING.1)?.is_empty(), "ticks in the skipped hour");
    let twice = ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
    let twice: Vec<_> = twice.into_iter().map(at).collect::<Result<_>>()?;
    ensure!(ticks("0,30 2 * * *", AUTUMN.0, AUTUMN.1)? == twice, "not twice in the repeated hour");
    Ok(())
}

proptest! {
    #[test]
    fn q10_ticks_are_the_same_forwards_and_backwards(
        minute in proptest::sample::select(vec!["*", "30", "0,30", "*/20", "7-9"]),
        hour in proptest::sample::select(vec!["*", "2", "1-3", "*/2", "3", "0"]),
        autumn: bool,
        from in 0_i64..6 * 3600,
        length in 0_i64..5 * 3600,
        most in 1_usize..400,
    ) {
        let start = at(if autumn { "2026-10-24T22:00:00Z" } else { "2026-03-28T22:00:00Z" }).expect("a time");
        let from = start + TimeDelta::seconds(from);
        let to = from + TimeDelta::seconds(length);
        let expression = Expression::parse(&format!("{minute} {hour} * * *"), "Europe/Berlin").expect("accepted");
        let all = forwards(&expression, from, to).expect("ticks");
        let backwards = expression.latest(from, to, most).expect("ticks");
        prop_assert_eq!(&all[all.len().saturating_sub(most)..], backwards);
    }
}

#[tokio::test]
async fn q10_a_worker_fires_by_the_rule_through_a_clock_change() -> Result<()> {
    for (day, fixed, listed) in [
        ("2026-03-29", &["03-29 01:00"][..], &[][..]),
        ("2026-10-25", &["10-25 00:30"], &["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]),
    ] {
        let world = Scheduled::at(&format!("{day}T00:00:00Z")).await?;
        // The tests above cover the day before; here the clock starts just before the hour in question.
        world.sql("UPDATE public.clock SET now = now - interval '1 minute'").await?;
        world.sql("SELECT wa.schedule('fixed', '30 2 * * *', 'sweep_keys', time_zone => 'Europe/Berlin', missed => 'all')").await?;
        world.sql("SELECT wa.schedule('listed', '0,30 2 * * *', 'sweep_keys', time_zone => 'Europe/Berlin', missed => 'all')").await?;
        let _loop = world.cron();
        world.settled().await?;
        for minute in (0..=150).step_by(30) {
            world.clock(&(at(&format!("{day}T00:00:00Z"))? + TimeDelta::minutes(minute)).to_rfc3339()).await?;
            world.settled().await?;
        }
        ensure!(world.ticks("fixed").await? == fixed, "{day}: {:?}", world.ticks("fixed").await?);
        ensure!(world.ticks("listed").await? == listed, "{day}: {:?}", world.ticks("listed").await?);
    }
    Ok(())
}
