//! Tells the binary what it was built from, for `wagres --version`: the commit and the features.
//!
//! The commit is `WAGRES_COMMIT` where that is set (a build without the repository, such as a container's), else what git
//! says. A development build names none: then each commit would compile the crate again.

use std::path::Path;
use std::process::Command;

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WAGRES_COMMIT");
    let given = std::env::var("WAGRES_COMMIT").ok().filter(|commit| !commit.is_empty());
    let built = match given.or_else(|| if is_release { commit(Path::new(&folder)) } else { None }) {
        Some(commit) => format!("commit {commit}"),
        None if is_release => "commit unknown".to_owned(),
        None => "development build".to_owned(),
    };
    // Cargo sets this for the tests, too, which would take a name with WAGRES_ for a setting.
    println!("cargo::rustc-env=VERSION_AND_BUILD={version} ({built}, features: {})", features());
}

/// The commit of the repository in `folder`; none in a folder without one, also if that folder is inside of another
/// repository.
fn commit(folder: &Path) -> Option<String> {
    let top = git(folder, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != folder.canonicalize().ok()? {
        return None;
    }
    // Both change with each commit; the second is missing where git keeps no log.
    for file in ["HEAD", "logs/HEAD"] {
        let path = folder.join(git(folder, &["rev-parse", "--git-path", file])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(folder, &["rev-parse", "--short=12", "HEAD"])
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn features() -> String {
    let names = std::env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut names: Vec<_> = names.filter(|name| name != "default").collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
