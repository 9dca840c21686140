//! A model of the protocol of leases, claims, outcomes and the doorbell, which a checker visits state by state (R12).

pub mod cases;
pub mod check;
pub mod doorbell;
pub mod guards;
pub mod protocol;
