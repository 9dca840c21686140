//! Messages of every kind, out and in.

mod kinds;
