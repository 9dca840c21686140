//! `wagres-bench webhook`: deliveries a second to a receiver on this machine that answers at once, beside the rate of the
//! receiver itself; and what a million deliveries that wait for a dead receiver cost the others.
//!
//! The worker is the real one. The deliveries are in the table before it starts; the rate is from its start until all
//! are recorded. The bare rate is that of as many requests of the same size over as many connections, without a
//! signature, a database or an HTTP library. Everything shares the machine's processors.

use super::engine::{self, Engine, Lanes, count};
use super::figure::{self, Better, Figure, median};
use super::server::{self, Database, Server, ServerArgs};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wagres::config::Config;
use wagres::worker::Handler;

/// Deliveries a second to reach on two cores (H5).
const WANTED: f64 = 2000.0;
/// Least ratio with a million waiting to none.
const BUDGET: f64 = 0.9;
/// Connections of the bare rate, as many as a worker has to one receiver.
const CONNECTIONS: u64 = 32;
/// Bytes of a request, about as many as those of a short message.
const REQUEST: usize = 900;
/// Messages of one insert, and inserts of one measurement.
const MESSAGES: (i32, u32) = (20, 300);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Deliveries of each measurement
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    deliveries: u32,
    /// Deliveries that wait for a dead receiver
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    waiting: u32,
    /// Measurements of each side, in turn; the medians are compared
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, config: &Config, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut config = config.clone();
    config.webhook.private_networks = true;
    let figures = server::with(&args.server, given, async |server| measure(server, &args, &config).await).await?;
    figure::print(&figures, json)
}

async fn measure(server: &Server, args: &Args, config: &Config) -> anyhow::Result<Vec<Figure>> {
    let database = server.database().await?;
    engine::prepare(&database, Lanes { sessions: 1, chats: 1 }).await?;
    receive(&database, args.deliveries).await?;
    let address = receiver().await?;
    // Nobody listens there.
    let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    for (name, address) in [("live", address), ("dead", dead)] {
        let add = sqlx::query("SELECT wa.add_webhook($1, $2)").bind(name).bind(format!("http://{address}/"));
        add.execute(&database.pool).await?;
    }
    let (mut bare, mut ours, mut beside) = (vec![], vec![], vec![]);
    let (mut store, mut store_beside) = (vec![], vec![]);
    for _ in 0..args.rounds {
        bare.push(bare_rate(address, u64::from(args.deliveries)).await?);
        ours.push(deliver(&database, config, args.deliveries).await?);
        store.push(storing(&database).await?);
    }
    fill(&database, "dead", args.waiting).await?;
    for _ in 0..args.rounds {
        beside.push(deliver(&database, config, args.deliveries).await?);
        store_beside.push(storing(&database).await?);
    }
    let (bare, ours, beside) = (median(bare), median(ours), median(beside));
    let (store, store_beside) = (median(store), median(store_beside));
    let waiting = format!("with {} waiting for a dead one", args.waiting);
    Ok(vec![
        Figure::new("H5", "deliveries", ours, "deliveries/s")
            .beside("what is wanted", WANTED, Better::More)
            .budget(1.0),
        Figure::new("H5", "deliveries", ours, "deliveries/s").beside("the receiver's bare rate", bare, Better::More),
        Figure::new("H5", format!("deliveries {waiting}"), beside, "deliveries/s")
            .beside("none waiting", ours, Better::More)
            .budget(BUDGET),
        Figure::new("H5", format!("storing a message {waiting}"), store_beside, "ms on the server")
            .beside("none waiting", store, Better::Less)
            .budget(BUDGET),
    ])
}

/// So many messages in a thousand chats are in the inbox.
async fn receive(database: &Database, many: u32) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, push_name, message) \
         SELECT s.name, s.session_id, chat, chat, '3EB0' || n, 'text', 'Hello, is the shop open on Sunday?', false, now(), 'Anna', \
                jsonb_build_object('conversation', 'Hello, is the shop open on Sunday?') \
         FROM (SELECT * FROM wa.session LIMIT 1) s, generate_series(1, $1) n, LATERAL (SELECT '1555' || n % 1000 || '@s.whatsapp.net' AS chat) c ORDER BY n",
    )
    .bind(i64::from(many))
    .execute(&database.pool)
    .await?;
    Ok(())
}

