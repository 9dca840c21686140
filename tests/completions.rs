//! Completions and pages for man, which packages install.

use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

#[tokio::test]
async fn h7_completions_are_scripts_that_their_shells_can_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (shell, check) in [("bash", Some("bash")), ("zsh", Some("zsh")), ("fish", Some("fish")), ("elvish", None)] {
        let done = wagres().args(["completions", shell]).env("WAGRES_COLOUR", "red").output().await?;
        let script = String::from_utf8(done.stdout)?;
        ensure!(done.status.success() && script.contains("quarantine"), "{shell}: {script}");
        let file = folder.path().join(shell);
        std::fs::write(&file, script)?;
        let Some(check) = check else { continue };
        match Command::new(check).arg("-n").arg(&file).output().await {
            Ok(read) => ensure!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr)),
            // Machines have bash, and not always the others.
            Err(error) => ensure!(shell != "bash", "{error}"),
        }
    }
    // What bash offers after a command.
    let script = folder.path().join("bash");
    let ask = "source \"$0\"; COMP_WORDS=(wagres session li); COMP_CWORD=2; _wagres wagres li session; echo \"${COMPREPLY[@]}\"";
    let done = Command::new("bash").args(["-c", ask]).arg(&script).output().await?;
    let offered = String::from_utf8(done.stdout)?;
    ensure!(offered.trim() == "link list", "{offered:?} {}", String::from_utf8_lossy(&done.stderr));
    ensure!(!wagres().args(["completions", "cmd"]).output().await?.status.success());
    Ok(())
}

#[tokio::test]
async fn h7_each_command_has_a_page_for_man() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let man = folder.path().join("share/man1");
    let done = wagres().arg("man").arg(&man).output().await?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (page, words) in [("wagres.1", "wagres"), ("wagres-session-link.1", "pairing code"), ("wagres-send.1", "NAME")]
    {
        let text = std::fs::read_to_string(man.join(page)).with_context(|| page.to_owned())?;
        ensure!(text.starts_with(".ie") && text.contains(".TH ") && text.contains(words), "{page}: {text}");
    }
    ensure!(!man.join("wagres-help.1").exists(), "help has a page");
    Ok(())
}
