//! The book is complete, and is built.

use super::root;
use crate::support::programs::missing;
use anyhow::{Context as _, Result, ensure};
use std::process::Stdio;
use tokio::process::Command;

/// Every page below `docs/` but the decisions, which the script adds.
fn pages() -> Result<Vec<String>> {
    let (mut found, mut folders) = (vec![], vec![root().join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path.strip_prefix(root())?.display().to_string());
            }
        }
    }
    found.retain(|path| !path.starts_with("docs/decisions/0"));
    Ok(found)
}

#[test]
fn h10_the_summary_of_the_book_has_every_page() -> Result<()> {
    let summary = std::fs::read_to_string(root().join("ecosystem/book/SUMMARY.md"))?;
    let lacks: Vec<String> =
        pages()?.into_iter().filter(|page| !summary.contains(&format!("(../../{page})"))).collect();
    ensure!(lacks.is_empty(), "ecosystem/book/SUMMARY.md lacks {lacks:?}");
    Ok(())
}

#[tokio::test]
async fn h10_the_book_is_built_and_its_links_lead_somewhere() -> Result<()> {
    let mut version = Command::new("mdbook");
    let there = version.arg("--version").stdout(Stdio::null()).status().await.is_ok_and(|status| status.success());
    ensure!(there, missing("mdbook"));
    let target = tempfile::tempdir()?;
    let mut build = Command::new(root().join("ecosystem/book/build.sh"));
    build.env("CARGO_TARGET_DIR", target.path()).stdin(Stdio::null()).kill_on_drop(true);
    let done = build.output().await.context("ecosystem/book/build.sh")?;
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "{out}\n{error}");
    let page = std::fs::read_to_string(target.path().join("book/html/docs/guides/bot.html"))?;
    ensure!(page.contains("claim_messages") && !page.contains("{{#include"), "the examples are not in the page");
    Ok(())
}
