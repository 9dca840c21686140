//! The line editor of the console: history in a file, completion with Tab.

use super::WORDS;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Helper};
use std::path::PathBuf;

/// Flags whose values may be secrets: headers of webhooks, the address of another database.
const SECRET_FLAGS: [&str; 2] = ["--header", "--from"];

/// Reads lines from the terminal.
pub(super) struct Editor {
    editor: rustyline::Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// With the commands that can be completed.
    pub(super) fn new(commands: clap::Command) -> rustyline::Result<Self> {
        // A line that begins with a blank is not kept, as in shells.
        let config = Config::builder().history_ignore_space(true).max_history_size(1000)?.build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(Words { commands, names: Vec::new() }));
        let history = history_file();
        if let Some(file) = &history {
            // There is none before the first line.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// The next line, or None at the end of the input. Gives the editor back, because reading takes a thread.
    pub(super) async fn read(mut self, names: Vec<String>) -> anyhow::Result<(Self, Option<String>)> {
        let read = tokio::task::spawn_blocking(move || {
            if let Some(words) = self.editor.helper_mut() {
                words.names = names;
            }
            let text = match self.editor.readline("> ") {
                Ok(text) => Some(text),
                // Ctrl-C gives up the line, not the console.
                Err(ReadlineError::Interrupted) => Some(String::new()),
                Err(ReadlineError::Eof) => None,
                Err(error) => return Err(error),
            };
            if let Some(text) = text.as_deref().filter(|text| !text.trim().is_empty() && !has_secret(text)) {
                self.editor.add_history_entry(text)?;
                if let Some(file) = &self.history {
                    // Without a history the console works, too.
                    let _ = self.editor.save_history(file);
                }
            }
            Ok((self, text))
        });
        Ok(read.await??)
    }
}

/// Whether a line may hold a password, which does not belong into a file.
fn has_secret(text: &str) -> bool {
    text.split_whitespace().any(|word| SECRET_FLAGS.iter().any(|flag| word.starts_with(flag)))
}

/// A file that the user alone may read, because it holds messages: the editor makes it so.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?.join("wagres");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// What Tab offers: commands, their flags, and names of sessions.
struct Words {
    commands: clap::Command,
    names: Vec<String>,
}

impl Words {
    /// The words that may stand after these ones and begin with `begun`.
    fn after(&self, before: &[&str], begun: &str) -> Vec<String> {
        let mut command = &self.commands;
        let short = before.first().and_then(|first| WORDS.iter().find(|(word, _)| word == first));
        for word in short.map_or(&[][..], |(_, command)| *command).iter().chain(before) {
            command = command.find_subcommand(word).unwrap_or(command);
        }
        let mut offered: Vec<String> = Vec::new();
        if begun.starts_with('-') {
            let flags = command.get_arguments().filter_map(clap::Arg::get_long);
            offered.extend(flags.map(|flag| format!("--{flag}")));
        } else {
            offered.extend(command.get_subcommands().map(|it| it.get_name().to_owned()));
            if before.is_empty() {
                let short = WORDS.iter().map(|(word, _)| *word);
                offered.extend(short.chain(["metrics", "help", "exit"]).map(str::to_owned));
            } else if let Some(values) = before.last().and_then(|flag| values(command, flag)) {
                offered = values;
            } else if !command.has_subcommands() {
                offered.extend(self.names.iter().cloned());
            }
        }
        offered.retain(|word| word.starts_with(begun));
        offered.sort();
        offered
    }
}

/// The values that a flag may have, if they are few.
fn values(command: &clap::Command, flag: &str) -> Option<Vec<String>> {
    let name = flag.strip_prefix("--")?;
    let flag = command.get_arguments().find(|flag| flag.get_long() == Some(name))?;
    let values: Vec<String> = flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    (!values.is_empty()).then_some(values)
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, place: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = &line[..place];
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let before: Vec<_> = line[..start].split_whitespace().collect();
        let offered = self.after(&before, &line[start..]);
        Ok((start, offered.into_iter().map(|word| Pair { replacement: format!("{word} "), display: word }).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn h7_the_console_completes_commands_flags_and_names() {
        let words = Words { commands: super::super::Line::command(), names: vec!["shop".into(), "support".into()] };
        assert_eq!(words.after(&[], "sta"), ["status"]);
        assert_eq!(words.after(&["session"], "li"), ["link", "list"]);
        assert_eq!(words.after(&["session", "show"], "s"), ["shop", "support"]);
        assert_eq!(words.after(&["jobs", "list"], "--se"), ["--session"]);
        assert_eq!(words.after(&["jobs", "list", "--status"], "s"), ["sending", "sent"]);
        assert_eq!(words.after(&["jobs", "list", "--session"], "s"), ["shop", "support"]);
        assert_eq!(words.after(&["errors"], "sh"), ["shop"]);
        assert!(words.after(&["nonsense"], "x").is_empty());
    }
}
