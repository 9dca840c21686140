//! LISTEN on a connection of its own, always drained, reconnecting with backoff.
//!
//! A notification may be lost or doubled, and every role of the database may send and hear any, so it means no more than
//! "look again", and where, and carries ids alone. Each reconnect means "look everywhere", because notifications sent
//! meanwhile were lost.

use super::backoff::Backoff;
use super::{DbError, options};
use crate::config::Secret;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Listens on `channels` until `stop`. Calls `wake` with the payload of each notification, and with `None` after each
/// connect and reconnect.
pub async fn wake_on(url: Secret, channels: &[String], wake: impl Fn(Option<&str>), stop: CancellationToken) {
    let wake = |heard: Option<&PgNotification>| wake(heard.map(PgNotification::payload));
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    keep_listening(&url, &channels, wake, stop).await;
}

/// The same on several channels; calls `wake` with the channel of each notification.
pub async fn wake_on_all(url: Secret, channels: &[&'static str], wake: impl Fn(Option<&str>), stop: CancellationToken) {
    let wake = |heard: Option<&PgNotification>| wake(heard.map(PgNotification::channel));
    keep_listening(&url, channels, wake, stop).await;
}

async fn keep_listening(
    url: &Secret,
    channels: &[&str],
    wake: impl Fn(Option<&PgNotification>),
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = listen(url, channels, &wake, &mut backoff) => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(?channels, %error, "listener connection lost; polling until it is back");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = backoff.sleep() => {}
        }
    }
}

async fn listen(
    url: &Secret,
    channels: &[&str],
    wake: &impl Fn(Option<&PgNotification>),
    backoff: &mut Backoff,
) -> Result<(), DbError> {
    let mut listener = connect(url, channels).await?;
    backoff.reset();
    wake(None);
    while let Some(notification) = listener.try_recv().await? {
        wake(Some(&notification));
    }
    Ok(())
}

/// A listener on `channels` with a connection of its own.
pub async fn connect(url: &Secret, channels: &[&str]) -> Result<PgListener, DbError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options(url, "wagres listener")?)
        .await
        .map_err(DbError::Connect)?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.listen_all(channels.iter().copied()).await?;
    Ok(listener)
}
