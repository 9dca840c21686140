//! Tables of the documentation that tests generate.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Checks that the table between `<!-- name -->` and `<!-- end -->` is this one; with `WAGRES_WRITE_DOCS` set, writes it.
pub(crate) fn table(file: &str, name: &str, table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path)?;
    let begin = format!("<!-- {name} -->\n");
    let from = text.find(&begin).with_context(|| format!("{file} has no {begin}"))? + begin.len();
    let to = from + text[from..].find("<!-- end -->").with_context(|| format!("{file}: {name} has no end"))?;
    if std::env::var_os("WAGRES_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..]))?;
        return Ok(());
    }
    ensure!(
        &text[from..to] == table,
        "{file}: the table {name} differs from the generated one; WAGRES_WRITE_DOCS=1 writes it:\n{table}"
    );
    Ok(())
}

#[cfg(feature = "sandbox")]
/// The statements in the file's SQL blocks that begin with `begin`.
pub(crate) fn statements(file: &str, begin: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?;
    let found: Vec<String> = text
        .split("```")
        .filter_map(|block| block.strip_prefix("sql\n"))
        .flat_map(|block| block.split_inclusive(";\n"))
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| statement.starts_with(begin))
        .collect();
    ensure!(!found.is_empty(), "{file} has no {begin}");
    Ok(found)
}

#[cfg(feature = "sandbox")]
/// What is between `<!-- name -->` and `<!-- end -->`.
pub(crate) fn section(file: &str, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?;
    let found = text.split(&format!("<!-- {name} -->\n")).nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    Ok(found.with_context(|| format!("{file} has no {name}"))?.to_owned())
}

#[cfg(feature = "sandbox")]
/// The blocks of code in this language.
pub(crate) fn blocks(file: &str, language: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?;
    let of_language = |block: &str| block.strip_prefix(language)?.strip_prefix('\n').map(str::to_owned);
    let found: Vec<String> = text.split("```").skip(1).step_by(2).filter_map(of_language).collect();
    ensure!(!found.is_empty(), "{file} has no {language}");
    Ok(found)
}

#[cfg(feature = "sandbox")]
/// Loads each block of settings of the file, as a configuration file.
pub(crate) fn settings(file: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for block in blocks(file, "toml")? {
        // What a reader has to fill in.
        let filled = block.replace("\"…\"", "\"a secret of the tests\"");
        let path = folder.path().join("wagres.toml");
        std::fs::write(&path, filled)?;
        wagres::config::Config::load(Some(&path), &wagres::config::Overrides::default())
            .with_context(|| format!("{file}: {block}"))?;
    }
    Ok(())
}
