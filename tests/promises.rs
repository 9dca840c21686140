//! Checks `docs/promises.md` against the tests and the cited ids, and the links of the documents. Needs no database.

use crate::support::docs;
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

const PROMISES: &str = "docs/promises.md";

/// The letters of the groups of promises.
const LETTERS: &str = "QASMHXRPC";

/// Folders of installed, built or generated files, which do not belong to the repository.
const FOREIGN: [&str; 5] = ["target", "node_modules", "corpus", "artifacts", "wagres-data"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository's texts by path, from the root, with `/` on every system.
fn texts(endings: &[&str]) -> Result<BTreeMap<String, String>> {
    fn walk(folder: &Path, endings: &[&str], found: &mut BTreeMap<String, String>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name.starts_with('.') || FOREIGN.contains(&&*name) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                walk(&path, endings, found)?;
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                found.insert(path.strip_prefix(root())?.to_string_lossy().replace('\\', "/"), text);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    walk(root(), endings, &mut found)?;
    Ok(found)
}

/// Whether this word is the id of a promise, such as `Q6`.
fn is_id(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next().is_some_and(|letter| LETTERS.contains(letter))
        && (2..=3).contains(&word.len())
        && characters.all(|digit| digit.is_ascii_digit())
}

/// The ids cited in the comments of a file, or in a document outside of its blocks of code.
fn cited(path: &str, text: &str) -> BTreeSet<String> {
    let comments = |mark: &str| text.lines().filter_map(|line| Some(line.split_once(mark)?.1)).collect::<Vec<_>>();
    let cited = match path.rsplit('.').next() {
        Some("md") => prose(text).collect(),
        Some("rs" | "js" | "mjs") => comments("//"),
        Some("sql") => comments("--"),
        _ => comments("#"),
    };
    cited
        .iter()
        .flat_map(|line| line.split(|character: char| !character.is_alphanumeric() && character != '_'))
        .filter(|word| is_id(word))
        .map(str::to_owned)
        .collect()
}

/// The lines of a document outside of its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n```").step_by(2).flat_map(|part| part.lines())
}

/// The ids with which the name of a test begins: R1 and R2 of `r1_r2_workers_killed`.
fn proven(name: &str) -> impl Iterator<Item = String> {
    name.split('_').map(str::to_uppercase).take_while(|part| is_id(part))
}

/// The proofs of each promise: tests by file, and benchmarks, whose figures carry its id.
fn proofs() -> Result<BTreeMap<String, BTreeSet<(String, String)>>> {
    let mut proofs: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (path, text) in texts(&[".rs"])? {
        for line in text.lines() {
            let Some((before, after)) = line.split_once("fn ") else { continue };
            let name = after.split(|character: char| !character.is_alphanumeric() && character != '_').next();
            if let Some(name) = name
                && before.chars().all(|character| character.is_alphabetic() || character == ' ')
            {
                for id in proven(name) {
                    proofs.entry(id).or_default().insert((path.clone(), name.to_owned()));
                }
            }
        }
        if let Some((_, place)) = path.split_once("bench/") {
            // A benchmark is a file or a folder of that name.
            let name = place.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
            let measured = text.split("mod tests {").next().unwrap_or_default();
            for line in measured.lines().filter(|line| line.contains("Figure::new(")) {
                for id in line.split('"').filter(|word| is_id(word)) {
                    proofs.entry(id.to_owned()).or_default().insert((String::new(), format!("wagres-bench {name}")));
                }
            }
        }
    }
    Ok(proofs)
}

/// The ids that have a section of their own.
fn sections() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(PROMISES))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect())
}

