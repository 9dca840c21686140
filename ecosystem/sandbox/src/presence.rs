//! Who is online, and who is typing.
//!
//! An account is available while one of its devices says so; `last_seen` is the time when the last of them stopped.
//! Devices that subscribed on their present connection and are available themselves are notified at once or never: no
//! notification waits for an offline device. Typing works the same way, but needs no subscription. A blocked contact
//! learns neither. A phone's screen shows both whether or not its owner is online, for the person who plays the owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::account::{Account, Addressing, DeviceId};
use super::link::Link;
use super::node::unix_now;
use super::state::State;

/// How long a person is shown as typing who stops without saying so.
const TYPING: Duration = Duration::from_secs(25);

/// What others may learn of an account, and what its phone shows of others.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Devices in the foreground; 0 is the phone.
    available: BTreeSet<u16>,
    /// Seconds since 1970 when the last of them went to the background.
    last_seen: Option<u64>,
    subscribers: BTreeMap<DeviceId, Subscription>,
    /// By number: the activity of others in their chat with this account.
    typing: BTreeMap<String, (Activity, Instant)>,
}

/// A device's subscription.
#[derive(Debug)]
struct Subscription {
    addressing: Addressing,
    /// The connection with which the subscription ends.
    connection: u64,
}

/// A person's activity in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activity {
    Composing,
    Recording,
    Paused,
}

impl Activity {
    /// Reads the child of a `<chatstate>`.
    pub(super) fn of(state: &Node) -> Option<Self> {
        let audio = state.attrs.get("media").is_some_and(|media| media.as_str() == "audio");
        match state.tag.as_ref() {
            "composing" if audio => Some(Self::Recording),
            "composing" => Some(Self::Composing),
            "paused" => Some(Self::Paused),
            _ => None,
        }
    }

    fn node(self) -> Node {
        match self {
            Self::Composing => NodeBuilder::new("composing").build(),
            Self::Recording => NodeBuilder::new("composing").attr("media", "audio").build(),
            Self::Paused => NodeBuilder::new("paused").build(),
        }
    }
}

impl Presence {
    pub(super) fn available(&self) -> bool {
        !self.available.is_empty()
    }

    pub(super) fn last_seen(&self) -> Option<u64> {
        self.last_seen
    }

    pub(super) fn subscribe(&mut self, device: DeviceId, addressing: Addressing, link: &Link) {
        self.subscribers.insert(device, Subscription { addressing, connection: link.id() });
    }

    pub(super) fn unsubscribe(&mut self, device: &DeviceId) {
        self.subscribers.remove(device);
    }

    /// The activity that the phone shows in a person's chat.
    pub(super) fn activity_of(&self, number: &str) -> Option<Activity> {
        self.typing.get(number).filter(|(_, since)| since.elapsed() < TYPING).map(|(activity, _)| *activity)
    }

    /// The numbers whose activity the phone shows.
    pub(super) fn active(&self) -> impl Iterator<Item = &str> {
        self.typing.iter().filter(|(_, (_, since))| since.elapsed() < TYPING).map(|(number, _)| number.as_str())
    }
}

impl State {
    /// A person's message has arrived at a phone, so that person is no longer typing it.
    pub(super) fn stop_typing(&mut self, number: &str, sender: &str) {
        let Some(account) = self.accounts.get_mut(number) else { return };
        if account.presence.typing.remove(sender).is_some() {
            self.announce_presence([number]);
        }
    }

    /// Announces to listeners that these phones may show other presence now.
    fn announce_presence<S: std::fmt::Display>(&self, numbers: impl IntoIterator<Item = S>) {
        let path = |number| Arc::from(format!("/phones/{number}/presence"));
        self.changes.announce(numbers.into_iter().map(path));
    }

    /// Sets whether a device or phone is in the foreground; subscribers are notified when that changes the account.
    pub(super) fn set_available(&mut self, id: &DeviceId, available: bool) {
        let Some(account) = self.accounts.get_mut(&id.number) else { return };
        let before = account.presence.available();
        if available {
            account.presence.available.insert(id.device);
        } else {
            account.presence.available.remove(&id.device);
        }
        let after = account.presence.available();
        if before == after {
            return;
        }
        account.presence.last_seen = (!after).then(unix_now);
        let subscribers = std::mem::take(&mut account.presence.subscribers);
        self.announce_presence(self.accounts.keys());
        if let Some(account) = self.accounts.get(&id.number) {
            for (device, subscription) in &subscribers {
                self.send_presence(account, device, subscription);
            }
        }
        let current = |device: &DeviceId, subscription: &Subscription| {
            let device = self.accounts.get(&device.number).and_then(|account| account.devices.get(&device.device));
            device.and_then(|device| device.link.as_ref()).is_some_and(|link| link.id() == subscription.connection)
        };
        let kept: BTreeMap<_, _> = subscribers.into_iter().filter(|(device, sub)| current(device, sub)).collect();
        if let Some(account) = self.accounts.get_mut(&id.number) {
            account.presence.subscribers.extend(kept);
        }
    }

    /// Sends a new subscriber the current presence.
    pub(super) fn notify_subscriber(&self, number: &str, subscriber: &DeviceId) {
        let Some(account) = self.accounts.get(number) else { return };
        if let Some(subscription) = account.presence.subscribers.get(subscriber) {
            self.send_presence(account, subscriber, subscription);
        }
    }

    fn send_presence(&self, account: &Account, to: &DeviceId, subscription: &Subscription) {
        let Some(link) = self.listening(to).filter(|link| link.id() == subscription.connection) else { return };
        if account.settings.hides_presence_from(&to.number) {
            return;
        }
        let mut presence = NodeBuilder::new("presence").attr("from", account.jid(subscription.addressing, 0));
        if !account.presence.available() {
            presence = presence.attr("type", "unavailable");
            presence = match account.presence.last_seen {
                Some(last) if account.settings.shows_last_seen() => presence.attr("last", last),
                _ => presence.attr("last", "deny"),
            };
        }
        link.send(presence.build());
    }

    /// Passes an activity in a chat on to the other side's devices in the foreground.
    pub(super) fn pass_on(&mut self, from: &DeviceId, to: &Jid, activity: Activity) {
        let (Some(sender), Some(number)) = (self.accounts.get(&from.number), self.number_of(to)) else { return };
        let Some(recipient) = self.accounts.get(&number) else { return };
        if number == from.number || recipient.settings.blocks(&from.number) || sender.settings.blocks(&number) {
            return;
        }
        let chatstate = NodeBuilder::new("chatstate")
            .attr("from", sender.jid(Addressing::of(to), 0))
            .children([activity.node()])
            .build();
        for device in recipient.devices.keys() {
            if let Some(link) = self.listening(&DeviceId { number: number.clone(), device: *device }) {
                link.send(chatstate.clone());
            }
        }
        if let Some(recipient) = self.accounts.get_mut(&number) {
            recipient.presence.typing.insert(from.number.clone(), (activity, Instant::now()));
            self.announce_presence([number]);
        }
    }

    /// The link of a device that is connected and in the foreground.
    fn listening(&self, id: &DeviceId) -> Option<&Link> {
        let account = self.accounts.get(&id.number)?;
        let device = account.devices.get(&id.device).filter(|_| account.presence.available.contains(&id.device))?;
        device.link.as_ref()
    }
}
