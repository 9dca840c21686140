//! Messages of every kind, out and in, and those who read them.

mod consumers;
mod delivery;
mod inward;
mod outward;
mod stage;
