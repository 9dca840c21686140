//! Reads the next deliveries of a webhook, with their events.

use super::event::Event;
use super::people::{self, People};
use super::queue::{Item, Lane, Parcel};
use super::record::End;
use crate::db::Db;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Which deliveries to read.
#[derive(Debug)]
pub struct Wanted {
    /// New ones have ids above this.
    pub after: i64,
    /// Those that are in hand.
    pub in_hand: Vec<i64>,
    /// Most new ones.
    pub fresh: i64,
    /// Most of those that are due again.
    pub due: i64,
}

/// Deliveries.
#[derive(Debug, Default)]
pub struct Page {
    /// New ones, in their order.
    pub fresh: Vec<Item>,
    /// Those that are tried again, and those whose request was composed before.
    pub again: Vec<Parcel>,
    /// Those that have no event any more, each with what it ends as.
    pub void: Vec<(Item, End)>,
    /// The last new one, if there may be more.
    pub last: Option<i64>,
    /// Whether more may be due.
    pub more_due: bool,
}

/// Reads a page.
///
/// # Errors
/// The database's.
pub async fn read(db: &Db, webhook_id: i64, wanted: &Wanted) -> sqlx::Result<Page> {
    let Wanted { after, in_hand, fresh, due } = wanted;
    let rows = sqlx::query_file!("sql/webhooks/page.sql", webhook_id, after, in_hand, fresh, due).fetch_all(db).await?;
    let mut page = Page::default();
    // Not those that only share a request with others: between them and the last new one there may be more.
    let new_ones = rows.iter().filter(|row| row.is_fresh);
    let (many, last) = new_ones.fold((0, 0), |(many, last), row| (many + 1, row.id.max(last)));
    page.last = (many >= *fresh).then_some(last);
    page.more_due = i64::try_from(rows.iter().filter(|row| row.is_due).count()).unwrap_or(i64::MAX) >= *due;
    let contents: Vec<Option<Map<String, Value>>> = rows
        .iter()
        .map(|row| {
            let mut content = row.content.as_ref().and_then(Value::as_object).filter(|_| row.allowed).cloned()?;
            if let Some(message) = row.message.as_deref().and_then(|text| serde_json::from_str(text).ok()) {
                people::name_others(&mut content, &message);
                content.insert("message".to_owned(), message);
            }
            Some(content)
        })
        .collect();
    let named = rows.iter().zip(&contents).filter_map(|(row, content)| Some((row.session_id?, content.as_ref()?)));
    let people = People::look_up(db, named).await?;
    let mut batches: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for (row, content) in rows.into_iter().zip(contents) {
        let end = if row.allowed { End::Gone } else { End::Cancelled };
        let is_void = content.is_none();
        let lane = Lane { session_id: row.session_id, chat: row.chat.into() };
        let event = Event::new(
            (row.event_id, row.kind),
            row.happened_at,
            (row.session_id, row.session),
            content.unwrap_or_default(),
            &people,
        );
        let new = row.attempts == 0 && row.batch.is_none();
        let item = Item { id: row.id, lane, attempts: u32::try_from(row.attempts).unwrap_or_default(), event };
        if is_void {
            page.void.push((item, end));
        } else if new {
            page.fresh.push(item);
        } else if let Some(batch) = row.batch {
            batches.entry(batch).or_default().push(item);
        } else {
            page.again.push(Parcel { batch: None, items: vec![item] });
        }
    }
    page.again.extend(batches.into_iter().map(|(batch, items)| Parcel { batch: Some(batch), items }));
    Ok(page)
}
