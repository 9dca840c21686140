//! H9, H10: each way of installing, run by the programs that it is for, or checked by those that know its format.

mod alerts;
mod container;
mod files;
mod kubernetes;
mod metrics;
mod package;
mod pm2;
mod systemd;
mod version;
