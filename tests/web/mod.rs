//! The link page and the dashboard (H2, S2): over HTTP here, in a real browser in the modules.

mod acts;
mod balancers;
mod changes;
mod faults;
mod files;
mod first_steps;
mod guard;
mod linking;
mod notices;
mod picks;
mod reasons;
mod retries;
mod rows;
mod screens;
mod states;
mod streams;
mod turns;
mod webhooks;

use crate::support::browser::Browser;
use crate::support::db::TestDb;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wagres::config::{Config, Secret};
use wagres::web;

/// The pages in the test's own process.
pub(crate) struct Pages {
    pub(crate) url: String,
    host: String,
    stop: CancellationToken,
    running: web::Pages,
}

impl Pages {
    pub(crate) async fn start(db: &TestDb) -> Result<Self> {
        Self::with(db, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(db: &TestDb, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config { database_url: Some(Secret::new(&db.url)), ..Config::default() };
        config.web.listen = Some(([127, 0, 0, 1], 0).into());
        (config.web.requests_per_minute, config.web.logins_per_minute) = (1_000_000, 1_000_000);
        change(&mut config);
        let stop = CancellationToken::new();
        let running = web::serve(&config, &Secret::new(&db.url), stop.clone()).await?;
        Ok(Self { url: running.url.clone(), host: running.address.to_string(), stop, running })
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.ended().await;
    }

    /// Sends a request with these header lines and this form.
    pub(crate) async fn request(&self, line: &str, headers: &[&str], form: &str) -> Result<Answer> {
        Answer::read(&String::from_utf8_lossy(&self.exchange(line, headers, form).await?))
    }

    /// The body of a page.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.exchange(&format!("GET {path}"), &[], "").await?;
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").context("no HTTP answer")?;
        Ok(answer[head + 4..].to_owned())
    }

    async fn exchange(&self, line: &str, headers: &[&str], form: &str) -> Result<Vec<u8>> {
        let mut socket = TcpStream::connect(&self.host).await?;
        let headers = headers.iter().flat_map(|header| [*header, "\r\n"]).collect::<String>();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n{headers}\r\n{form}",
            &self.host,
            form.len()
        );
        socket.write_all(head.as_bytes()).await?;
        let mut answer = vec![];
        socket.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    /// A connection on which only this has been sent.
    pub(crate) async fn half_sent(&self, head: &str) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(&self.host).await?;
        socket.write_all(head.as_bytes()).await?;
        Ok(socket)
    }

    /// A page as a browser with this cookie gets it.
    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Result<Answer> {
        self.request(&format!("GET {path}"), &[&format!("cookie: {cookie}")], "").await
    }

    /// A form as a page of this server sends it.
    pub(crate) async fn post(&self, path: &str, cookie: &str, form: &str) -> Result<Answer> {
        let headers = [format!("cookie: {cookie}"), format!("origin: {}", self.url), "accept: application/json".into()];
        self.request(&format!("POST {path}"), &headers.each_ref().map(String::as_str), form).await
    }

    /// The cookie for a token.
    pub(crate) async fn sign_in(&self, token: &str) -> Result<String> {
        let form = format!("token={token}");
        let answer = self.request("POST /login", &[&format!("origin: {}", self.url)], &form).await?;
        ensure!(answer.status == 303, "{answer:?}");
        let cookie = answer.header("set-cookie").context("no cookie")?;
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    /// Opens a stream of events, up to its first data.
    pub(crate) async fn stream(&self, path: &str, cookie: &str, headers: &str) -> Result<Stream> {
        let mut socket = TcpStream::connect(&self.host).await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\ncookie: {cookie}\r\n{headers}\r\n",
            &self.host
        );
        socket.write_all(head.as_bytes()).await?;
        let mut stream = Stream { lines: BufReader::new(socket) };
        let status = stream.line().await?;
        ensure!(status.contains(" 200 "), "{status}");
        Ok(stream)
    }
}

/// An answer of HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.head.lines().filter_map(|line| line.split_once(": "));
        found.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A stream of server-sent events.
pub(crate) struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_mins(1), self.lines.read_line(&mut line)).await;
        ensure!(read.context("the stream is silent")?? > 0, "the stream has ended");
        Ok(line.trim_end().to_owned())
    }

    /// Reads lines until one contains `text`; returns it.
    pub(crate) async fn until(&mut self, text: &str) -> Result<String> {
        loop {
            let line = self.line().await?;
            if line.contains(text) {
                return Ok(line);
            }
        }
    }
}

/// Writes what the browser shows to the documentation, if `WAGRES_WRITE_PICTURES` asks for it.
pub(crate) async fn picture(browser: &Browser, name: &str) -> Result<()> {
    if std::env::var_os("WAGRES_WRITE_PICTURES").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
        tokio::fs::create_dir_all(&folder).await?;
        tokio::fs::write(folder.join(format!("{name}.png")), browser.picture().await?).await?;
    }
    Ok(())
}

/// What a camera reads from a picture with a QR code; nothing from one without.
pub(crate) fn qr_of(picture: &[u8]) -> Result<Option<String>> {
    let Ok(picture) = image::load_from_memory(picture) else { return Ok(None) };
    let picture = picture.to_luma8();
    let (width, height) = (usize::try_from(picture.width())?, usize::try_from(picture.height())?);
    let mut prepared =
        rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| picture.as_raw()[y * width + x]);
    let grids = prepared.detect_grids();
    Ok(grids.first().and_then(|grid| grid.decode().ok()).map(|(_, text)| text))
}

/// A token of this scope for a tenant.
pub(crate) async fn token(db: &TestDb, name: &str, scope: &str, tenant: Option<&str>) -> Result<String> {
    let added = sqlx::query_scalar("SELECT wa.add_token($1, $2, $3)").bind(name).bind(scope).bind(tenant);
    Ok(added.fetch_one(&db.pool).await?)
}

/// Two tenants with a session each: `red.shop` and `blue.shop`.
pub(crate) async fn two_tenants(db: &TestDb) -> Result<()> {
    for tenant in ["red", "blue"] {
        sqlx::query("SELECT wa.add_tenant($1), wa.add_session($1 || '.shop', $1)")
            .bind(tenant)
            .execute(&db.pool)
            .await?;
    }
    Ok(())
}

/// Signs a browser in.
pub(crate) async fn sign_in(browser: &Browser, pages: &Pages, secret: &str) -> Result<()> {
    browser.open(&format!("{}/login", pages.url)).await?;
    browser.write("#token", &format!("{secret}\u{E007}")).await?;
    browser.until("location.pathname === '/fleet'").await
}
