//! The screens of the dashboard. A new one: a file here with a `SCREEN` and its `ACTS`, a line in each of the two lists
//! below, and a section in `words/`.

mod campaigns;
mod consumers;
mod delivery;
mod failures;
mod fleet;
mod inbox;
mod live;
mod maintenance;
mod message;
mod queue;
mod risk;
mod schedules;
mod session;
mod shared;
mod span;
mod webhooks;
mod workers;

use super::acts::Act;
use super::error::WebError;
use super::look::Screen;
use super::request::Place;

/// All screens, in the order of the navigation.
pub(super) const ALL: &[Screen] = &[
    fleet::SCREEN,
    risk::SCREEN,
    session::SCREEN,
    queue::SCREEN,
    message::SCREEN,
    failures::SCREEN,
    delivery::SCREEN,
    campaigns::SCREEN,
    inbox::SCREEN,
    consumers::SCREEN,
    webhooks::SCREEN,
    schedules::SCREEN,
    maintenance::SCREEN,
    workers::SCREEN,
    live::SCREEN,
];

/// What pages can do.
pub(super) fn acts() -> impl Iterator<Item = &'static Act> {
    [
        shared::ACTS,
        fleet::ACTS,
        fleet::PICKS,
        session::ACTS,
        risk::ACTS,
        queue::ACTS,
        failures::ACTS,
        campaigns::ACTS,
        inbox::ACTS,
        consumers::ACTS,
        webhooks::ACTS,
        schedules::ACTS,
        maintenance::ACTS,
        workers::ACTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The act that returns the number of a message.
pub(super) const SENDS: &str = shared::SEND.name;

/// The screen of a place.
///
/// # Errors
/// [`WebError::NotFound`].
pub(super) fn of(place: &Place) -> Result<&'static Screen, WebError> {
    ALL.iter().find(|screen| screen.name == place.screen).ok_or(WebError::NotFound)
}
