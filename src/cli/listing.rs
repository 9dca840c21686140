//! Listings: the one way to show rows. With `--json` each row is a line of JSON. Otherwise they are a table: on a terminal
//! it has colours and fits the width, elsewhere it is plain text with one line for each row, for pagers and files.

use super::words;
use super::{RowWatch, line, out, stop_signal};
use crate::config::Config;
use chrono::{DateTime, Utc};
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width as Columns};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::io::IsTerminal as _;
use std::time::Duration;
use terminal_size::{Height, Width, terminal_size};
use unicode_width::UnicodeWidthStr;

/// Many changes at once are shown as one.
const TOGETHER: Duration = Duration::from_millis(300);
/// Blanks between columns.
const GAP: u16 = 2;
/// Longer words may be broken on a narrow terminal: addresses and names of keys, but not the id of a worker.
const WORD: usize = 36;
/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct WatchArgs {
    /// Show the list again at each change; with --json the lines that have changed
    #[arg(long)]
    pub(super) watch: bool,
}

/// How a cell looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

/// A value of a row, in words.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain, right: false }
    }

    /// Nothing for a value that is missing.
    pub(super) fn maybe(text: Option<impl Into<String>>) -> Self {
        Self::text(text.map(Into::into).unwrap_or_default())
    }

    pub(super) fn number(number: impl Into<i64>) -> Self {
        Self::right(number.into().to_string())
    }

    /// A text that stands below others as numbers do.
    pub(super) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::text(text) }
    }

    pub(super) fn bytes(bytes: i64) -> Self {
        Self::right(words::bytes(bytes))
    }

    /// A moment, seen from now.
    pub(super) fn when(at: Option<DateTime<Utc>>) -> Self {
        Self::text(at.map(words::when).unwrap_or_default())
    }

    /// The same, with a word for never.
    pub(super) fn when_or(at: Option<DateTime<Utc>>, never: &str) -> Self {
        Self::text(at.map_or_else(|| never.to_owned(), words::when))
    }

    /// A number of things that are wrong.
    pub(super) fn faults(number: i64) -> Self {
        Self { tone: if number > 0 { Tone::Bad } else { Tone::Plain }, ..Self::number(number) }
    }

    /// Something that is wrong, if there is a text.
    pub(super) fn fault(text: Option<impl Into<String>>) -> Self {
        Self { tone: Tone::Bad, ..Self::maybe(text) }
    }

    /// A status of a session, job, message, token, schedule, worker or webhook, in the colour of its kind. A reason may
    /// follow it after a colon.
    pub(super) fn status(status: impl Into<String>) -> Self {
        let text = status.into();
        let tone = match text.split(':').next().unwrap_or_default() {
            "connected" | "sent" | "delivered" | "read" | "played" | "done" | "live" | "enabled" | "running"
            | "active" => Tone::Good,
            "failed" | "banned" | "logged_out" | "revoked" | "expired" | "disabled" | "dead" => Tone::Bad,
            "disconnected" | "connecting" | "linking" | "paused" | "cancelled" | "draining" | "failing" => Tone::Warn,
            _ => Tone::Plain,
        };
        Self { text, tone, right: false }
    }
}

/// A row, as JSON and in words.
struct Row {
    /// The fields of the JSON that tell it from the others.
    key: Map<String, Value>,
    json: Value,
    cells: Vec<Cell>,
}

impl Row {
    fn name(&self) -> String {
        Value::from(self.key.clone()).to_string()
    }
}

/// Rows under their heads.
pub(super) struct Listing {
    head: &'static [&'static str],
    /// What to do when there are no rows.
    empty: String,
    rows: Vec<Row>,
}

