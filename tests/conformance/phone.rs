//! A simulated phone, through the sandbox's control API.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::party::{Draft, Party, Pick, Received, Ticks, address, canonical};
use crate::control::Control;
use crate::support::until::until;

pub(super) struct Phone {
    number: String,
    control: Control,
    /// Messages already requested, by id; the content of a message does not change.
    known: HashMap<String, Received>,
}

impl Phone {
    /// The phone of a number, created if there is none.
    pub(super) async fn new(control: &Control, number: &str) -> Result<Self> {
        control.post("/phones", json!({ "number": number })).await?;
        Ok(Self { number: number.to_owned(), control: control.clone(), known: HashMap::new() })
    }

    async fn messages(&mut self) -> Result<Vec<Received>> {
        let listed = self.control.get(&format!("/phones/{}/messages", self.number)).await?;
        let mut messages = vec![];
        for shown in listed["messages"].as_array().context("no messages")? {
            let id = shown["id"].as_str().context("no id")?;
            if !self.known.contains_key(id) {
                let whole = self.control.get(&format!("/phones/{}/messages/{id}", self.number)).await?;
                self.known.insert(id.to_owned(), received(id, shown, whole["content"].clone())?);
            }
            messages.extend(self.known.get(id).cloned());
        }
        Ok(messages)
    }
}

fn received(id: &str, shown: &Value, content: Value) -> Result<Received> {
    let number = |field: &str| shown[field].as_str().map(address).with_context(|| format!("no {field} in {shown}"));
    let from_me = shown["from_me"] == true;
    Ok(Received {
        id: id.to_owned(),
        chat: number("chat")?,
        sender: number("sender")?,
        from_me,
        content: canonical(content),
    })
}

#[async_trait(?Send)]
impl Party for Phone {
    fn number(&self) -> &str {
        &self.number
    }

    async fn send(&mut self, to: &str, draft: Draft) -> Result<String> {
        let mut body = draft.json()?;
        body["to"] = to.into();
        let sent = self.control.post(&format!("/phones/{}/send", self.number), body).await?;
        Ok(sent["id"].as_str().context("no id")?.to_owned())
    }

    async fn find(&mut self, what: &str, pick: Pick<'_>) -> Result<Received> {
        until(&format!("{what} on the phone {}", self.number), async || {
            let messages = self.messages().await?;
            let found = messages.iter().find(|message| pick(message)).cloned();
            Ok(found.ok_or_else(|| format!("{messages:?}")))
        })
        .await
    }

    async fn file(&mut self, message: &Received) -> Result<Vec<u8>> {
        self.control.settled(&self.number, &message.id).await?;
        self.control.file(&self.number, &message.id).await
    }

    async fn ticked(&mut self, id: &str, ticks: Ticks) -> Result<()> {
        let enough: &[&str] = match ticks {
            Ticks::Delivered => &["delivered", "read", "played"],
            Ticks::Read => &["read", "played"],
        };
        let path = format!("/phones/{}/messages/{id}", self.number);
        let reached = |value: &Value| enough.contains(&value["message"]["ticks"].as_str()?).then_some(());
        self.control.until(&path, reached).await.with_context(|| format!("{ticks:?}"))
    }
}
