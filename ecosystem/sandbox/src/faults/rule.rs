//! A rule: a fault, and the moments that it applies to. `POST /faults` and scenarios use the same form.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use wacore_binary::Node;

use super::super::account::DeviceId;
use super::super::control::phone_number;
use super::super::node::signature;
use super::fault::{Fault, Moment};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Rule {
    pub(super) fault: Fault,
    /// The account; any when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// The device of the account; any when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<u16>,
    /// The first words of a stanza's signature; any stanza when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stanza: Option<Stanzas>,
    /// The direction of the stanza or the file; both when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    /// How many matches pass before the first strike.
    #[serde(default)]
    pub(super) skip: u64,
    /// How many matches are struck.
    #[serde(default)]
    pub(super) times: Times,
    /// The chance that a match is struck, 0 to 1.
    #[serde(default = "certain")]
    pub(super) probability: f64,
    /// When the rule becomes active, in milliseconds after it was added.
    #[serde(default)]
    at_ms: u64,
    /// How long the rule is active, in milliseconds; without a limit when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
}

fn certain() -> f64 {
    1.0
}

/// The direction of a stanza or a file, as seen from the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Direction {
    /// From a device; an upload.
    In,
    /// To a device; a download.
    Out,
}

/// The moment for which the rules are checked.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Occasion<'a> {
    /// A moment without further properties.
    Of(Moment),
    Stanza(Direction, &'a Node),
    Media(Direction),
}

impl Rule {
    /// Reads a rule and checks what its types cannot; the error names the field and the accepted values.
    pub(in super::super) fn read(given: Value) -> Result<Self, String> {
        let mut rule: Self = serde_json::from_value(given).map_err(|error| error.to_string())?;
        rule.fault.check()?;
        if let Some(number) = &rule.number {
            rule.number = Some(phone_number("number", number)?);
        }
        if !(0.0..=1.0).contains(&rule.probability) {
            return Err(format!("probability: {} is not accepted; use 0 to 1", rule.probability));
        }
        rule.check_moment()?;
        Ok(rule)
    }

    /// A field that does not apply to the fault would make the rule wait for a match that never comes.
    fn check_moment(&self) -> Result<(), String> {
        let moment = self.moment();
        let any_device = self.number.is_none() && self.device.is_none();
        if moment == Moment::Accept && !any_device {
            return Err("number, device: not accepted here; this fault strikes before the client is known".into());
        }
        if moment != Moment::Stanza && self.stanza.is_some() {
            return Err("stanza: not accepted here; this fault does not apply to stanzas".into());
        }
        if !matches!(moment, Moment::Stanza | Moment::Media) && self.direction.is_some() {
            return Err("direction: accepted only with a stanza, or a fault of stanzas or media".into());
        }
        if moment == Moment::Media && !any_device && self.direction != Some(Direction::In) {
            return Err("number, device: accepted for media only with the direction \"in\"; an upload names its \
                        device, and a downloader is not known"
                .into());
        }
        if self.stanza.as_ref().is_some_and(|stanza| stanza.0.trim().is_empty()) {
            return Err("stanza: empty; use the first words of a signature in GET /stats, such as message".into());
        }
        let messages = self.stanza.as_ref().is_none_or(|stanza| starts_with_words(&stanza.0, "message"));
        if matches!(self.fault, Fault::Nack { .. }) && !(messages && self.direction != Some(Direction::Out)) {
            return Err("nack: applies to messages from a device; use stanza \"message …\" and direction \"in\"".into());
        }
        if matches!(self.fault, Fault::Corrupt { .. }) && !messages {
            return Err("corrupt: applies to encrypted messages; use stanza \"message …\"".into());
        }
        Ok(())
    }

    pub(super) fn moment(&self) -> Moment {
        self.fault.moment(self.stanza.is_some())
    }

    /// How long after it was added the rule becomes active.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }

    /// How long the rule is active; `None` without a limit.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.for_ms.map(Duration::from_millis)
    }

    /// Whether the rule applies to this moment and device.
    pub(super) fn matches(&self, occasion: Occasion<'_>, who: Option<&DeviceId>) -> bool {
        let number = self.number.as_ref().is_none_or(|number| who.is_some_and(|who| who.number == *number));
        let device = self.device.is_none_or(|device| who.is_some_and(|who| who.device == device));
        number && device && self.is_for(occasion)
    }

    fn is_for(&self, occasion: Occasion<'_>) -> bool {
        let (direction, node) = match occasion {
            Occasion::Of(moment) => return self.moment() == moment,
            Occasion::Media(direction) => {
                return self.moment() == Moment::Media && self.direction.is_none_or(|wanted| wanted == direction);
            }
            Occasion::Stanza(direction, node) => (direction, node),
        };
        if self.moment() != Moment::Stanza || self.direction.is_some_and(|wanted| wanted != direction) {
            return false;
        }
        match self.fault {
            Fault::Nack { .. } if direction == Direction::Out || node.tag != "message" => return false,
            Fault::Corrupt { .. } if node.tag != "message" => return false,
            _ => {}
        }
        self.stanza.as_ref().is_none_or(|stanzas| stanzas.contain(node))
    }
}

/// The stanzas that a rule names, by the first words of their signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stanzas(String);

impl Stanzas {
    pub(super) fn contain(&self, node: &Node) -> bool {
        starts_with_words(&signature(node), &self.0)
    }
}

/// The last word must match whole: `iq get encrypt key` does not match `iq get encrypt key_fetch`.
fn starts_with_words(signature: &str, words: &str) -> bool {
    signature.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// How often a rule strikes: a number, or always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times(pub(super) Option<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Some(1))
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(times) => serializer.serialize_u64(times),
            None => serializer.serialize_str("always"),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimesVisitor;
        impl Visitor<'_> for TimesVisitor {
            type Value = Times;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("times as a number from 1 up, \"always\" or null")
            }

            fn visit_u64<E: serde::de::Error>(self, times: u64) -> Result<Times, E> {
                if times == 0 {
                    return Err(E::custom("times: 0 never strikes; use a number from 1 up, \"always\" or null"));
                }
                Ok(Times(Some(times)))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Times, E> {
                if word == "always" {
                    Ok(Times(None))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
                }
            }

            fn visit_unit<E>(self) -> Result<Times, E> {
                Ok(Times(None))
            }
        }
        deserializer.deserialize_any(TimesVisitor)
    }
}
