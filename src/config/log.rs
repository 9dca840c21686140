//! The format of the log (`log_format`, `WAGRES_LOG_FORMAT`).

use serde::{Deserialize, Serialize};

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object, for programs.
    Json,
}
