//! The worker: wires lease, dispatcher, apalis workers and sessions together, and ends them in order.
//!
//! * `life`: one life of a worker, which is one row of `wa.worker`. After a lost lease the same process starts the next
//!   life under a fresh id.
//! * `handlers`: the apalis workers over the three job tables.
//! * `bells`: rings the bells that wake the loops. `tasks`: names and joins every task of a life.
//! * `series`: which counters exist from the start.
//! * `stop`: how messages and sessions leave a worker in order.
//! * [`window`](Window): what a running worker shows to the outside.

mod bells;
mod handlers;
mod life;
mod series;
mod stop;
mod tasks;
mod window;

use crate::auth::sealing::SealingError;
use crate::auth::{Vault, VaultError};
use crate::config::{Config, Secret};
use crate::db::DbError;
use crate::db::backoff::Backoff;
use crate::jobs::Ready;
use crate::jobs::numbers::Numbers;
use crate::messages::media::Media;
use crate::messages::media::store::StoreError;
use crate::session::endpoint::{CERTIFICATE_CHECK_IS_OFF, Endpoint, EndpointError};
use crate::session::witness::Witness;
use life::Life;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use window::{Beat, View};

pub use handlers::Handler;
pub use window::{Phase, Window};

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No database is configured.
    #[error("database_url: missing; accepted is postgres://user:password@host:port/database")]
    NoDatabase,
    /// This build may not talk to that server.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The keys of the auth state's encryption are not available.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The auth state of the database is sealed, and this worker has no key for it.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The media store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A worker that has not started yet.
pub struct Worker {
    config: Config,
    url: Secret,
    endpoint: Endpoint,
    media: Media,
    ready: Ready,
    phase: watch::Sender<Phase>,
    view: View,
    beat: Beat,
    handler_override: Option<Handler>,
    witness: Arc<Witness>,
    /// Counts that are not written yet; they outlive a lost lease.
    numbers: Numbers,
}

impl Worker {
    /// Checks everything that needs no network.
    ///
    /// # Errors
    /// No database URL, a WhatsApp server that this build must not talk to, or an unusable media store.
    pub fn new(config: Config) -> Result<Self, WorkerError> {
        let url = config.database_url.clone().ok_or(WorkerError::NoDatabase)?;
        let endpoint = Endpoint::parse(&config.whatsapp_url)?;
        let media = Media::open(&config.media)?;
        let phase = watch::Sender::new(Phase::Starting);
        Ok(Self {
            config,
            url,
            endpoint,
            media,
            ready: Ready::default(),
            phase,
            view: View::default(),
            beat: Beat::default(),
            handler_override: None,
            witness: Arc::default(),
            numbers: Numbers::default(),
        })
    }

    /// Gives claimed messages to `handler` instead of sending them, to measure everything but WhatsApp. The caller
    /// takes the leases for the worker and marks the sessions in [`Window::ready`].
    #[must_use]
    pub fn with_handler(self, handler: Handler) -> Self {
        Self { handler_override: Some(handler), ..self }
    }

    /// A window into the worker, for `/health` and the like.
    #[must_use]
    pub fn window(&self) -> Window {
        let lease = Duration::from_secs(self.config.worker.lease_seconds.into());
        let (ready, phase) = (self.ready.clone(), self.phase.subscribe());
        Window { ready, phase, view: self.view.clone(), beat: self.beat.clone(), lease }
    }

    /// Works until `stop`, then drains. After the start, the worker retries through outages of the database.
    ///
    /// # Errors
    /// The database or an encryption key is not available at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        if CERTIFICATE_CHECK_IS_OFF {
            let server = self.endpoint.as_str();
            tracing::warn!(
                server,
                "sandbox build; certificates are not checked, and only loopback servers are allowed"
            );
        }
        series::begin();
        let vault = Arc::new(Vault::open(&self.config.encryption).await?);
        let mut first = true;
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        while !stop.is_cancelled() {
            match Life::begin(&self, &vault, &stop).await {
                Ok(life) => {
                    first = false;
                    backoff.reset();
                    life.run(&self, &stop).await;
                    if !stop.is_cancelled() {
                        self.phase.send_replace(Phase::Starting);
                    }
                }
                Err(error) if first => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "worker restart failed; retrying");
                    stop.run_until_cancelled(backoff.sleep()).await;
                }
            }
        }
        Ok(())
    }
}