#[test]
fn every_cited_id_is_a_promise_and_every_promise_has_a_proof() -> Result<()> {
    let (sections, proofs) = (sections()?, proofs()?);
    let mut wrong = String::new();
    for id in &sections {
        if !is_id(id) {
            writeln!(wrong, "{PROMISES}: {id} is not an id")?;
        }
        if sections.iter().filter(|other| other == &id).count() > 1 {
            writeln!(wrong, "{PROMISES}: {id} has two sections")?;
        }
        if !proofs.contains_key(id) {
            writeln!(wrong, "{PROMISES}: no test and no benchmark proves {id}")?;
        }
    }
    for (id, tests) in &proofs {
        if !sections.contains(id) {
            writeln!(wrong, "{PROMISES} has no section {id}, which these prove: {tests:?}")?;
        }
    }
    for (path, text) in texts(&[".rs", ".sql", ".md", ".sh", ".mjs", ".js", ".toml", "Makefile"])? {
        for id in cited(&path, &text).difference(&sections.iter().cloned().collect()) {
            writeln!(wrong, "{path} cites {id}, which has no section in {PROMISES}")?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

#[test]
fn each_promise_lists_what_proves_it() -> Result<()> {
    let proofs = proofs()?;
    let mut wrong = String::new();
    for id in sections()? {
        let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (file, name) in proofs.get(&id).into_iter().flatten() {
            files.entry(file).or_default().push(format!("`{name}`"));
        }
        let mut list = String::new();
        for (file, names) in files {
            let from = if file.is_empty() { "benchmark".to_owned() } else { format!("`{file}`") };
            writeln!(list, "- {from}: {}", names.join(", "))?;
        }
        if let Err(error) = docs::table(PROMISES, &format!("proof of {id}"), &list) {
            writeln!(wrong, "{error:#}")?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// The link targets of a paragraph, and its texts in backticks.
fn references(paragraph: &str) -> (Vec<&str>, Vec<&str>) {
    let quoted = paragraph.split('`').skip(1).step_by(2).collect();
    let links = paragraph
        .split('`')
        .step_by(2)
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect();
    (links, quoted)
}

#[test]
fn every_link_and_path_in_the_documents_leads_somewhere() -> Result<()> {
    let folders = ["src/", "sql/", "docs/", "tests/", "migrations/", "ecosystem/", "fuzz/"];
    let documents = texts(&[".md"])?;
    let tests: BTreeSet<String> = proofs()?.into_values().flatten().map(|(_, name)| name).collect();
    let mut wrong = BTreeSet::new();
    for (path, text) in &documents {
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let paragraphs = prose(text).collect::<Vec<_>>().join("\n");
        for paragraph in paragraphs.split("\n\n") {
            let (links, quoted) = references(paragraph);
            for link in links {
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() { PathBuf::from(path) } else { flat(&folder.join(file)) };
                if !root().join(&target).exists() {
                    wrong.insert(format!("{path}: no file for the link {link}"));
                } else if let Some(text) = documents.get(&*target.to_string_lossy())
                    && !heading.is_empty()
                    && !prose(text).any(|line| line.starts_with('#') && anchor(line) == heading)
                {
                    wrong.insert(format!("{path}: no heading for the link {link}"));
                }
            }
            for name in quoted.iter().filter_map(|quoted| quoted.split_whitespace().next()) {
                if folders.iter().any(|folder| name.starts_with(folder))
                    && !name.contains(['*', '<', '{', '…'])
                    && !name.split('/').any(is_placeholder)
                    && !root().join(name).exists()
                {
                    wrong.insert(format!("{path}: no {name}"));
                }
                if proven(name).next().is_some()
                    && name.contains('_')
                    && !name.ends_with(['_', '…'])
                    && !tests.contains(name)
                {
                    wrong.insert(format!("{path}: no test {name}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
    Ok(())
}

/// Whether this part of a path is a placeholder, as TARGET in `fuzz/seeds/TARGET/`.
fn is_placeholder(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|character| character.is_ascii_uppercase())
}

/// Resolves `..` in a path.
fn flat(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut flat, part| {
        match part {
            std::path::Component::ParentDir => _ = flat.pop(),
            std::path::Component::CurDir => {}
            part => flat.push(part),
        }
        flat
    })
}