/// Deliveries of the messages of [`receive`], in the order in which they happened, again and again until there are so many.
async fn fill(database: &Database, webhook: &str, many: u32) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at) \
         SELECT w.webhook_id, 'bench_' || gen_random_uuid(), 'message.received', 'inbox', i.id, i.session_id, i.chat, now() \
         FROM wa.webhook w, generate_series(0, $2 - 1) n \
         JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM wa.inbox WHERE push_name = 'Anna') i ON i.place = n % (SELECT count(*) FROM wa.inbox WHERE push_name = 'Anna') \
         WHERE w.name = $1 ORDER BY n",
    )
    .bind(webhook)
    .bind(i64::from(many))
    .execute(&database.pool)
    .await?;
    database.settle().await
}

/// Deliveries a second of a worker that starts now.
async fn deliver(database: &Database, config: &Config, many: u32) -> anyhow::Result<f64> {
    fill(database, "live", many).await?;
    let began = Instant::now();
    let engine = Engine::start(database, config, Handler::new(|_| std::future::ready(Ok(())))).await?;
    let left = "SELECT EXISTS (SELECT FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) WHERE w.name = 'live' AND d.status = 'queued')";
    while sqlx::query_scalar::<_, bool>(left).fetch_one(&database.pool).await? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = f64::from(many) / began.elapsed().as_secs_f64();
    engine.stop().await?;
    Ok(rate)
}

/// Milliseconds that the server takes to store a message, with deliveries of it for both webhooks.
async fn storing(database: &Database) -> anyhow::Result<f64> {
    let (messages, inserts) = MESSAGES;
    let store = "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message) \
                 SELECT s.name, s.session_id, '1555' || n, '1555' || n, gen_random_uuid()::text, 'text', 'Hello', false, now(), '{}' \
                 FROM (SELECT * FROM wa.session LIMIT 1) s, generate_series(1, $1) n";
    let mut times = vec![];
    for _ in 0..inserts {
        let began = Instant::now();
        sqlx::query(store).bind(messages).execute(&database.pool).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0 / f64::from(messages));
    }
    // The next measurement has a queue of its own.
    sqlx::query("DELETE FROM wa.delivery WHERE event_id LIKE 'msg\\_%'").execute(&database.pool).await?;
    database.settle().await?;
    Ok(median(times))
}

/// Requests a second that the receiver answers.
async fn bare_rate(address: SocketAddr, many: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let clients = (0..CONNECTIONS).map(|_| tokio::spawn(post(address, many / CONNECTIONS)));
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    Ok(count(many / CONNECTIONS * CONNECTIONS) / began.elapsed().as_secs_f64())
}

async fn post(address: SocketAddr, many: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!("POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", REQUEST - 100);
    let request = [head.as_bytes(), &vec![b' '; REQUEST - 100]].concat();
    let mut answer = [0; 256];
    for _ in 0..many {
        stream.write_all(&request).await?;
        anyhow::ensure!(stream.read(&mut answer).await? > 0, "the receiver has gone");
    }
    Ok(())
}

/// A receiver that answers each request at once.
async fn receiver() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(answer(stream).await) });
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut read, mut part) = (vec![], vec![0; 16 << 10]);
    loop {
        let end = loop {
            if let Some(end) = end_of_request(&read)? {
                break end;
            }
            let many = stream.read(&mut part).await?;
            if many == 0 {
                return Ok(());
            }
            read.extend_from_slice(&part[..many]);
        };
        read.drain(..end);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}

/// Where the first request ends, once it is there.
fn end_of_request(read: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = read.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(None) };
    let lines = std::str::from_utf8(&read[..head])?.to_ascii_lowercase();
    let length = lines.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    let end = head + 4 + length.parse::<usize>()?;
    Ok((read.len() >= end).then_some(end))
}
