//! Onboarding from the partner's marketplace (H6), against a partner of the tests' own.

mod calls;
mod docs;
mod hooks;
mod journey;
mod killed;
mod partner;
mod routes;
mod stage;
