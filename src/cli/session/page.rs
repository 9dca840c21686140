//! `wagres session show`: a session on one page, for people.

use crate::cli::listing::{Cell, Listing, Screen};
use crate::cli::{line, words};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Shows what `sql/cli/show_session.sql` found.
pub(super) fn show(shown: &Value) {
    let screen = Screen::of_output();
    let name = shown["name"].as_str().unwrap_or_default();
    line(&screen.bold(name));
    for (field, text) in facts(shown) {
        line(&format!("  {field:<16} {}", words::plain(&text)));
    }
    let jobs = shown["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if jobs.is_empty() {
        return;
    }
    line(&format!("\n{}", screen.bold("Last jobs")));
    let mut listing = Listing::new(&["ID", "KIND", "STATUS", "DUE", "REASON OR ERROR"], "");
    for job in jobs {
        let text = |field: &str| job[field].as_str();
        let cells = [
            Cell::right(job["id"].to_string()),
            Cell::maybe(text("kind")),
            Cell::status(text("status").unwrap_or_default()),
            Cell::when(moment(&job["run_at"])),
            Cell::maybe(text("last_error").or(text("reason"))),
        ];
        listing.add(&["id"], job.clone(), cells);
    }
    listing.show(false);
}

fn moment(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}

/// What is worth a line, with its words.
fn facts(shown: &Value) -> Vec<(&'static str, String)> {
    let name = shown["name"].as_str().unwrap_or_default();
    let text = |field: &str| shown[field].as_str().map(str::to_owned);
    let since = |field: &str| moment(&shown[field]).map(words::when).unwrap_or_default();
    let mut facts = vec![("status", format!("{}, since {}", text("status").unwrap_or_default(), since("status_at")))];
    let mut add = |field, text: Option<String>| facts.extend(text.map(|text| (field, text)));
    add("status reason", text("status_reason"));
    add("sends", Some(text("why").unwrap_or_else(|| "yes".to_owned())));
    add("desired", text("desired"));
    add(
        "paused",
        text("paused_at").map(|_| format!("{} {}", since("paused_at"), text("paused_reason").unwrap_or_default())),
    );
    add("phone", text("phone"));
    add("device", text("jid"));
    add("tenant", text("tenant"));
    let worker = &shown["worker"];
    add(
        "worker",
        Some(match (worker["host"].as_str(), worker["worker_id"].as_str()) {
            (Some(host), Some(id)) => {
                let held = moment(&worker["since"]).map(words::when).unwrap_or_default();
                format!("{host} (process {}), since {held}; {id}", worker["pid"])
            }
            _ => "none".to_owned(),
        }),
    );
    let queue = &shown["queue"];
    let counts = ["ready", "sending", "scheduled", "retrying", "paced", "held"]
        .iter()
        .filter_map(|field| Some((field, queue[field].as_i64().filter(|count| *count > 0)?)))
        .map(|(field, count)| format!("{count} {field}"))
        .collect::<Vec<_>>();
    add(
        "queue",
        Some(if counts.is_empty() {
            format!("empty; wagres send {name} RECIPIENT TEXT queues a message")
        } else {
            let oldest = moment(&queue["oldest"]).map(|at| format!("; the oldest {}", words::when(at)));
            let chats = if queue["chats"] == 1 { "1 chat".to_owned() } else { format!("{} chats", queue["chats"]) };
            format!("{} in {chats}{}", counts.join(", "), oldest.unwrap_or_default())
        }),
    );
    let failures = shown["failures"].as_i64().filter(|count| *count > 0);
    add("failed connects", failures.map(|count| format!("{count}, next {}", since("next_attempt_at"))));
    let errors = |field: &str| shown[field].as_i64().unwrap_or_default();
    let crypto = errors("bad_macs") + errors("bad_decrypts");
    add(
        "crypto errors",
        (crypto > 0).then(|| format!("{} bad MACs, {} bad decrypts", errors("bad_macs"), errors("bad_decrypts"))),
    );
    add("added", Some(since("created_at")));
    facts
}

#[cfg(test)]
mod tests {
    use super::facts;
    use serde_json::json;

    #[test]
    fn h7_the_page_of_a_session_says_what_a_person_asks() {
        let shown = json!({
            "name": "shop", "status": "connected", "status_at": "2020-01-01T00:00:00Z", "desired": "connected",
            "phone": "15550001", "tenant": "default", "why": "paused: too many messages", "created_at": "2020-01-01T00:00:00Z",
            "paused_at": "2020-01-01T00:00:00Z", "paused_reason": "too many messages", "bad_macs": 2, "bad_decrypts": 0,
            "worker": { "worker_id": "0f0e", "host": "one", "pid": 7, "since": "2020-01-01T00:00:00Z" },
            "queue": { "ready": 0, "sending": 1, "held": 41, "chats": 3, "oldest": "2020-01-01T00:00:00Z" },
        });
        let text: Vec<_> = facts(&shown).into_iter().map(|(field, text)| format!("{field}: {text}")).collect();
        for words in [
            "status: connected, since ",
            "sends: paused: too many messages",
            "worker: one (process 7), since ",
            "queue: 1 sending, 41 held in 3 chats; the oldest ",
            "crypto errors: 2 bad MACs, 0 bad decrypts",
        ] {
            assert!(text.iter().any(|line| line.starts_with(words)), "{words}: {text:#?}");
        }
        assert!(!text.iter().any(|line| line.starts_with("failed connects")), "{text:#?}");
    }
}
