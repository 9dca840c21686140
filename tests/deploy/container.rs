//! The image and the compose file: by linters, and the image's last stage by a folder with the same files, user, environment
//! and commands. No engine runs here.

use super::files::{longest_drain, npm, path, run, text, yaml};
use crate::support::until::until;
use crate::support::world::{WAGRES, Worker, World, clean};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use tokio::process::Command;

const DOCKERFILE: &str = "deploy/Dockerfile";
const COMPOSE: &str = "deploy/compose.yaml";

#[tokio::test]
async fn h10_hadolint_accepts_the_dockerfile() -> Result<()> {
    let python = crate::support::pypi::install().await?;
    let hadolint = python.with_file_name("hadolint");
    run(Command::new(&hadolint).args(["--failure-threshold", "info"]).arg(path(DOCKERFILE))).await?;
    let folder = tempfile::tempdir()?;
    let wrong = folder.path().join("Dockerfile");
    std::fs::write(&wrong, text(DOCKERFILE)?.replace("FROM rust:1.95-slim-bookworm", "FROM rust:latest"))?;
    ensure!(run(Command::new(&hadolint).arg(&wrong)).await.is_err(), "hadolint accepts anything");
    Ok(())
}

#[tokio::test]
async fn h10_the_compose_file_fits_its_schema_and_the_files_that_it_mounts_are_there() -> Result<()> {
    let lint = npm().await?.join("node_modules/.bin/dclint");
    // Only what the schema and the rules for errors say; the order of keys is a matter of taste.
    run(Command::new(&lint).arg("--quiet").arg(path(COMPOSE))).await?;
    let folder = tempfile::tempdir()?;
    let wrong = folder.path().join("compose.yaml");
    std::fs::write(&wrong, text(COMPOSE)?.replace("stop_grace_period: 90s", "stop_grace_period: [90]"))?;
    ensure!(run(Command::new(&lint).arg("--quiet").arg(&wrong)).await.is_err(), "the schema accepts anything");

    let file = path(COMPOSE);
    let compose = yaml(&file).await?.into_iter().next().context("a document")?;
    let services = compose["services"].as_object().context("services")?;
    let folder = file.parent().context("a folder")?;
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let source = volume.split(':').next().unwrap_or_default();
            let there = source.starts_with('.').then(|| folder.join(source).exists());
            ensure!(
                there.unwrap_or_else(
                    || !compose["volumes"][source].is_null() || compose["volumes"].get(source).is_some()
                ),
                "{name}: {volume}"
            );
        }
    }
    let worker = &services["worker"];
    ensure!(worker["deploy"]["replicas"] == 2 && worker["read_only"] == true, "{worker}");
    let grace = worker["stop_grace_period"].as_str().and_then(|it| it.strip_suffix('s')?.parse::<u64>().ok());
    ensure!(grace.is_some_and(|seconds| seconds > longest_drain()), "{grace:?}");
    let context = folder.join(worker["build"]["context"].as_str().context("context")?);
    ensure!(context.join(worker["build"]["dockerfile"].as_str().context("dockerfile")?).is_file(), "{worker}");
    Ok(())
}

/// The instructions of the last stage, each a line.
fn last_stage() -> Result<Vec<(String, String)>> {
    let file = text(DOCKERFILE)?;
    let (_, stage) = file.rsplit_once("\nFROM ").context("stages")?;
    let lines = stage.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.split_once(' ')).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect())
}

/// Copies the program and the libraries that it is linked with, which are all that a distroless image has.
async fn fill(root: &Path) -> Result<()> {
    let copy = |from: &Path, to: &Path| -> Result<()> {
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::copy(from, to).with_context(|| from.display().to_string())?;
        Ok(())
    };
    copy(Path::new(WAGRES), &root.join("usr/bin/wagres"))?;
    let linked = String::from_utf8(run(Command::new("ldd").arg(WAGRES)).await?.stdout)?;
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &root.join(library.trim_start_matches('/')))?;
    }
    std::fs::create_dir_all(root.join("proc"))?;
    std::fs::create_dir_all(root.join("tmp"))?;
    let mut open = Command::new("chmod");
    run(open.arg("-R").arg("a+rX").arg(root)).await?;
    run(Command::new("chmod").arg("1777").arg(root.join("tmp"))).await?;
    Ok(())
}

/// Needs root, for chroot.
#[tokio::test]
async fn h10_the_image_runs_a_worker_without_rights_and_its_health_check_succeeds() -> Result<()> {
    let (world, root) = (World::new().await?, tempfile::tempdir()?);
    fill(root.path()).await?;
    let stage = last_stage()?;
    let all = |name: &'static str| stage.iter().filter(move |(of, _)| of == name).map(|(_, rest)| rest.as_str());
    let only = |name: &'static str| all(name).next_back().context(name);
    let environment = all("ENV").flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    let list = |json: &str| -> Result<Vec<String>> { Ok(serde_json::from_str(json)?) };
    let (_, check) = only("HEALTHCHECK")?.split_once("CMD ").context("a command")?;
    let (entry, arguments, check) = (list(only("ENTRYPOINT")?)?, list(only("CMD")?)?, list(check)?);
    let inside = |command: &[String], http: &str| -> Result<Command> {
        let mut chroot = Command::new("chroot");
        clean(&mut chroot);
        chroot.arg(format!("--userspec={}", only("USER")?)).arg(root.path()).args(command);
        chroot.envs(environment.clone()).env("WAGRES_HTTP", http);
        chroot.env("DATABASE_URL", &world.db.url).env("WAGRES_WHATSAPP_URL", world.sandbox.ws_url());
        Ok(chroot)
    };
    let command = [entry, arguments, vec!["--json".to_owned()]].concat();
    let worker = Worker::start(inside(&command, "0.0.0.0:0")?).await?;
    let http = worker.ready["http"].as_str().context("http")?.trim_start_matches("http://").to_owned();
    run(&mut inside(&check, &http)?).await?;
    let ready = [check[0].clone(), "health".to_owned()];
    until("ready", async || Ok(run(&mut inside(&ready, &http)?).await.map(drop).map_err(|error| error.to_string())))
        .await?;
    let uid: u32 = only("USER")?.split(':').next().context("a user")?.parse()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid()?))?;
    ensure!(status.lines().any(|line| line.starts_with(&format!("Uid:\t{uid}\t{uid}"))), "{status}");
    worker.stop().await?;
    ensure!(run(&mut inside(&check, &http)?).await.is_err(), "healthy without a worker");
    Ok(())
}
