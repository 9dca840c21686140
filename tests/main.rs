//! All tests in one binary, because linking takes most of the time.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look into the database and play clocks and chance by hand"
)]
// The futures of the client library's app-state calls nest deeper than the compiler's default limit.
#![recursion_limit = "512"]

mod auth;
#[cfg(feature = "sandbox")]
mod baileys;
#[cfg(feature = "sandbox")]
mod book;
#[cfg(feature = "sandbox")]
mod cli;
#[cfg(feature = "sandbox")]
mod commands;
#[cfg(feature = "sandbox")]
mod completions;
mod configuration;
#[cfg(feature = "sandbox")]
mod conformance;
#[cfg(feature = "sandbox")]
mod control;
#[cfg(feature = "sandbox")]
mod deploy;
#[cfg(feature = "sandbox")]
mod endurance;
#[cfg(feature = "sandbox")]
mod examples;
#[cfg(feature = "sandbox")]
mod exits;
#[cfg(feature = "sandbox")]
mod fuzzing;
mod growth;
mod help;
#[cfg(feature = "sandbox")]
mod hostile;
mod isolation;
mod jobs;
mod lowered_rights;
#[cfg(feature = "sandbox")]
mod marketplace;
#[cfg(feature = "sandbox")]
mod messages;
mod migrations;
mod names;
#[cfg(feature = "sandbox")]
mod notifications;
mod numbers;
mod one_statement;
#[cfg(feature = "sandbox")]
mod open_transactions;
#[cfg(feature = "sandbox")]
mod operators;
mod phones;
#[cfg(feature = "sandbox")]
mod pooler;
#[cfg(feature = "sandbox")]
mod promises;
mod refusals;
mod roles;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schedules;
#[cfg(feature = "sandbox")]
mod sessions;
#[cfg(feature = "sandbox")]
mod socketio;
#[cfg(feature = "sandbox")]
mod story;
mod structure;
mod support;
#[cfg(feature = "sandbox")]
mod terminal;
#[cfg(feature = "sandbox")]
mod web;
#[cfg(feature = "sandbox")]
mod web_rights;
mod webhooks;
#[cfg(feature = "sandbox")]
mod why;
