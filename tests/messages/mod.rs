//! Messages of every kind, outbound and inbound, and consumers of the inbox.

mod campaigns;
mod consumers;
mod delivery;
mod events;
mod files;
mod history;
mod hostile;
mod inward;
mod media_in;
mod media_out;
mod media_sources;
mod outward;
mod stage;
