//! The examples of `docs/webhooks.md` that verify a signature, in each language that this machine has, against signatures of
//! the official library.

use super::{answers, signatures};
use crate::support::docs;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::process::Command;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"type":"message.received","data":{"body":"Grüße \u0001 👋"}}"#;

/// Requests, and for each whether it is to be accepted.
async fn requests() -> Result<Vec<(Value, bool)>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let part =
        |secret: &str, timestamp: u64| json!({ "secret": secret, "id": "msg_1", "timestamp": timestamp, "body": BODY });
    let signed =
        signatures(&[part(SECRET, now), part(OTHER, now), part(SECRET, now - 360), part(SECRET, now + 360)]).await?;
    let [right, other, old, early] = &signed[..] else { anyhow::bail!("{signed:?}") };
    let request = |id: &str, timestamp: u64, signature: &str, body: &str| {
        let headers =
            json!({ "webhook-id": id, "webhook-timestamp": timestamp.to_string(), "webhook-signature": signature });
        json!({ "secret": SECRET, "headers": headers, "body": body })
    };
    let without = json!({ "secret": SECRET, "headers": {}, "body": BODY });
    Ok(vec![
        (request("msg_1", now, right, BODY), true),
        // While a secret is rotated.
        (request("msg_1", now, &format!("{other} {right}"), BODY), true),
        (request("msg_1", now, &format!("{right} {other}"), BODY), true),
        (request("msg_1", now, other, BODY), false),
        (request("msg_1", now, "", BODY), false),
        (request("msg_1", now, &right.replace("v1,", "v2,"), BODY), false),
        (request("msg_2", now, right, BODY), false),
        (request("msg_1", now + 1, right, BODY), false),
        (request("msg_1", now, right, &BODY.replace("message", "massage")), false),
        // Replays: rightly signed, but too old or too new.
        (request("msg_1", now - 360, old, BODY), false),
        (request("msg_1", now + 360, early, BODY), false),
        (without, false),
    ])
}

/// How an example is run: the name that its file has beside the program that calls it for each line of the input.
struct Language {
    name: &'static str,
    version: &'static [&'static str],
    /// What the block of the documentation contains.
    block: &'static str,
    file: &'static str,
    caller: (&'static str, &'static str),
    run: &'static [&'static str],
}

const LANGUAGES: [Language; 4] = [
    Language {
        name: "python",
        version: &["python3", "--version"],
        block: "def verify",
        file: "verify.py",
        caller: (
            "caller.py",
            r#"
import json, sys
from verify import verify
for line in sys.stdin:
    it = json.loads(line)
    try:
        body = verify(it["secret"], it["headers"], it["body"].encode())
        print(json.dumps(body["type"]))
    except ValueError as error:
        print("false")
"#,
        ),
        run: &["python3", "caller.py"],
    },
    Language {
        name: "js",
        version: &["node", "--version"],
        block: "export function verify",
        file: "verify.mjs",
        caller: (
            "caller.mjs",
            r"
import { createInterface } from 'node:readline';
import { verify } from './verify.mjs';
for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    console.log(JSON.stringify(verify(secret, headers, Buffer.from(body)).type));
  } catch {
    console.log('false');
  }
}
",
        ),
        run: &["node", "caller.mjs"],
    },
    Language {
        name: "php",
        version: &["php", "--version"],
        block: "function verify",
        file: "verify.php",
        caller: (
            "caller.php",
            r#"<?php
require 'verify.php';
while (($line = fgets(STDIN)) !== false) {
    $it = json_decode($line, true);
    try {
        echo json_encode(verify($it['secret'], $it['headers'], $it['body'])['type']), "\n";
    } catch (UnexpectedValueException) {
        echo "false\n";
    }
}
"#,
        ),
        run: &["php", "caller.php"],
    },
    Language {
        name: "go",
        version: &["go", "version"],
        block: "func Verify",
        file: "webhook/verify.go",
        caller: (
            "main.go",
            r#"package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"example.com/webhook"
)

func main() {
	lines := json.NewDecoder(os.Stdin)
	for lines.More() {
		var it struct {
			Secret, Body string
			Headers      map[string]string
		}
		if err := lines.Decode(&it); err != nil {
			panic(err)
		}
		header := http.Header{}
		for name, value := range it.Headers {
			header.Set(name, value)
		}
		var event struct{ Type string }
		if webhook.Verify(it.Secret, header, []byte(it.Body)) != nil {
			fmt.Println("false")
		} else if err := json.Unmarshal([]byte(it.Body), &event); err == nil {
			fmt.Printf("%q\n", event.Type)
		}
	}
}
"#,
        ),
        run: &["go", "run", "."],
    },
];

/// The block of the documentation in this language that contains a text.
pub(super) fn example(language: &str, containing: &str) -> Result<String> {
    let blocks = docs::blocks("docs/webhooks.md", language)?;
    blocks
        .into_iter()
        .find(|block| block.contains(containing))
        .with_context(|| format!("no {language} with {containing:?}"))
}

/// Whether the machine has a language.
async fn is_there(version: &[&str]) -> bool {
    let mut command = Command::new(version[0]);
    command.args(&version[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn run(language: &Language, folder: &Path, requests: &[Value]) -> Result<Vec<Value>> {
    let (caller, text) = language.caller;
    let file = folder.join(language.file);
    std::fs::create_dir_all(file.parent().unwrap_or(folder))?;
    std::fs::write(file, example(language.name, language.block)?)?;
    std::fs::write(folder.join(caller), text)?;
    // Of Go alone.
    std::fs::write(folder.join("go.mod"), "module example.com\n\ngo 1.19\n")?;
    let mut command = Command::new(language.run[0]);
    command.args(&language.run[1..]).current_dir(folder);
    answers(command.env("GOCACHE", folder.join("cache")), requests).await
}

#[tokio::test]
async fn h5_the_examples_of_the_documentation_accept_what_is_signed_and_refuse_what_is_changed_or_old() -> Result<()> {
    let requests = requests().await?;
    let (given, expected): (Vec<Value>, Vec<bool>) = requests.into_iter().unzip();
    let mut ran = vec![];
    for language in LANGUAGES {
        if !is_there(language.version).await {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let said = run(&language, folder.path(), &given).await?;
        ensure!(said.len() == expected.len(), "{}: {said:?}", language.name);
        for ((request, accepted), said) in given.iter().zip(&expected).zip(said) {
            let right = if *accepted { json!("message.received") } else { json!(false) };
            ensure!(said == right, "{}: {said} for {request}", language.name);
        }
        ran.push(language.name);
    }
    // `make test` installs all of them; a build server must have them.
    let needed = if std::env::var_os("CI").is_some() { LANGUAGES.len() } else { 2 };
    ensure!(ran.starts_with(&["python", "js"]) && ran.len() >= needed, "only {ran:?}");
    Ok(())
}
