//! Claims for sessions with a pacing: the statement decides alone which messages go.

use super::OutboundJob;
use super::lanes::{LaneKey, MAX_IN_HAND_OF_LANE};
use super::reading::{Queued, Read, Reader, Request, after, to_bigint};
use super::rooms::Rooms;
use super::stock::bytes_of;
use crate::db::fence::Fence;
use futures::TryStreamExt as _;
use std::time::Instant;

/// Rows of one paced session that one page reads. Not many more than there is room for, because rows that cannot be taken
/// are read again.
const LOOK: std::ops::RangeInclusive<usize> = 32..=500;

/// Claims for sessions with a pacing. Messages are measured as they arrive: those for which their tenant has no room
/// are not kept, and neither are those behind them in their lane. They are returned to the queue.
pub(super) async fn read(reader: &Reader, rooms: &Rooms, request: &Request) -> sqlx::Result<Read> {
    let (ids, epochs, (ranks, marks)) = (request.ids(), request.epochs(), request.marks());
    let (lane_sessions, lane_chats) = request.lane_keys();
    let now = reader.lanes.claiming(&ids, &epochs);
    let most: Vec<i32> = request.sessions.iter().map(|asked| i32::try_from(asked.room).unwrap_or(i32::MAX)).collect();
    let look = (request.room / request.looking().max(1)).clamp(*LOOK.start(), *LOOK.end());
    let mut rows = sqlx::query_file!(
        "sql/jobs/claim_paced.sql",
        reader.worker_id,
        &ids,
        &epochs,
        &most,
        &ranks as &[Option<i16>],
        &marks as &[Option<i64>],
        to_bigint(look),
        to_bigint(MAX_IN_HAND_OF_LANE),
        to_bigint(request.room),
        &now.in_hand.0,
        &now.in_hand.1,
        &lane_sessions,
        &lane_chats,
        &now.full.0,
        &now.full.1
    )
    .fetch(&reader.pool);
    let (mut read, mut stock) = (Read::default(), reader.lanes.stock());
    while let Some(row) = rows.try_next().await? {
        let (now, session) = (Instant::now(), row.session_id);
        if row.busy {
            read.busy.insert(session);
            continue;
        }
        if let Some(at) = row.met_at {
            read.met.push((session, at));
            continue;
        }
        let page = read.pages.entry(session).or_default();
        if let Some(more) = row.more {
            (page.more, page.mark) = (more, row.rank.zip(row.seen));
        }
        if row.passed == Some(true) {
            read.passed.insert(session);
        }
        read.gate = read.gate.into_iter().chain(row.wait.map(|wait| after(now, wait))).min();
        let (Some(id), Some(chat), Some(kind), Some(message_id)) = (row.id, row.chat, row.kind, row.message_id) else {
            continue;
        };
        let (key, fence): (LaneKey, _) = ((session, chat.into()), Fence { session_id: session, epoch: row.epoch });
        let (tenant, bytes) = (rooms.tenant(session), bytes_of(row.body.as_deref(), row.content.as_ref()));
        page.taken += 1;
        read.messages += 1;
        read.bytes += bytes;
        if read.ask.contains(&key) || !stock.admit(&tenant, bytes) {
            read.returned.insert(fence);
            read.ask.insert(key);
            continue;
        }
        let message = Queued {
            kind,
            message_id,
            body: row.body,
            content: row.content,
            attempts: row.attempts.unwrap_or(0) + 1,
            deadline: row.expires_in.map(|left| after(now, left)),
            timer: row.timer.and_then(|seconds| u32::try_from(seconds).ok()),
        };
        let typing = row.typing.unwrap_or(false);
        let job = message.into_job(fence, id, key.1, reader.ready.name(session), tenant, bytes);
        read.jobs.push(OutboundJob { typing, ..job });
    }
    Ok(read)
}
