//! A TCP relay between a worker and its database. A test can stall it without either end noticing, or cut a connection
//! between a commit and its answer. It counts statements.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::until::until;
use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    /// The database's URL through the relay.
    pub(crate) url: String,
    open: Arc<watch::Sender<bool>>,
    /// The text of the statement whose next answer with a row is to be lost.
    cut: Arc<Mutex<Option<&'static str>>>,
    statements: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub(crate) async fn to(database_url: &str) -> Result<Self> {
        let mut url = url::Url::parse(database_url)?;
        let target = (url.host_str().context("no host")?.to_owned(), url.port().context("no port")?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        url.set_ip_host(address.ip()).ok().context("the host cannot be set")?;
        url.set_port(Some(address.port())).ok().context("the port cannot be set")?;
        let (open, cut) = (Arc::new(watch::Sender::new(true)), Arc::<Mutex<Option<&'static str>>>::default());
        let (state, marked) = (open.clone(), cut.clone());
        let statements = Arc::<AtomicU64>::default();
        let count = statements.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let asked = Arc::<Mutex<Asked>>::default();
                tokio::spawn(carry(near_in, far_out, state.subscribe(), ask(asked.clone(), count.clone())));
                tokio::spawn(carry(far_in, near_out, state.subscribe(), answer(asked, marked.clone())));
            }
        });
        Ok(Self { url: url.into(), open, cut, statements, task })
    }

    /// How many statements have passed.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Holds all bytes from now on.
    pub(crate) fn stall(&self) {
        self.open.send_replace(false);
    }

    /// Passes the held bytes on, and all that follow.
    pub(crate) fn resume(&self) {
        self.open.send_replace(true);
    }

    /// The next time that a prepared statement with `text` returns a row, and so is committed, its connection is cut
    /// instead.
    pub(crate) fn lose_answer_to(&self, text: &'static str) {
        *lock(&self.cut) = Some(text);
    }

    /// Waits until that has happened.
    pub(crate) async fn answer_is_lost(&self) -> Result<()> {
        until("the loss of an answer", async || Ok(if lock(&self.cut).is_none() { Ok(()) } else { Err("no") })).await
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries bytes until `passes` says no.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
    mut passes: impl FnMut(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        if !passes(bytes) || open.wait_for(|open| *open).await.is_err() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// What the near end of a connection has asked for.
#[derive(Default)]
struct Asked {
    /// Bytes of messages that are not complete yet.
    rest: Vec<u8>,
    /// The messages before the first login have no type.
    started: bool,
    /// The texts of prepared statements, by name.
    texts: HashMap<String, String>,
    /// The text of the statement that runs.
    running: Option<String>,
    /// The first bytes of its answer.
    answer: Vec<u8>,
}

/// Reads the messages of the near end: Parse (P) prepares a statement, and Bind (B) runs it, or Query (Q) does both.
fn ask(asked: Arc<Mutex<Asked>>, statements: Arc<AtomicU64>) -> impl FnMut(&[u8]) -> bool {
    move |bytes| {
        let mut asked = lock(&asked);
        asked.rest.extend_from_slice(bytes);
        loop {
            let head = usize::from(asked.started);
            let Some(length) = asked.rest.get(head..head + 4) else { return true };
            let length = length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
            if asked.rest.len() < head + length {
                return true;
            }
            let message: Vec<u8> = asked.rest.drain(..head + length).collect();
            if !asked.started {
                // A request for TLS, which has eight bytes, comes before the login.
                asked.started = message.len() > 8;
                continue;
            }
            if matches!(message[0], b'B' | b'Q') {
                statements.fetch_add(1, Ordering::Relaxed);
            }
            let mut words =
                message[5..].split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            match (message[0], words.next(), words.next()) {
                (b'P', Some(name), Some(text)) => {
                    asked.texts.insert(name, text);
                }
                (b'B', _, Some(name)) => {
                    asked.running = asked.texts.get(&name).cloned();
                    asked.answer.clear();
                }
                _ => {}
            }
        }
    }
}

/// Looks for the answer to lose: after `BindComplete` (2), which has five bytes, comes a row (D).
fn answer(asked: Arc<Mutex<Asked>>, cut: Arc<Mutex<Option<&'static str>>>) -> impl FnMut(&[u8]) -> bool {
    move |bytes| {
        let mut asked = lock(&asked);
        let mut cut = lock(&cut);
        let is_marked = cut.is_some_and(|marked| asked.running.as_ref().is_some_and(|text| text.contains(marked)));
        if !is_marked {
            return true;
        }
        asked.answer.extend_from_slice(bytes);
        let lost = asked.answer.first() == Some(&b'2') && asked.answer.get(5) == Some(&b'D');
        if lost {
            *cut = None;
        }
        !lost
    }
}
