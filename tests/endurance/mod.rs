//! What comes down while messages are on their way (workers, Postgres, connections), and what must hold afterwards (R1, R2,
//! R3).

mod load;
mod postgres;
mod workers;
