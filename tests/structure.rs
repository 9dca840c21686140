//! The structure of the source, read from its `use` lines and paths: arrows point down, no two files import each other in a
//! ring, and one package alone may switch certificate checking off.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of `src/` from the top down: each imports only those below it.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["http", "web"],
    &["worker"],
    &["session"],
    &["messages"],
    &["partner"],
    &["webhooks"],
    &["jobs"],
    &["auth"],
    &["message"],
    &["db"],
    &["telemetry"],
    &["config", "net"],
];

/// A file of `src/`, as a path of modules: `src/session/row.rs` is `["session", "row"]`.
type Module = Vec<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every file of `src/` by its module, without comments and without its unit tests.
fn sources() -> Result<BTreeMap<Module, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.insert(module(&path)?, code(&std::fs::read_to_string(&path)?));
            }
        }
    }
    Ok(found)
}

fn module(path: &Path) -> Result<Module> {
    let inside = path.strip_prefix(root().join("src"))?.with_extension("");
    let mut parts: Module = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        let last = parts.pop();
        if last.as_deref() == Some("main") {
            parts.push("main".to_owned());
        }
    }
    Ok(parts)
}

/// Without comments; unit tests come last in a file and may import what they like.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What a path in braces stands for: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else { return vec![path.trim().to_owned()] };
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (at, letter) in body.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{}{part}", head.trim()))).collect()
}

/// The paths within the crate that a file names: its `use` declarations, whole, and paths in its code that begin with
/// `crate::` or `super::`. A `pub use` of a parent names its own children and is no import.
fn paths(own: &Module, text: &str) -> Vec<Module> {
    let mut named = vec![];
    let mut rest = text;
    while let Some(at) = ["crate::", "super::", "self::"].iter().filter_map(|begin| rest.find(begin)).min() {
        let before = &rest[..at];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_part_of_a_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        let is_use = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub");
        let path: String = if is_use {
            rest[at..].split(';').next().unwrap_or_default().to_owned()
        } else {
            rest[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect()
        };
        rest = &rest[at + path.len().max(7)..];
        if !is_part_of_a_word {
            named.extend(expand(&path.replace('\n', " ")));
        }
    }
    named.into_iter().filter_map(|path| absolute(own, &path)).collect()
}

fn absolute(own: &Module, path: &str) -> Option<Module> {
    let mut parts = path.split("::").map(|part| part.trim().to_owned());
    let mut found = match parts.next()?.as_str() {
        "crate" => vec![],
        "self" => own.clone(),
        "super" => own.split_last().map(|(_, parent)| parent.to_vec())?,
        _ => return None,
    };
    for part in parts {
        let name = part.split(" as ").next().unwrap_or_default().trim().to_owned();
        match name.as_str() {
            "super" => drop(found.pop()),
            "self" | "*" | "" => {}
            _ => found.push(name),
        }
    }
    Some(found)
}

/// The file that a path leads to. A name that a parent re-exports is in the child that defines it.
fn file(path: &Module, files: &BTreeMap<Module, String>) -> Option<Module> {
    let mut module = path.clone();
    while !files.contains_key(&module) {
        module.pop()?;
    }
    let Some(name) = path.get(module.len()) else { return Some(module) };
    for line in files[&module].split(';').map(str::trim).filter(|line| line.contains("use ")) {
        let (visible, target) = line.split_once("use ")?;
        if !visible.contains("pub") {
            continue;
        }
        let exported = expand(&target.replace('\n', " "));
        let child = exported.iter().find(|path| path.rsplit("::").next().is_some_and(|last| last.trim() == name))?;
        let child = absolute(&module, &format!("self::{}", child.trim_start_matches("self::")))?;
        return file(&child, files).filter(|found| *found != module).or(Some(module));
    }
    Some(module)
}

/// Which files each file imports, by name.
fn imports() -> Result<BTreeMap<Module, BTreeSet<Module>>> {
    let files = sources()?;
    let of = |(own, text): (&Module, &String)| {
        let found = paths(own, text).iter().filter_map(|path| file(path, &files)).filter(|it| it != own).collect();
        (own.clone(), found)
    };
    let found: BTreeMap<Module, BTreeSet<Module>> = files.iter().map(of).collect();
    ensure!(
        found.values().map(BTreeSet::len).sum::<usize>() > 300,
        "too few imports found; is this test reading them?"
    );
    Ok(found)
}

fn layer(module: &Module) -> Option<usize> {
    let top = module.first()?;
    LAYERS.iter().position(|layer| layer.contains(&top.as_str()))
}

#[test]
fn x4_every_arrow_of_the_source_points_down() -> Result<()> {
    let mut wrong = vec![];
    for (own, imported) in imports()? {
        for other in imported {
            if let (Some(from), Some(to)) = (layer(&own), layer(&other))
                && to < from
            {
                wrong.push(format!("src/{} imports src/{}", own.join("/"), other.join("/")));
            }
        }
    }
    let known: BTreeSet<&str> = LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect();
    for module in sources()?.keys().filter_map(|module| module.first()) {
        let outside = ["fuzzing", "main"].contains(&module.as_str());
        ensure!(outside || known.contains(module.as_str()), "src/{module} has no layer in this test");
    }
    ensure!(wrong.is_empty(), "these imports point up:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn x4_no_two_files_import_each_other_in_a_ring() -> Result<()> {
    let imports = imports()?;
    let reachable = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for other in imports.get(&module).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let rings: Vec<String> =
        imports.keys().filter(|module| reachable(module).contains(*module)).map(|module| module.join("/")).collect();
    ensure!(rings.is_empty(), "files in rings: {}", rings.join(", "));
    Ok(())
}

#[test]
fn x4_the_product_knows_the_sandbox_in_its_command_line_alone() -> Result<()> {
    for (module, text) in sources()? {
        let allowed = module.first().is_some_and(|top| top == "cli");
        ensure!(allowed || !text.contains("wagres_sandbox"), "src/{} names the sandbox", module.join("/"));
    }
    Ok(())
}

#[test]
fn x4_only_the_product_may_switch_certificate_checking_off() -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .context("cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    ensure!(packages.len() >= 3, "the workspace has fewer packages than this test expects");
    for package in packages {
        let names_it = package.to_string().contains("danger-skip-cert-chain-verify");
        ensure!(names_it == (package["name"] == "wagres"), "{}: danger-skip-cert-chain-verify", package["name"]);
    }
    // The feature is the product's `sandbox`, which brings the guard against addresses that are not loopback.
    let product = packages.iter().find(|package| package["name"] == "wagres").context("wagres")?;
    for (feature, switches) in product["features"].as_object().context("features")? {
        let off = switches.to_string().contains("danger-skip-cert-chain-verify");
        ensure!(off == (feature == "sandbox"), "{feature} switches certificate checking off");
    }
    for dependency in product["dependencies"].as_array().context("dependencies")? {
        ensure!(!dependency["features"].to_string().contains("danger-skip"), "{dependency}");
    }
    Ok(())
}