impl Listing {
    pub(super) fn new(head: &'static [&'static str], empty: impl Into<String>) -> Self {
        Self { head, empty: empty.into(), rows: Vec::new() }
    }

    /// Adds a row, and names the fields of its JSON that tell it from the others.
    pub(super) fn add(&mut self, key: &[&str], json: Value, cells: impl IntoIterator<Item = Cell>) {
        let key = key.iter().map(|field| ((*field).to_owned(), json[*field].clone())).collect();
        self.rows.push(Row { key, json, cells: cells.into_iter().collect() });
    }

    fn values(&self) -> Vec<&Value> {
        self.rows.iter().map(|row| &row.json).collect()
    }

    pub(super) fn show(&self, json: bool) {
        if json {
            self.rows.iter().for_each(|row| line(&row.json.to_string()));
        } else {
            line(&self.drawn(&Screen::of_output()));
        }
    }

    fn drawn(&self, screen: &Screen) -> String {
        if self.rows.is_empty() {
            return self.empty.clone();
        }
        let all: Vec<usize> = (0..self.head.len()).collect();
        let Some((width, _)) = screen.size else { return self.table(&all, screen) };
        let fit = |columns: &[usize]| {
            let needed: u16 = columns.iter().map(|place| self.narrowest(*place) + GAP).sum();
            needed <= width.saturating_add(GAP)
        };
        if fit(&all) {
            return self.table(&all, screen);
        }
        // What says nothing in any row is the first to go.
        let telling: Vec<usize> = all.into_iter().filter(|place| *place == 0 || self.tells(*place)).collect();
        if fit(&telling) { self.table(&telling, screen) } else { self.blocks(width, screen) }
    }

    fn cells(&self, place: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.cells.get(place))
    }

    fn tells(&self, place: usize) -> bool {
        self.cells(place).any(|cell| !matches!(cell.text.as_str(), "" | "0"))
    }

    /// How narrow a column may be with its words whole.
    fn narrowest(&self, place: usize) -> u16 {
        let texts = self.cells(place).map(|cell| cell.text.as_str()).chain([self.head[place]]);
        let longest = texts.flat_map(str::split_whitespace).map(UnicodeWidthStr::width).max().unwrap_or_default();
        u16::try_from(longest.min(WORD)).unwrap_or(u16::MAX)
    }

    /// A line for each row, or several where a column is narrower than its texts.
    fn table(&self, columns: &[usize], screen: &Screen) -> String {
        let mut table = screen.table();
        table.set_header(columns.iter().map(|place| heading(self.head[*place])));
        for row in &self.rows {
            let cells = columns.iter().map(|place| row.cells.get(*place).map_or_else(|| "".into(), drawn));
            table.add_row(cells.collect::<Vec<comfy_table::Cell>>());
        }
        for (place, column) in columns.iter().zip(table.column_iter_mut()) {
            let gap = if Some(place) == columns.last() { 0 } else { GAP };
            column.set_padding((0, gap));
            column.set_constraint(ColumnConstraint::LowerBoundary(Columns::Fixed(self.narrowest(*place) + gap)));
            if self.cells(*place).any(|cell| cell.right) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    /// A block of lines for each row, with a value on each, for a terminal that is too narrow for the columns.
    fn blocks(&self, width: u16, screen: &Screen) -> String {
        let mut table = screen.table();
        for (count, row) in self.rows.iter().enumerate() {
            if count > 0 {
                table.add_row([""]);
            }
            for (head, cell) in self.head.iter().zip(&row.cells).filter(|(_, cell)| !cell.text.is_empty()) {
                table.add_row([heading(head), drawn(cell)]);
            }
        }
        let heads = self.head.iter().map(|head| head.width()).max().unwrap_or_default();
        let heads = u16::try_from(heads).unwrap_or(u16::MAX).min(width / 2);
        if let Some(column) = table.column_mut(0) {
            column.set_padding((0, GAP)).set_constraint(ColumnConstraint::LowerBoundary(Columns::Fixed(heads + GAP)));
        }
        if let Some(column) = table.column_mut(1) {
            column.set_padding((0, 0));
        }
        table.trim_fmt()
    }
}

fn heading(head: &str) -> comfy_table::Cell {
    comfy_table::Cell::new(head).add_attribute(Attribute::Bold)
}

fn drawn(cell: &Cell) -> comfy_table::Cell {
    let drawn = comfy_table::Cell::new(words::plain(&cell.text));
    // The dark ones are those that themes of terminals make readable on their background.
    match cell.tone {
        Tone::Plain => drawn,
        Tone::Good => drawn.fg(Color::DarkGreen),
        Tone::Warn => drawn.fg(Color::DarkYellow),
        Tone::Bad => drawn.fg(Color::DarkRed),
    }
}

/// What standard output can show.
pub(super) struct Screen {
    colours: bool,
    /// Characters in a line and lines, if it is a terminal.
    size: Option<(u16, u16)>,
}

impl Screen {
    /// Colours only on a terminal that knows them, unless `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn of_output() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal() && !dumb;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let size = terminal.then(terminal_size).flatten().map(|(Width(width), Height(height))| (width, height));
        Self { colours: terminal && !plain, size }
    }

    /// An empty table.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        if self.colours {
            table.enforce_styling();
        }
        if let Some((width, _)) = self.size {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table
    }

    /// A heading.
    pub(super) fn bold(&self, text: &str) -> String {
        if self.colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Shows a listing at each change until a signal ends it: on a terminal in place of the last one, elsewhere below it. JSON
/// has a line for each row that has changed, and one for each that is not in the list any more.
pub(super) async fn watch(
    config: &Config,
    channel: &str,
    json: bool,
    fetch: impl AsyncFn() -> anyhow::Result<Listing>,
) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let mut notified = RowWatch::on(channel, config).await?;
    let (mut shown, mut on_screen): (Option<Listing>, _) = (None, None);
    loop {
        let listing = fetch().await?;
        let screen = Screen::of_output();
        let is_new = shown.as_ref().is_none_or(|before| before.values() != listing.values());
        if json {
            for value in changes(shown.as_ref(), &listing) {
                line(&value.to_string());
            }
        } else if let Some((_, height)) = screen.size {
            // Not only at a change: the times get older.
            let drawn = Some(cut(&listing.drawn(&screen), height.into()));
            if drawn != on_screen {
                out::raw(format!("{CLEAR}{}\n", drawn.as_deref().unwrap_or_default()).as_bytes());
                on_screen = drawn;
            }
        } else if is_new {
            listing.show(false);
        }
        shown = Some(listing);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = notified.wait() => changed?,
        }
        stop.run_until_cancelled(tokio::time::sleep(TOGETHER)).await;
    }
}

