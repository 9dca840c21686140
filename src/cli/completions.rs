//! `wagres completions` and `wagres man`: what shells and `man` know about the command line. Needs no database.

use super::{Cli, out, print};
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell that reads the completions
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder to write the pages to, made if it does not exist; wagres.1 and a page for each command
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the script that a shell loads.
pub(super) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wagres", &mut script);
    out::raw(&script);
}

/// Writes a page for `wagres` and for each of its commands.
pub(super) fn man(args: &ManArgs, json: bool) -> anyhow::Result<()> {
    let folder = &args.folder;
    let context = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(context)?;
    // A page names the version of this program, not of its commands.
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).with_context(context)?;
    print(json, &json!({ "folder": folder }), &format!("{}: the pages are written", folder.display()));
    Ok(())
}
