//! Messages both ways over many lanes while a test does its worst, and what must hold of them in the end.

use crate::support::until::until;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// So many messages may wait to be sent; the next come when there are fewer.
const BACKLOG: i64 = 40;

/// Linked sessions, and phones that they write to and hear from.
pub(super) struct Load<'a> {
    world: &'a World,
    sessions: Vec<String>,
    contacts: Vec<String>,
}

/// Links so many sessions over the workers that run, keeps messages coming between each of them and each contact while
/// `events` happen, and then looks at every message.
pub(super) async fn under_load(
    world: &World,
    sessions: usize,
    contacts: usize,
    events: impl AsyncFnOnce(&Load<'_>) -> Result<()>,
) -> Result<()> {
    let sessions: Vec<String> = (1..=sessions).map(|n| format!("s{n}")).collect();
    let contacts: Vec<String> = (1..=contacts).map(|n| format!("15551{n:03}")).collect();
    let link = async |session: &String| world.link(session, &number(session)).await;
    // A few at a time: each has to be done within a test's patience.
    for some in sessions.chunks(16) {
        futures::future::try_join_all(some.iter().map(link)).await?;
    }
    for contact in &contacts {
        world.phone(contact).await?;
    }
    let load = Load { world, sessions, contacts };
    let over = CancellationToken::new();
    let happening = async {
        let happened = events(&load).await;
        over.cancel();
        happened
    };
    let (rounds, ()) = tokio::try_join!(load.fill(&over), happening)?;
    load.has_arrived(rounds).await
}

impl Load<'_> {
    /// Waits until so many more messages are sent, and as many have come in.
    pub(super) async fn goes_on(&self, count: i64) -> Result<()> {
        let done = "SELECT least((SELECT count(*) FROM wa.outbound WHERE sent_at IS NOT NULL), (SELECT count(*) FROM wa.inbox))";
        let before = self.world.count(done).await?;
        self.world.holds(&format!("SELECT ({done}) >= {}", before + count)).await
    }

    /// Waits until all that came is where it belongs, and looks at every one of them.
    async fn has_arrived(&self, rounds: usize) -> Result<()> {
        let world = self.world;
        let all = self.sessions.len() * self.contacts.len() * rounds;
        world.holds("SELECT NOT EXISTS (SELECT FROM wa.outbound WHERE live)").await?;
        world.holds(&format!("SELECT count(*) >= {all} FROM wa.inbox")).await?;
        let verdict = world
            .control
            .until("/verdict?limit=10000", |it| (it["counts"]["pending"] == 0).then(|| it.clone()))
            .await?;
        for bad in ["lost", "unlinked", "key_reuse", "repeated_text"] {
            ensure!(verdict["counts"][bad] == 0, "{bad}: {verdict:#}");
        }
        // A worker that died between sending and recording gives the same id again, and that is one message to those who
        // know messages by it (Q7); nothing else may come twice.
        let twice = verdict["shown_twice"].as_array().context("shown_twice")?;
        ensure!(twice.iter().all(|it| it["given"].as_u64() > Some(1)), "{verdict:#}");
        ensure!(verdict["range"]["forgotten"] == 0, "{}", verdict["range"]);

        let sent =
            format!("SELECT count(*) = {all} AND bool_and(sent_at IS NOT NULL AND failed_at IS NULL) FROM wa.outbound");
        ensure!(world.until::<bool>(&sent).await?, "not all are sent");
        let rows = world.count("SELECT count(*) FROM wa.inbox").await?;
        ensure!(usize::try_from(rows)? == all, "{rows} rows of {all} received messages");
        for session in &self.sessions {
            let own = world.control.get(&format!("/verdict?sender={}:1", number(session))).await?;
            ensure!(own["counts"]["out_of_order"] == 0, "{own:#}");
        }
        for contact in &self.contacts {
            let seen = world.seen_by(contact).await?;
            for session in &self.sessions {
                let expected: Vec<String> = (1..=rounds).map(|n| outward(session, n)).collect();
                let of_session: Vec<_> = seen.iter().filter(|text| text.starts_with(&format!("{session} "))).collect();
                ensure!(of_session.iter().copied().eq(&expected), "{contact} sees {of_session:?}");
                let received = "SELECT array_agg(body) FROM wa.inbox WHERE session = $1 AND chat = $2";
                let mut received: Vec<String> = sqlx::query_scalar(received)
                    .bind(session)
                    .bind(format!("{contact}@s.whatsapp.net"))
                    .fetch_one(world.pool())
                    .await?;
                let mut expected: Vec<String> = (1..=rounds).map(|n| inward(contact, n)).collect();
                received.sort_unstable();
                expected.sort_unstable();
                ensure!(received == expected, "{session} has of {contact} {received:?}");
            }
        }
        Ok(())
    }

    /// One message of each lane each way, again and again. Returns how often.
    async fn fill(&self, over: &CancellationToken) -> Result<usize> {
        let mut rounds = 0;
        while !over.is_cancelled() {
            rounds += 1;
            self.insert(rounds).await?;
            for contact in &self.contacts {
                for session in &self.sessions {
                    let message = json!({ "to": number(session), "text": inward(contact, rounds) });
                    self.world.control.post(&format!("/phones/{contact}/send"), message).await?;
                }
            }
            let waiting = "SELECT count(*) FROM wa.outbound WHERE live";
            self.patiently("room for more", async || Ok(self.world.count(waiting).await? < BACKLOG)).await?;
        }
        Ok(rounds)
    }

    /// As an application does that may lose its connection and not know whether its transaction was committed.
    async fn insert(&self, round: usize) -> Result<()> {
        let insert = "INSERT INTO wa.outbound (session, recipient, body, dedupe_key)
                      SELECT s, c, s || ' says ' || $3::text, concat_ws(' ', c, $3::text) FROM unnest($1) s, unnest($2) c
                      ON CONFLICT (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING";
        self.patiently("an insert", async || {
            let inserted = sqlx::query(insert).bind(&self.sessions).bind(&self.contacts).bind(round.to_string());
            inserted.execute(self.world.pool()).await?;
            Ok(true)
        })
        .await
    }

    /// Waits also while the database does not answer.
    async fn patiently(&self, what: &str, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
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

/// The phone number of the session with that number.
pub(super) fn number_of(session: usize) -> String {
    number(&format!("s{session}"))
}

fn outward(session: &str, round: usize) -> String {
    format!("{session} says {round}")
}

fn inward(contact: &str, round: usize) -> String {
    format!("{contact} says {round}")
}