/// The rows that have changed, and of those that are gone what names them.
fn changes(before: Option<&Listing>, now: &Listing) -> Vec<Value> {
    let before = before.map(|listing| listing.rows.as_slice()).unwrap_or_default();
    let was: HashMap<String, &Value> = before.iter().map(|row| (row.name(), &row.json)).collect();
    let is: HashSet<String> = now.rows.iter().map(Row::name).collect();
    let changed = now.rows.iter().filter(|row| was.get(&row.name()) != Some(&&row.json)).map(|row| row.json.clone());
    let gone = before.iter().filter(|row| !is.contains(&row.name())).map(|row| {
        let mut key = row.key.clone();
        key.insert("listed".to_owned(), false.into());
        Value::Object(key)
    });
    changed.chain(gone).collect()
}

/// As many lines as the terminal has, with a word for the rest: more would move the first ones out of it.
fn cut(text: &str, height: usize) -> String {
    let (lines, room) = (text.lines().count(), height.saturating_sub(2).max(1));
    if lines <= room + 1 {
        return text.to_owned();
    }
    let first: Vec<&str> = text.lines().take(room).collect();
    format!("{}\n… {} more lines", first.join("\n"), lines - room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sessions() -> Listing {
        let mut listing = Listing::new(&["SESSION", "STATUS", "QUEUED", "WHY"], "no sessions");
        let long = "x".repeat(63);
        for (name, status, count, why) in
            [("shop", "connected", 7, ""), (&long, "banned", 1234, "a reason of several words")]
        {
            listing.add(
                &["session"],
                json!({ "session": name }),
                [Cell::text(name), Cell::status(status), Cell::number(count), Cell::text(why)],
            );
        }
        listing
    }

    #[test]
    fn h7_the_columns_of_a_listing_with_a_long_name_stand_below_each_other() {
        let text = sessions().drawn(&Screen { colours: false, size: None });
        let places: Vec<_> =
            text.lines().map(|line| ["STATUS", "connected", "banned"].iter().find_map(|it| line.find(it))).collect();
        assert_eq!(places, [Some(65); 3], "{text}");
        let ends: Vec<_> =
            text.lines().map(|line| ["QUEUED", "     7", "  1234"].iter().find_map(|it| line.find(it))).collect();
        assert_eq!(ends, [ends[0]; 3], "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
    }

    #[test]
    fn h7_a_listing_fits_the_terminal_and_without_one_each_row_is_one_line() {
        for width in [20, 40, 60, 80, 200] {
            let text = sessions().drawn(&Screen { colours: false, size: Some((width, 50)) });
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}: {text}");
            // Whatever the width, no word is broken that has room.
            for word in ["SESSION", "connected", "banned", "1234", "reason", "several"] {
                assert!(text.contains(word), "{width}: {word}: {text}");
            }
        }
        assert_eq!(sessions().drawn(&Screen { colours: false, size: None }).lines().count(), 3);
    }

    #[test]
    fn h7_a_terminal_that_is_too_narrow_gets_first_no_empty_columns_and_then_blocks() {
        let mut listing = Listing::new(&["SESSION", "SCHEDULED", "RETRYING", "WHY"], "");
        for (name, count) in [("shop", 0), ("café", 7)] {
            let cells = [Cell::text(name), Cell::number(0), Cell::number(count), Cell::text("")];
            listing.add(&["session"], json!({ "session": name }), cells);
        }
        let shown = |width| listing.drawn(&Screen { colours: false, size: Some((width, 50)) });
        assert_eq!(
            shown(33),
            "SESSION  SCHEDULED  RETRYING  WHY\nshop             0         0\ncafé             0         7"
        );
        assert_eq!(shown(17), "SESSION  RETRYING\nshop            0\ncafé            7");
        let block = |name, count| format!("SESSIO  {name}\nN\nSCHEDU  0\nLED\nRETRYI  {count}\nNG");
        assert_eq!(shown(12), format!("{}\n\n{}", block("shop", 0), block("café", 7)));
    }

    #[test]
    fn h7_colours_are_only_where_they_can_be_shown_and_a_row_brings_none_of_its_own() {
        let plain = sessions().drawn(&Screen { colours: false, size: Some((120, 50)) });
        let coloured = sessions().drawn(&Screen { colours: true, size: Some((120, 50)) });
        assert!(!plain.contains('\x1b') && coloured.contains('\x1b'), "{coloured:?}");
        let mut hostile = Listing::new(&["BODY"], "");
        hostile.add(&["id"], json!({ "id": 1 }), [Cell::text("\x1b[2J\nx")]);
        let text = hostile.drawn(&Screen { colours: false, size: None });
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn h7_an_empty_listing_says_what_to_do() {
        assert_eq!(
            Listing::new(&["SESSION"], "no sessions").drawn(&Screen { colours: true, size: None }),
            "no sessions"
        );
    }

    #[test]
    fn h7_a_watched_list_tells_rows_of_one_name_apart_and_says_which_are_gone() {
        let campaigns = |rows: &[(&str, i64)]| {
            let mut listing = Listing::new(&["SESSION"], "");
            for (session, sent) in rows {
                let value = json!({ "session": session, "campaign": "may", "sent": sent });
                listing.add(&["session", "campaign"], value, [Cell::text(*session)]);
            }
            listing
        };
        let before = campaigns(&[("cafe", 1), ("shop", 1)]);
        assert_eq!(changes(None, &before).len(), 2);
        assert!(changes(Some(&before), &before).is_empty());
        let changed = json!({ "session": "shop", "campaign": "may", "sent": 2 });
        let gone = json!({ "session": "cafe", "campaign": "may", "listed": false });
        assert_eq!(changes(Some(&before), &campaigns(&[("shop", 2)])), [changed, gone]);
    }

    #[test]
    fn h7_a_watched_list_that_is_longer_than_the_terminal_is_cut() {
        let text = ["head", "1", "2", "3", "4"].join("\n");
        assert_eq!(cut(&text, 6), text);
        assert_eq!(cut(&text, 5), "head\n1\n2\n… 2 more lines");
    }
}
