//! The alerts, by `promtool`.

use super::files::{path, run, yaml};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use tokio::process::Command;

#[tokio::test]
async fn h10_each_alert_fires_when_it_should_and_is_quiet_otherwise() -> Result<()> {
    let (rules, tests) = (path("monitoring/alerts.yml"), path("monitoring/alerts_test.yml"));
    run(Command::new("promtool").args(["check", "rules"]).arg(&rules)).await?;
    run(Command::new("promtool").args(["test", "rules"]).arg(&tests)).await?;
    let alerts = yaml(&rules).await?;
    let alerts = alerts[0]["groups"][0]["rules"].as_array().context("rules")?;
    let names: BTreeSet<&str> = alerts.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    for rule in alerts {
        let described = [&rule["labels"]["severity"], &rule["annotations"]["summary"], &rule["annotations"]["remedy"]];
        ensure!(described.iter().all(|text| text.is_string()), "{rule}");
    }
    let tested = yaml(&tests).await?;
    let tested = tested[0]["tests"].as_array().context("tests")?;
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in tested.iter().filter_map(|test| test["alert_rule_test"].get(0)) {
        let name = test["alertname"].as_str().context("a name")?;
        let is_quiet = test["exp_alerts"].as_array().is_none_or(Vec::is_empty);
        if is_quiet {
            quiet.insert(name)
        } else {
            fires.insert(name)
        };
    }
    ensure!(fires == names && quiet == names, "without a test: {:?}", names.difference(&fires).collect::<Vec<_>>());
    Ok(())
}

/// The file of compose.yaml; the names of its files are those in the container.
#[tokio::test]
async fn h10_prometheus_accepts_its_configuration() -> Result<()> {
    run(Command::new("promtool").args(["check", "config"]).arg(path("monitoring/prometheus.yml"))).await?;
    let scraped = yaml(&path("monitoring/prometheus.yml")).await?;
    let configs = scraped[0]["scrape_configs"].as_array().context("scrape_configs")?;
    ensure!(configs.iter().all(|it| it["job_name"] == "wagres"), "the alerts ask for the job wagres");
    Ok(())
}
