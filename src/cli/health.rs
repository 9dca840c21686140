//! `wagres health`: asks a process of this machine over HTTP, as a supervisor does. So an image needs no other program for
//! its health check.

use super::print;
use crate::config::Config;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Ask only whether the process lives, which a worker does also while it waits for the database
    #[arg(long)]
    live: bool,
    /// Address to ask [default: http of the configuration]
    #[arg(long, value_name = "ADDR")]
    at: Option<SocketAddr>,
}

pub(super) async fn run(config: &Config, args: &HealthArgs, json: bool) -> anyhow::Result<()> {
    let address = reached(args.at.unwrap_or(config.http));
    let path = if args.live { "/livez" } else { "/health" };
    let answer = tokio::time::timeout(LIMIT, ask(address, path)).await;
    let answer = answer.with_context(|| format!("{address} does not answer within {} s", LIMIT.as_secs()))?;
    let answer = answer.with_context(|| format!("{address} does not answer"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer in HTTP")?;
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let status = if args.live { "alive" } else { body["status"].as_str().unwrap_or("unknown") };
    if head.split(' ').nth(1) != Some("200") {
        bail!("not ready: {status}");
    }
    print(json, &json!({ "status": status }), status);
    Ok(())
}

/// Where a process of this machine that listens on `address` is reached.
fn reached(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(it) if it.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(it) if it.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer ends with the connection, and is not in chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
