//! The task of a worker that makes calls to the partner.

use super::api::{Api, Callback, Failure, Profile};
use super::schedule;
use crate::auth::{Vault, partner_key};
use crate::config::MarketplaceConfig;
use crate::db::Db;
use crate::db::backoff::{Backoff, spread};
use crate::jobs::bells::Bells;
use crate::telemetry;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How much longer than a request its claim lasts: for the writes around it.
const BESIDE: Duration = Duration::from_secs(15);

/// The text of a test message.
const TEST: &str = "WhatsApp is connected.";

/// The calls of one worker. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Partner {
    /// Where the tables are.
    pub db: Db,
    /// The worker.
    pub worker_id: Uuid,
    /// Opens API keys.
    pub vault: Arc<Vault>,
    /// What the partner is told, and how fast.
    pub config: MarketplaceConfig,
    /// `web.url` of the configuration.
    pub web_url: Option<String>,
    /// [`Bells::partner`] wakes it.
    pub bells: Bells,
    /// The interval of the poll.
    pub poll: Duration,
    /// How long a stop waits for requests that are under way.
    pub grace: Duration,
}

/// A claimed row of `wa.partner_call`.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "as the columns")]
struct Call {
    call_id: i64,
    company_id: i64,
    salon_id: i64,
    kind: String,
    claim: Uuid,
    attempts: i32,
    api_key: Option<Value>,
}

impl Partner {
    /// Makes calls until `stop`; then what is under way has ended, or `grace` is over. Does nothing without a token of the
    /// partner: then another worker makes them.
    pub async fn run(self, stop: CancellationToken) {
        if self.config.partner_token.is_none() {
            return;
        }
        let api = match Api::new(&self.config) {
            Ok(api) => api,
            Err(error) => {
                tracing::error!(%error, "this worker makes no calls to the partner");
                return;
            }
        };
        let most = usize::try_from(self.config.partner_concurrency).unwrap_or(usize::MAX);
        let mut tasks = JoinSet::new();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "call to the partner panicked; it is made again when its claim is over");
                    }
                }
                () = self.bells.partner.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            next = Instant::now() + spread(self.poll);
            if let Err(error) = self.test().await {
                tracing::warn!(%error, "test messages of companies not queued; retrying");
            }
            match self.claim(most.saturating_sub(tasks.len())).await {
                Ok(calls) => {
                    backoff.reset();
                    for call in calls {
                        let (own, api) = (self.clone(), api.clone());
                        tasks.spawn(async move { own.make(&api, call).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "calls to the partner not looked at; retrying");
                    stop.run_until_cancelled(backoff.sleep()).await;
                }
            }
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.grace, all).await.is_err() {
            tracing::warn!("calls to the partner still under way; another worker makes them again");
        }
        tasks.shutdown().await;
    }

    /// Queues test messages of companies whose phones were linked.
    async fn test(&self) -> sqlx::Result<()> {
        let Some(phone) = &self.config.test_phone else { return Ok(()) };
        let tested = sqlx::query_file_scalar!("sql/partner/test.sql", phone, TEST).fetch_one(&self.db).await?;
        if tested > 0 {
            tracing::info!(tested, "test messages of companies queued");
        }
        Ok(())
    }

    async fn claim(&self, most: usize) -> sqlx::Result<Vec<Call>> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        if most == 0 {
            return Ok(vec![]);
        }
        let (pace, at_once) = (count(self.config.partner_requests_per_minute), count(self.config.partner_concurrency));
        let lease = (self.config.partner_timeout() + BESIDE).as_secs_f64();
        sqlx::query_file_as!(Call, "sql/partner/claim.sql", self.worker_id, most, pace, at_once, lease)
            .fetch_all(&self.db)
            .await
    }

    /// Makes a call, and writes what came of it.
    async fn make(&self, api: &Api, call: Call) {
        let begun = Instant::now();
        let asked = self.ask(api, &call).await;
        let done = match &asked {
            // The request was not made.
            Err(failure) if failure.code.is_none() && !failure.passes => None,
            Err(failure) => Some(failure.passes),
            Ok(_) => Some(false),
        };
        if let Some(failed) = done {
            telemetry::partner_request(if failed { "failed" } else { "answered" }, begun.elapsed());
        }
        let failed = u32::try_from(call.attempts).unwrap_or_default() + 1;
        let (outcome, pause, profile, failure) = match asked {
            Ok(profile) => ("done", None, profile, None),
            Err(failure) => {
                let pause = schedule::pause(failed, failure.wanted_pause).filter(|_| failure.passes);
                (if pause.is_some() { "retry" } else { "failed" }, pause, Profile::default(), Some(failure))
            }
        };
        if let Some(failure) = &failure {
            let (company, kind, error) = (call.company_id, &call.kind, &failure.error);
            tracing::warn!(company, kind, error, attempt = failed, outcome, "call to the partner failed");
        }
        let code = failure.as_ref().and_then(|failure| failure.code).map(i32::from);
        let (error, said) = failure.map_or((None, None), |failure| (Some(failure.error), failure.said));
        let until = begun + self.config.partner_timeout() + BESIDE;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        while Instant::now() < until {
            let record = sqlx::query_file_scalar!(
                "sql/partner/record.sql",
                call.call_id,
                call.claim,
                outcome,
                code,
                error.as_deref(),
                said.as_deref(),
                pause.map(|pause| pause.as_secs_f64()),
                profile.name.as_deref(),
                profile.business_type.as_deref(),
                done,
                f64::from(self.config.partner_rest_seconds)
            );
            match record.fetch_one(&self.db).await {
                Ok(held) => {
                    if !held {
                        tracing::info!(
                            call = call.call_id,
                            "outcome of a call to the partner discarded: it was taken back"
                        );
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, call = call.call_id, "outcome of a call to the partner not written; retrying");
                    backoff.sleep().await;
                }
            }
        }
    }

    async fn ask(&self, api: &Api, call: &Call) -> Result<Profile, Failure> {
        if call.kind == "profile" {
            return api.profile(call.salon_id).await;
        }
        let cannot = |error: String| Failure { code: None, error, said: None, passes: false, wanted_pause: None };
        let Some(application_id) = self.config.application_id else {
            return Err(cannot("marketplace.application_id: missing in the configuration of the worker".into()));
        };
        let stored = call.api_key.as_ref().ok_or_else(|| cannot("the API key is gone".into()))?;
        let api_key = partner_key(&self.db, &self.vault, call.call_id, stored).await;
        let api_key = api_key.map_err(|error| cannot(error.to_string()))?;
        let webhook_url = self.webhook_url().await.map_err(|error| cannot(error.to_string()))?;
        let webhook_url = webhook_url.ok_or_else(|| {
            cannot("marketplace.base_url: missing, and no web process has registered its address".to_owned())
        })?;
        let callback =
            Callback { salon_id: call.salon_id, application_id, api_key: &api_key, webhook_url: &webhook_url };
        api.callback(&callback).await.map(|_| Profile::default())
    }

    /// Where the partner tells what happens to companies.
    async fn webhook_url(&self) -> sqlx::Result<Option<String>> {
        let own = match self.config.own_url(self.web_url.as_deref()) {
            Some(url) => Some(url),
            None => sqlx::query_file_scalar!("sql/partner/own_url.sql").fetch_optional(&self.db).await?,
        };
        Ok(own.map(|url| format!("{url}/webhook/yclients")))
    }
}
