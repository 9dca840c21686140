//! wagres: a WhatsApp gateway whose only interface is Postgres.
//!
//! A program inserts a row into `wa.outbound`, and the worker sends a message. A message arrives, and the worker commits a
//! row to `wa.inbox` before it acknowledges the message to WhatsApp. Workers hold the sessions: each session has one
//! holder at a time, by lease and epoch.
//!
//! # Modules and arrows
//!
//! A module imports only modules below it, and no two files import each other in a ring; `tests/structure.rs` checks both.
//!
//! ```text
//! cli                      commands; the only module that knows the sandbox
//!  └ web                   link page, dashboard; http: /livez, /health, /metrics
//!     └ worker             starts, joins and stops everything in a process
//!        └ session         leases, clients, linking, session jobs
//!           └ messages     sends, receives, files
//!              └ jobs      claims, runs and records the rows of the job tables
//!                 └ auth   credentials and Signal keys
//!                    └ message    rows ⇄ WhatsApp messages; private and pure
//!                       └ db      pool, migrations, listener, fence, hold, backoff
//!                          └ telemetry    metrics and log
//!                             └ config, net
//! ```
//!
//! # What goes where
//!
//! | place | what it holds | what goes there next |
//! | --- | --- | --- |
//! | `migrations/` | tables, types, indexes; edited in place until the first release, never after | a new table or column |
//! | `sql/schema/` | functions, triggers, views; replaced as a whole at each `migrate` | a new SQL function, a check at INSERT |
//! | `sql/<module>/` | the statements of a module, a file each, checked against the schema at compile time | a new statement |
//! | [`config`] | typed settings with their limits | a new setting |
//! | [`net`] | which addresses a worker dials because a row says so | |
//! | [`telemetry`] | metrics, the log, whose crypto error is whose | a new metric in `telemetry::DESCRIPTIONS` |
//! | [`db`] | everything about Postgres that knows no session, and the [`Hold`](db::hold::Hold) of one; the private Postgres of `wagres up` | |
//! | `message` | the content of a row and the WhatsApp message that it becomes, and back | a new kind of message in `message::content` |
//! | [`auth`] | credentials and Signal keys as JSONB, the client library's storage traits | a new kind of key |
//! | [`jobs`] | dispatcher, lanes, batched outcomes, apalis feeds, cron | a new maintenance kind in [`jobs::maintenance`] |
//! | [`messages`] | rows of `wa.outbound` to WhatsApp, acks and refusals, the inbound hook, files | a refusal in [`messages::nack`] |
//! | [`webhooks`], [`partner`] | what is posted to receivers, and asked of the marketplace's partner | |
//! | [`session`] | heartbeat and reconciler, one supervised client per session, what follows its end | a session job in [`session::jobs`], an action in `session::actions` |
//! | [`worker`] | one life of a worker: its tasks, bells, stop | a new loop in `worker::life` |
//! | [`http`], [`web`], [`cli`] | the faces; no logic of their own | a command, an endpoint, a screen in `web::screens` |
//! | `fuzzing` | each decoder as a function of bytes, for fuzz targets and property tests | a new decoder |
//!
//! Outside of this package: `ecosystem/sandbox` is the loopback WhatsApp, a crate that the feature `sandbox` pulls in;
//! `ecosystem/bench` has the benchmarks. The sandbox depends on nothing of this package.
//!
//! # What holds everywhere
//!
//! * **Write first, then tell.** An inbound message is committed before it is acknowledged. An outbound row has its message
//!   id from its insertion, and every attempt uses that id.
//! * **The lease is the claim.** Only a session's holder consumes its outbound rows. Every write for a session is valid only
//!   under the epoch that made it ([`db::fence::Fence`]); the statement that writes checks the epoch.
//! * **Time is the database's.** Leases, backoff and expiry compare with `now()` in Postgres.
//! * **Wake-ups carry no data.** A lost or repeated NOTIFY costs time, never a message.
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
pub mod net;
pub mod partner;
pub mod session;
pub mod telemetry;
pub mod web;
pub mod webhooks;
pub mod worker;
