//! Claims for sessions without a pacing: the statement reads rows in their order, and [`gate`] decides which of them go.

use super::OutboundJob;
use super::gate::{Gate, Place, State, gate};
use super::lanes::MAX_IN_HAND_OF_LANE;
use super::reading::{Queued, Read, Reader, Request, after, to_bigint};
use super::rooms::Rooms;
use super::stock::{Stock, bytes_of};
use crate::db::fence::Fence;
use futures::TryStreamExt as _;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// A row of the queue that a claim has read, with its message if that was claimed, and the bytes of it.
struct Row {
    id: i64,
    rank: i16,
    chat: String,
    before: Option<i64>,
    state: State,
    message: Option<(Queued, usize)>,
}

impl Row {
    fn places(rows: &[Self]) -> Vec<Place<'_>> {
        rows.iter()
            .map(|Self { id, rank, chat, before, state, .. }| Place {
                chat,
                id: *id,
                rank: *rank,
                before: *before,
                state: *state,
            })
            .collect()
    }
}

/// Claims for sessions without a pacing, at most `of_lane` messages of each ended lane.
pub(super) async fn read(reader: &Reader, rooms: &Rooms, request: &Request, of_lane: usize) -> sqlx::Result<Read> {
    let (ids, epochs, (ranks, marks)) = (request.ids(), request.epochs(), request.marks());
    let (lane_sessions, lane_chats) = request.lane_keys();
    let now = reader.lanes.claiming(&ids, &epochs);
    let pages: Vec<i32> = request.sessions.iter().map(|asked| i32::try_from(asked.page).unwrap_or(i32::MAX)).collect();
    let (from, to): (Vec<i32>, Vec<i32>) = ids.iter().map(|session| now.range_of(*session)).unzip();
    let mut rows = sqlx::query_file!(
        "sql/jobs/claim_outbound.sql",
        reader.worker_id,
        &ids,
        &epochs,
        &pages,
        &ranks as &[Option<i16>],
        &marks as &[Option<i64>],
        &from,
        &to,
        &now.in_hand.1,
        &lane_sessions,
        &lane_chats,
        to_bigint(of_lane),
        &now.full.0,
        &now.full.1
    )
    .fetch(&reader.pool);
    let (mut read, mut stock) = (Read::default(), reader.lanes.stock());
    let held: HashSet<i64> = now.in_hand.1.iter().copied().collect();
    let mut of_sessions: HashMap<i64, Vec<Row>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let session = row.session_id;
        if row.paced {
            read.paced.insert(session);
        }
        if row.busy {
            read.busy.insert(session);
        }
        let (Some(id), Some(rank), Some(chat)) = (row.id, row.rank, row.chat) else { continue };
        if row.looked {
            let page = read.pages.entry(session).or_default();
            (page.mark, page.read) = (Some((rank, id)), page.read + 1);
        }
        let body = row.kind.zip(row.message_id).map(|(kind, message_id)| Queued {
            kind,
            message_id,
            body: row.body,
            content: row.content,
            attempts: row.attempts.unwrap_or(0) + 1,
            deadline: row.expires_in.map(|left| after(Instant::now(), left)),
            timer: row.timer.and_then(|seconds| u32::try_from(seconds).ok()),
        });
        let entry = Row { id, rank, chat, before: row.before, state: State::PassedOver, message: None };
        let entry = match body {
            _ if !row.took && held.contains(&id) => Row { state: State::InHand, ..entry },
            Some(message) => admit(rooms, entry, message, session, &mut stock, &mut read),
            None if row.took => {
                read.over.push((session, id));
                Row { state: State::Refused, ..entry }
            }
            None => entry,
        };
        of_sessions.entry(session).or_default().push(entry);
    }
    drop(rows);
    let mut turns = Vec::new();
    for asked in &request.sessions {
        let session = asked.fence.session_id;
        if let Some(page) = read.pages.get_mut(&session) {
            page.more = page.read >= asked.page;
        }
        let Some(rows) = of_sessions.remove(&session) else { continue };
        let gated = gate(&Row::places(&rows), |id| held.contains(&id), MAX_IN_HAND_OF_LANE, asked.room);
        pass(reader, rooms, asked.fence, rows, gated, &mut read, &mut turns);
    }
    // Sessions take turns.
    turns.sort_by_key(|(turn, _)| *turn);
    read.jobs = turns.into_iter().map(|(_, job)| job).collect();
    Ok(read)
}

/// Measures a message as it arrives: one for which its tenant has no room is not kept.
fn admit(rooms: &Rooms, row: Row, message: Queued, session: i64, stock: &mut Stock, read: &mut Read) -> Row {
    let bytes = bytes_of(message.body.as_deref(), message.content.as_ref());
    read.messages += 1;
    read.bytes += bytes;
    if stock.admit(&rooms.tenant(session), bytes) {
        Row { state: State::Claimed, message: Some((message, bytes)), ..row }
    } else {
        Row { state: State::Refused, ..row }
    }
}

/// Makes jobs of the messages that go, each with its turn, and notes what is returned.
fn pass(
    reader: &Reader,
    rooms: &Rooms,
    fence: Fence,
    mut rows: Vec<Row>,
    gated: Gate,
    read: &mut Read,
    turns: &mut Vec<(usize, OutboundJob)>,
) {
    let session = fence.session_id;
    if gated.passed {
        read.passed.insert(session);
    }
    if !gated.returned.is_empty() {
        read.returned.insert(fence);
    }
    read.ask.extend(gated.ask.iter().map(|at| (session, rows[*at].chat.as_str().into())));
    let (name, tenant) = (reader.ready.name(session), rooms.tenant(session));
    for (turn, at) in gated.go.into_iter().enumerate() {
        let row = &mut rows[at];
        let Some((message, bytes)) = row.message.take() else { continue };
        if let Some(page) = read.pages.get_mut(&session) {
            page.taken += 1;
        }
        let chat = std::mem::take(&mut row.chat).into();
        turns.push((turn, message.into_job(fence, row.id, chat, name.clone(), tenant.clone(), bytes)));
    }
}
