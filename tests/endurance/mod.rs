//! What comes down while messages are on their way (Postgres, connections), and what must hold afterwards (R2, R3).

mod load;
mod postgres;
