//! Onboarding from the partner's marketplace (H6), against a partner of the tests' own.

mod calls;
mod codes;
mod docs;
mod hooks;
mod journey;
mod killed;
mod limits;
mod partner;
mod routes;
pub(crate) mod stage;
