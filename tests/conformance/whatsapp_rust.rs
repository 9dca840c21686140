//! whatsapp-rust, with its own in-memory store.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use wacore::download::MediaType;
use wacore::iq::groups::{GroupCreateOptions, GroupParticipantOptions};
use wacore::proto_helpers::{MessageBuilderExt as _, MessageExt as _, build_quote_context};
use wacore::store::InMemoryBackend;
use wacore::types::events::{Event, InboundMessage};
use wacore::types::presence::ReceiptType;
use wacore_binary::Jid;
use wagres_sandbox::Running;
use waproto::whatsapp::message::ImageMessage;
use waproto::whatsapp::{Message, MessageKey};
use whatsapp_rust::RevokeType;
use whatsapp_rust::pair_code::PairCodeOptions;
use whatsapp_rust::upload::UploadOptions;

use super::party::{Client, Draft, Party, Pick, Received, Ticks, Way, address, canonical};
use crate::control::Control;
use crate::support::linked::Linked;

pub(super) struct WhatsappRust {
    number: String,
    linked: Linked,
    /// The sandbox, for a restart of the client.
    sandbox: Arc<Running>,
}

impl WhatsappRust {
    /// A client, linked in this way and open.
    pub(super) async fn link(sandbox: &Arc<Running>, way: Way, control: &Control, number: &str) -> Result<Self> {
        let linked = match way {
            Way::Qr => Linked::link(sandbox, control, number).await?,
            Way::Code => by_code(sandbox, control, number).await?,
        };
        Ok(Self { number: number.to_owned(), linked, sandbox: Arc::clone(sandbox) })
    }

    /// A received message, as the library reported it.
    async fn inbound(&mut self, what: &str, pick: impl Fn(&InboundMessage) -> bool) -> Result<InboundMessage> {
        self.linked.wait(what, |event| event.messages().find(|message| pick(message)).cloned()).await
    }

    async fn by_id(&mut self, id: &str) -> Result<InboundMessage> {
        self.inbound(&format!("message {id}"), |message| message.info.id == id).await
    }
}

async fn by_code(sandbox: &Running, control: &Control, number: &str) -> Result<Linked> {
    control.post("/phones", json!({ "number": number })).await?;
    let mut linked = Linked::start(sandbox, Arc::new(InMemoryBackend::new())).await?;
    // By then the socket is open, and the server has sent its references.
    linked.wait("a QR code", |event| matches!(event, Event::PairingQrCode(_)).then_some(())).await?;
    let options = PairCodeOptions { phone_number: number.to_owned(), ..Default::default() };
    let code = linked.client.pair_with_code(options).await.map_err(|error| anyhow!("{error:?}"))?;
    control.post(&format!("/phones/{number}/confirm"), json!({ "code": code })).await?;
    linked.connected().await?;
    Ok(linked)
}

fn received(message: &InboundMessage) -> Option<Received> {
    let source = &message.info.source;
    Some(Received {
        id: message.info.id.clone(),
        chat: address(&source.chat.to_non_ad().to_string()),
        sender: address(&source.sender.to_non_ad().to_string()),
        from_me: source.is_from_me,
        content: canonical(serde_json::to_value(&*message.message).ok()?),
    })
}

#[async_trait(?Send)]
impl Party for WhatsappRust {
    fn number(&self) -> &str {
        &self.number
    }

