//! Messages of every kind, outbound and inbound, and consumers of the inbox.

mod authors;
mod campaigns;
mod cards;
mod consumers;
mod delivery;
mod events;
mod files;
mod history;
mod hostile;
mod inward;
mod lost_answers;
mod media_in;
mod media_out;
mod media_sources;
mod order;
mod outward;
mod poison;
mod shares;
mod stage;
mod timers;
mod votes;
