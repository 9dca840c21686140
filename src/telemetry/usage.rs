//! What a process uses, as far as `/proc` shows it.

use std::time::Duration;

/// What a process uses. A value that cannot be read is 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Memory in use, in bytes.
    pub memory: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Processor time, user and system.
    pub processor: Duration,
}

impl Usage {
    /// This process, now.
    #[must_use]
    pub fn now() -> Self {
        Self::of(std::process::id())
    }

    /// Another process, by its id.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let status = read("status");
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        let stat = read("stat");
        // After the name, which may hold anything, come the state and then numbers; user and system time are the 14th
        // and 15th field of all, in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Self {
            memory: kilobytes.unwrap_or(0_u64) * 1024,
            descriptors: std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |open| open.count() as u64),
            processor: Duration::from_millis(ticks * 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_a_process_knows_what_it_uses() {
        let usage = Usage::now();
        assert!(usage.memory > 1_000_000, "{usage:?}");
        assert!(usage.descriptors >= 3, "{usage:?}");
    }
}