    async fn send(&mut self, to: &str, draft: Draft) -> Result<String> {
        let to = if to.contains('@') { to.parse()? } else { Jid::pn(to) };
        let message = match draft {
            Draft::Text(text) => Message { conversation: Some(text), ..Default::default() },
            Draft::Reply { id, text } => {
                let quoted = self.by_id(&id).await?;
                let sender = quoted.info.source.sender.to_non_ad().to_string();
                Message::text_with_context(text, build_quote_context(id, sender, &quoted.message))
            }
            Draft::React { id, emoji } => {
                let source = self.by_id(&id).await?.info.source.clone();
                let key = MessageKey {
                    remote_jid: Some(source.chat.to_string()),
                    from_me: Some(source.is_from_me),
                    id: Some(id),
                    participant: source.is_group.then(|| source.sender.to_non_ad().to_string()),
                };
                return Ok(self.linked.client.send_reaction(to, key, &emoji).await?.message_id);
            }
            Draft::Edit { id, text } => {
                let content = Message { conversation: Some(text), ..Default::default() };
                return Ok(self.linked.client.edit_message(to, id, content).await?);
            }
            Draft::Revoke { id } => {
                self.linked.client.revoke_message(to, id.as_str(), RevokeType::Sender).await?;
                return Ok(id);
            }
            Draft::Image { data, mime, caption } => {
                let data = BASE64_STANDARD.decode(data)?;
                let file = self.linked.client.upload(data, MediaType::Image, UploadOptions::new()).await?;
                let image = ImageMessage {
                    url: Some(file.url),
                    direct_path: Some(file.direct_path),
                    media_key: Some(file.media_key.to_vec()),
                    file_enc_sha256: Some(file.file_enc_sha256.to_vec()),
                    file_sha256: Some(file.file_sha256.to_vec()),
                    file_length: Some(file.file_length),
                    mimetype: Some(mime),
                    caption: Some(caption),
                    ..Default::default()
                };
                Message { image_message: Some(image).into(), ..Default::default() }
            }
        };
        Ok(self.linked.client.send_message(to, message).await?.message_id)
    }

    async fn find(&mut self, what: &str, pick: Pick<'_>) -> Result<Received> {
        let found = self.inbound(what, |message| received(message).is_some_and(|message| pick(&message))).await;
        let found = found.with_context(|| format!("whatsapp-rust, {}", self.number))?;
        received(&found).context("the message does not serialise")
    }

    async fn file(&mut self, message: &Received) -> Result<Vec<u8>> {
        let message = self.by_id(&message.id).await?.message;
        let image = message.get_base_message().image_message.as_option().context("no image")?;
        Ok(self.linked.client.download(image).await?)
    }

    async fn ticked(&mut self, id: &str, ticks: Ticks) -> Result<()> {
        let kind = match ticks {
            Ticks::Delivered => ReceiptType::Delivered,
            Ticks::Read => ReceiptType::Read,
        };
        self.linked.receipt(id, kind).await
    }
}

#[async_trait(?Send)]
impl Client for WhatsappRust {
    async fn stop(&mut self) -> Result<()> {
        self.linked.stop().await.map(drop)
    }

    async fn start(&mut self) -> Result<()> {
        let backend: Arc<InMemoryBackend> = Arc::clone(&self.linked.backend);
        self.linked = Linked::start(&self.sandbox, backend).await?;
        self.linked.connected().await
    }

    fn texts(&self) -> Vec<String> {
        let messages = self.linked.seen.iter().flat_map(|event| event.messages()).filter_map(received);
        messages.filter_map(|message| message.text().map(str::to_owned)).collect()
    }

    fn codes_shown(&self) -> usize {
        let invites = |event: &&Arc<Event>| matches!(***event, Event::PairingQrCode(_) | Event::PairingCode { .. });
        self.linked.seen.iter().filter(invites).count()
    }

    async fn read(&mut self, message: &Received) -> Result<()> {
        let source = self.by_id(&message.id).await?.info.source.clone();
        let read = self.linked.client.mark_as_read(&source.chat, Some(&source.sender), &[&message.id]).await;
        read.map_err(|error| anyhow!("{error:?}"))
    }

    async fn create_group(&mut self, subject: &str, participants: &[&str]) -> Result<String> {
        let participant = |number: &&str| GroupParticipantOptions::from_phone(Jid::pn(*number));
        let options =
            GroupCreateOptions::new(subject).with_participants(participants.iter().map(participant).collect());
        Ok(self.linked.client.groups().create_group(options).await?.metadata.id.to_string())
    }

    async fn log_out(&mut self) -> Result<()> {
        self.linked.client.logout().await;
        Ok(())
    }

    async fn logged_out(&mut self) -> Result<()> {
        self.linked.wait("LoggedOut", |event| matches!(event, Event::LoggedOut(_)).then_some(())).await
    }
}
