//! Messages in both directions over many lanes while a test causes faults, and the check of every message at the end.

use crate::support::until::until;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// New messages are inserted only while fewer than this many wait to be sent.
const BACKLOG: i64 = 40;

/// Linked sessions, and the phones that they exchange messages with.
pub(super) struct Load<'a> {
    world: &'a World,
    sessions: Vec<String>,
    contacts: Vec<String>,
}

/// Links so many sessions, keeps messages going between each session and each contact while `faults` runs, and then checks
/// every message. Workers must be running.
pub(super) async fn under_load(
    world: &World,
    sessions: usize,
    contacts: usize,
    faults: impl AsyncFnOnce(&Load<'_>) -> Result<()>,
) -> Result<()> {
    let sessions: Vec<String> = (1..=sessions).map(|n| format!("s{n}")).collect();
    let contacts: Vec<String> = (1..=contacts).map(|n| format!("15551{n:03}")).collect();
    let link = async |session: &String| world.link(session, &number(session)).await;
    // In groups, so that each link ends within the limit of a wait.
    for some in sessions.chunks(16) {
        futures::future::try_join_all(some.iter().map(link)).await?;
    }
    for contact in &contacts {
        world.phone(contact).await?;
    }
    let load = Load { world, sessions, contacts };
    let over = CancellationToken::new();
    let run_faults = async {
        let outcome = faults(&load).await;
        over.cancel();
        outcome
    };
    let (rounds, ()) = tokio::try_join!(load.keep_sending(&over), run_faults)?;
    load.check_every_message(rounds).await
}

impl Load<'_> {
    /// Waits until so many more messages are sent, and as many received.
    pub(super) async fn moves(&self, count: i64) -> Result<()> {
        let done = "SELECT least((SELECT count(*) FROM wa.outbound WHERE sent_at IS NOT NULL), (SELECT count(*) FROM wa.inbox))";
        let before = self.world.count(done).await?;
        self.world.holds(&format!("SELECT ({done}) >= {}", before + count)).await
    }

    /// Waits until all messages have arrived, and checks each of them.
    async fn check_every_message(&self, rounds: usize) -> Result<()> {
        let world = self.world;
        let all = self.sessions.len() * self.contacts.len() * rounds;
        world.holds("SELECT NOT EXISTS (SELECT FROM wa.outbound_queue)").await?;
        world.holds(&format!("SELECT count(*) >= {all} FROM wa.inbox")).await?;
        let verdict = world
            .control
            .until("/verdict?limit=10000", |it| (it["counts"]["pending"] == 0).then(|| it.clone()))
            .await?;
        for bad in ["lost", "unlinked", "key_reuse", "repeated_text"] {
            ensure!(verdict["counts"][bad] == 0, "{bad}: {verdict:#}");
        }
        // A worker that dies between sending and recording sends the same id again, which is one message for a recipient
        // that keys messages by id (Q7). Nothing else may come twice.
        let twice = verdict["shown_twice"].as_array().context("shown_twice")?;
        ensure!(twice.iter().all(|it| it["given"].as_u64() > Some(1)), "{verdict:#}");
        ensure!(verdict["range"]["forgotten"] == 0, "{}", verdict["range"]);

        let sent =
            format!("SELECT count(*) = {all} AND bool_and(sent_at IS NOT NULL AND failed_at IS NULL) FROM wa.outbound");
        ensure!(world.until::<bool>(&sent).await?, "some messages were not sent");
        let rows = world.count("SELECT count(*) FROM wa.inbox").await?;
        ensure!(usize::try_from(rows)? == all, "{rows} rows of {all} received messages");
        for session in &self.sessions {
            let own = world.control.get(&format!("/verdict?sender={}:1", number(session))).await?;
            ensure!(own["counts"]["out_of_order"] == 0, "{own:#}");
        }
        for contact in &self.contacts {
            let seen = world.seen_by(contact).await?;
            for session in &self.sessions {
                let expected: Vec<String> = (1..=rounds).map(|n| outbound_text(session, n)).collect();
                let of_session: Vec<_> = seen.iter().filter(|text| text.starts_with(&format!("{session} "))).collect();
                ensure!(of_session.iter().copied().eq(&expected), "{contact} sees {of_session:?}");
                let received = "SELECT array_agg(body) FROM wa.inbox WHERE session = $1 AND chat = $2";
                let mut received: Vec<String> = sqlx::query_scalar(received)
                    .bind(session)
                    .bind(format!("{contact}@s.whatsapp.net"))
                    .fetch_one(world.pool())
                    .await?;
                let mut expected: Vec<String> = (1..=rounds).map(|n| inbound_text(contact, n)).collect();
                received.sort_unstable();
                expected.sort_unstable();
                ensure!(received == expected, "{session} has of {contact} {received:?}");
            }
        }
        Ok(())
    }

    /// Sends one message in each lane and direction, round after round; returns the number of rounds.
    async fn keep_sending(&self, over: &CancellationToken) -> Result<usize> {
        let mut rounds = 0;
        while !over.is_cancelled() {
            rounds += 1;
            self.insert(rounds).await?;
            for contact in &self.contacts {
                for session in &self.sessions {
                    let message = json!({ "to": number(session), "text": inbound_text(contact, rounds) });
                    self.world.control.post(&format!("/phones/{contact}/send"), message).await?;
                }
            }
            let waiting = "SELECT count(*) FROM wa.outbound_queue";
            self.until_ok("room for more", async || Ok(self.world.count(waiting).await? < BACKLOG)).await?;
        }
        Ok(rounds)
    }

    /// Inserts as an application that may lose its connection without knowing whether its transaction was committed.
    async fn insert(&self, round: usize) -> Result<()> {
        let insert = "INSERT INTO wa.outbound (session, recipient, body, dedupe_key)
                      SELECT s, c, s || ' says ' || $3::text, concat_ws(' ', c, $3::text) FROM unnest($1) s, unnest($2) c
                      ON CONFLICT (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING";
        self.until_ok("an insert", async || {
            let inserted = sqlx::query(insert).bind(&self.sessions).bind(&self.contacts).bind(round.to_string());
            inserted.execute(self.world.pool()).await?;
            Ok(true)
        })
        .await
    }

    /// Waits until `look` gives true; errors of the database count as "not yet".
    async fn until_ok(&self, what: &str, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        until(what, async || {
            Ok(match look().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("not yet".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        })
        .await
    }
}

fn number(session: &str) -> String {
    format!("1555000{}", &session[1..])
}

/// The phone number of session number `session`.
pub(super) fn number_of(session: usize) -> String {
    number(&format!("s{session}"))
}

fn outbound_text(session: &str, round: usize) -> String {
    format!("{session} says {round}")
}

fn inbound_text(contact: &str, round: usize) -> String {
    format!("{contact} says {round}")
}
