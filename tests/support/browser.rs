//! A headless Chromium, driven by the `WebDriver` protocol.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::control::Control;
use crate::support::programs::missing;
use crate::support::until::until;

/// The JSON key of an element's id in `WebDriver` answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Starts chromedriver, and returns it with its port, or what it said before it ended.
async fn driver() -> Result<Result<(Child, String)>> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut driver = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing("Chromium (chromium and chromedriver)"),
        _ => error.into(),
    })?;
    let mut lines = BufReader::new(driver.stdout.take().context("no stdout")?).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.rsplit_once("successfully on port ") {
            return Ok(Ok((driver, port.trim_end_matches('.').to_owned())));
        }
        said += &line;
    }
    Ok(Err(anyhow::anyhow!("chromedriver ended: {said}")))
}

/// A browser with one window. Dropping it ends the browser.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// Starts a browser whose page is this many pixels wide and high.
    ///
    /// # Errors
    /// Chromium or chromedriver is missing or does not start.
    pub(crate) async fn start(width: u32, height: u32) -> Result<Self> {
        // It takes a free port of one kind of address, needs the same one of the other kind, and ends if that is not free.
        let mut said = Err(anyhow::anyhow!("chromedriver was not started"));
        for _ in 0..5 {
            said = driver().await?;
            if said.is_ok() {
                break;
            }
        }
        let (driver, port) = said?;
        let profile = std::env::temp_dir().join(format!("wagres-chromium-{}", uuid::Uuid::new_v4()));
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en-GB",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities =
            json!({ "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" } });
        let address = format!("127.0.0.1:{port}");
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let mut browser = Self { driver, address, session: String::new(), profile };
        let started =
            browser.call("POST", "/session", body).await.context("Chromium did not start; `make test` installs it")?;
        browser.session = format!("/session/{}", started["sessionId"].as_str().context("no session")?);
        browser.resize(width, height).await?;
        Ok(browser)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let path = format!("{}{path}", self.session);
        let body = (method != "GET").then_some(body);
        match Control::new(&self.address).request(method, &path, body).await? {
            (200, answer) => Ok(answer["value"].clone()),
            (_, answer) => bail!("{path}: {}: {}", answer["value"]["error"], answer["value"]["message"]),
        }
    }

    /// A command of Chromium's own debugging protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.call("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    pub(crate) async fn open(&self, url: &str) -> Result<()> {
        self.call("POST", "/url", json!({ "url": url })).await.map(drop)
    }

    /// Runs the body of a function in the page and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.call("POST", "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression is true in the page.
    pub(crate) async fn until(&self, expression: &str) -> Result<()> {
        let shown = until(expression, async || {
            let outcome = self.run(&format!("return Boolean({expression})")).await;
            Ok(if matches!(outcome, Ok(Value::Bool(true))) { Ok(()) } else { Err(format!("{outcome:?}")) })
        })
        .await;
        match shown {
            Ok(()) => Ok(()),
            Err(error) => {
                let page = self.run("return document.body.innerText").await?;
                Err(error.context(format!("the page shows {page}; its console: {:?}", self.log().await)))
            }
        }
    }

    /// Waits until an element shows a text.
    pub(crate) async fn shows(&self, css: &str, text: &str) -> Result<()> {
        let (css, text) = (json!(css), json!(text));
        self.until(&format!("[...document.querySelectorAll({css})].some((it) => it.innerText.includes({text}))")).await
    }

    /// Acts on an element as soon as it exists and accepts the action.
    async fn act(&self, css: &str, action: &str, body: Value) -> Result<()> {
        until(&format!("{action} {css}"), async || {
            let acting = async {
                let found = self.call("POST", "/element", json!({ "using": "css selector", "value": css })).await?;
                let element = found[ELEMENT].as_str().context("no element")?;
                self.call("POST", &format!("/element/{element}/{action}"), body.clone()).await
            };
            Ok(acting.await.map(drop))
        })
        .await
    }

    pub(crate) async fn click(&self, css: &str) -> Result<()> {
        self.act(css, "click", json!({})).await
    }

    /// Types into an element; `\u{E007}` is the enter key.
    pub(crate) async fn write(&self, css: &str, text: &str) -> Result<()> {
        self.act(css, "value", json!({ "text": text })).await
    }

    /// The page as PNG.
    pub(crate) async fn picture(&self) -> Result<Vec<u8>> {
        use base64::Engine as _;
        let picture = self.call("GET", "/screenshot", json!({})).await?;
        Ok(base64::prelude::BASE64_STANDARD.decode(picture.as_str().context("no picture")?)?)
    }

    /// Console lines since the last call, including the browser's own warnings and errors.
    pub(crate) async fn log(&self) -> Result<Vec<String>> {
        let lines = self.call("POST", "/se/log", json!({ "type": "browser" })).await?;
        let lines = lines.as_array().context("no log")?.iter();
        Ok(lines.map(|line| format!("{}: {}", line["level"], line["message"])).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killing the driver would leave its Chromium running, so the session is ended first.
        if let Ok(mut socket) = std::net::TcpStream::connect(&self.address) {
            let request = format!(
                "DELETE {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                self.session, self.address
            );
            let _ = socket.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = socket.write_all(request.as_bytes()).and_then(|()| socket.read(&mut [0; 64]).map(drop));
        }
        let _ = self.driver.start_kill();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
