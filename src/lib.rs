//! wagres: a WhatsApp gateway whose only interface is Postgres.
//!
//! A program inserts a row into `wa.outbound` and a message is sent; a message arrives and a row stands in `wa.inbox`
//! before WhatsApp is told that it was received. Workers hold the sessions, one holder each, by lease and epoch.
//!
//! # Where things live
//!
//! | place | what it holds | what goes there next |
//! | --- | --- | --- |
//! | `migrations/` | tables, types, indexes; never edited after landing | a new table or column |
//! | `sql/schema/` | functions, triggers, views; replaced whole at each `migrate` | a new SQL function, a check at INSERT |
//! | `sql/<module>/` | the worker's statements, one file each, checked against the schema at compile time | a new statement |
//! | [`config`] | typed configuration | a new setting |
//! | [`db`] | pool, migrations, listener, fence, the private Postgres of `wagres up` | |
//! | [`jobs`] | claiming, doorbell, batched completion, the apalis workers over the three job tables, cron | a new job table; a new maintenance kind in [`jobs::maintenance`] |
//! | [`auth`] | credentials and Signal keys as JSONB, the client library's storage traits | a new kind of key |
//! | [`session`] | lease, one supervised client per session, the state machine, session jobs | a new session job kind in `session::jobs` |
//! | [`messages`] | outbound rows to WhatsApp messages, acks and receipts, the inbound hook | a new kind of message in `messages::outbound` |
//! | [`telemetry`] | what is counted, for `/metrics` | a new figure |
//! | [`http`], [`cli`] | the faces; no logic of their own | |
//! | `fuzzing` | each decoder as a function of bytes, for fuzz targets and property tests | a new decoder |
//! | `sandbox` | the loopback WhatsApp (feature `sandbox`) | a new stanza in `sandbox::stanza` |
//!
//! Arrows point one way: faces → [`worker`] → session and messages → jobs and auth → db → config.
//!
//! # What holds everywhere
//!
//! * **Write, then tell.** An inbound message is committed before it is acknowledged; an outbound row carries its message
//!   id from the moment of insertion and every attempt uses it again.
//! * **The lease is the claim.** Only a session's holder consumes its outbound rows, and every write made for a session
//!   is valid only under the epoch that made it ([`db::fence::Fence`]), checked in the statement that writes.
//! * **Time is the database's.** Leases, backoff and expiry compare with `now()` in Postgres.
//! * **Wake-ups carry no data.** A lost or doubled NOTIFY costs time, never a message.
#![recursion_limit = "512"]

pub mod auth;
pub mod cli;
pub mod config;
pub mod db;
#[cfg(any(test, feature = "sandbox"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod jobs;
mod message;
pub mod messages;
pub mod session;
pub mod telemetry;
pub mod worker;
