//! What comes down while messages are on their way (workers, Postgres, connections), what would grow with them, and what must
//! hold afterwards (R1, R2, R3, R6).

mod growth;
mod load;
mod postgres;
mod workers;
