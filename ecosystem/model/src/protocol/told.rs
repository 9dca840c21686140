//! A state in a line: what the rows say, what each worker has in hand, and what was shown.

use super::action::name;
use super::state::{Job, Life, Link, Row, Stage, State};
use crate::check::Told;

impl Told for State {
    fn told(&self) -> String {
        let db = &self.db;
        let life = |life: Life| format!("{}{}", name(usize::from(life.process)), life.number + 1);
        let rows: Vec<String> = db.messages.iter().enumerate().map(|(at, row)| row_told(at, *row)).collect();
        let job = match db.job {
            Job::None => "none".to_owned(),
            Job::Queued => "queued".to_owned(),
            Job::Running(by) => format!("run by {}", life(by)),
        };
        let leases: Vec<String> =
            db.workers.iter().flatten().map(|row| format!("{} {}", life(row.life), row.lease)).collect();
        let mut parts = vec![format!(
            "lease: {}, epoch {}; job: {job}; workers: {}; {}",
            db.holder.map_or("free".to_owned(), life),
            db.epoch,
            leases.join(", "),
            rows.join(", ")
        )];
        for (who, process) in self.processes.iter().enumerate() {
            let mut words = vec![];
            let mut flag = |is: bool, word: &str| {
                if is {
                    words.push(word.to_owned());
                }
            };
            flag(!process.runs, "killed");
            flag(process.frozen, "frozen");
            flag(process.waking, "waking");
            flag(process.cut_off, "cut off");
            flag(process.runs && process.life.is_none(), "no life");
            if let Some(work) = process.life {
                if let Some(hold) = work.hold {
                    let link = match hold.link {
                        Link::None => "no connection",
                        Link::Open if self.server.connection == Some(work.id.process) => "connected",
                        Link::Open => "a closed socket",
                        Link::Over => "a connection that is over",
                    };
                    words.push(format!("epoch {} with {link}", hold.epoch));
                }
                let stage = |stage| match stage {
                    Stage::Waiting => "waiting",
                    Stage::OnWire => "on the wire",
                    Stage::Acknowledged => "acknowledged",
                    Stage::Retry => "failed",
                    Stage::Release => "to go back",
                };
                let hand = work.hand.iter().enumerate().filter_map(|(at, of)| of.map(|(_, of)| (at, of)));
                words.extend(hand.map(|(at, of)| format!("message {} {}", at + 1, stage(of))));
            }
            if !words.is_empty() {
                parts.push(format!("{}: {}", name(who), words.join(", ")));
            }
        }
        let shown: Vec<String> =
            (0..3).filter(|at| self.server.shown[*at] > 0).map(|at| (at + 1).to_string()).collect();
        if !shown.is_empty() {
            parts.push(format!("shown: {}", shown.join(" ")));
        }
        parts.join(" | ")
    }
}

fn row_told(at: usize, row: Row) -> String {
    let status = match row {
        Row::Queued { retry: Some(_), .. } => "waits for its retry",
        Row::Queued { .. } => "queued",
        Row::Sent => "sent",
        Row::Failed => "failed",
    };
    let attempts = match row {
        Row::Queued { attempts, .. } if attempts > 0 => format!(" after {attempts} attempts"),
        _ => String::new(),
    };
    format!("{} {status}{attempts}", at + 1)
}
