//! Bodies: what is posted.

use super::event::Event;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The format of bodies, `wa.webhook.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Standard Webhooks: `type`, `timestamp` and `data`.
    Standard,
    /// Structured JSON of `CloudEvents` 1.0.
    CloudEvents,
}

impl Format {
    /// The format of that name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if name == "cloudevents" { Self::CloudEvents } else { Self::Standard }
    }

    /// The header `content-type`, of one event or of a request that several share.
    #[must_use]
    pub const fn content_type(self, shared: bool) -> &'static str {
        match (self, shared) {
            (Self::Standard, _) => "application/json",
            (Self::CloudEvents, false) => "application/cloudevents+json",
            (Self::CloudEvents, true) => "application/cloudevents-batch+json",
        }
    }

    /// The body of one event.
    #[must_use]
    pub fn one(self, event: &Event) -> Vec<u8> {
        let body = match self {
            Self::Standard => json!({ "type": event.kind, "timestamp": time(event.happened_at), "data": event.data }),
            Self::CloudEvents => cloud_event(event),
        };
        body.to_string().into_bytes()
    }

    /// The body of several events, in their order.
    #[must_use]
    pub fn shared(self, events: &[&Event]) -> Vec<u8> {
        let body = match self {
            Self::Standard => {
                let members = events.iter().map(|event| {
                    json!({ "id": event.id, "type": event.kind, "timestamp": time(event.happened_at), "data": event.data })
                });
                let last = events.iter().map(|event| event.happened_at).max().unwrap_or_default();
                let members: Vec<Value> = members.collect();
                json!({ "type": "batch", "timestamp": time(last), "data": { "events": members } })
            }
            Self::CloudEvents => events.iter().map(|event| cloud_event(event)).collect(),
        };
        body.to_string().into_bytes()
    }
}

fn cloud_event(event: &Event) -> Value {
    let source = event.session.as_ref().map_or_else(|| "/wagres".to_owned(), |name| format!("/wagres/sessions/{name}"));
    json!({
        "specversion": "1.0", "id": event.id, "source": source, "type": event.kind, "time": time(event.happened_at),
        "datacontenttype": "application/json", "data": event.data,
    })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> Event {
        Event {
            id: id.into(),
            kind: "call".into(),
            happened_at: DateTime::UNIX_EPOCH,
            session: Some("shop".into()),
            data: json!({ "a": 1 }).as_object().expect("an object").clone(),
        }
    }

    fn read(body: &[u8]) -> Value {
        serde_json::from_slice(body).expect("JSON")
    }

    #[test]
    fn h5_bodies_have_the_fields_of_their_format() {
        let (one, two, at) = (event("event_1"), event("event_2"), "1970-01-01T00:00:00.000Z");
        let data = json!({ "a": 1 });
        assert_eq!(read(&Format::Standard.one(&one)), json!({ "type": "call", "timestamp": at, "data": data }));
        let member = |id| json!({ "id": id, "type": "call", "timestamp": at, "data": data });
        let wanted =
            json!({ "type": "batch", "timestamp": at, "data": { "events": [member("event_1"), member("event_2")] } });
        assert_eq!(read(&Format::Standard.shared(&[&one, &two])), wanted);
        let cloud = |id| {
            json!({
                "specversion": "1.0", "id": id, "source": "/wagres/sessions/shop", "type": "call", "time": at,
                "datacontenttype": "application/json", "data": data,
            })
        };
        assert_eq!(read(&Format::CloudEvents.one(&one)), cloud("event_1"));
        assert_eq!(read(&Format::CloudEvents.shared(&[&one, &two])), json!([cloud("event_1"), cloud("event_2")]));
    }
}
