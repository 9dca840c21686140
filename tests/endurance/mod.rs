//! Workers, Postgres and connections fail under load, and rows and memory must not grow (R1, R2, R3, R6).

mod connections;
mod growth;
mod load;
mod postgres;
mod workers;
