//! What a process has heard of how long tombstones live. A copy that is given up for it remembers nothing, but who watches
//! holds what it was sent before.

use std::time::Duration;

/// More changes of retention than a topic sees while a point is valid. Beyond them the smallest counts for longer.
const KEPT_MAX: usize = 16;

/// Each with the monotonic time until which it may have been in force, both ascending.
#[derive(Debug, Default)]
pub(super) struct Retentions {
    heard: Vec<(Duration, u64)>,
}

impl Retentions {
    /// The last one that was heard may have been in force until now.
    pub(super) fn hear(&mut self, retention_ms: u64, at: Duration) {
        if let Some((until, _)) = self.heard.last_mut() {
            *until = at;
        }
        self.heard.retain(|(_, known_ms)| *known_ms < retention_ms);
        self.heard.push((at, retention_ms));
        if self.heard.len() > KEPT_MAX {
            let (until, _) = self.heard.remove(1);
            self.heard[0].0 = until;
        }
    }

    /// The smallest that may have been in force since then.
    pub(super) fn since(&self, since: Duration) -> u64 {
        let last = self.heard.last().map(|(_, retention_ms)| *retention_ms);
        let in_force = self.heard.iter().find(|(until, _)| *until >= since);
        in_force.map(|(_, retention_ms)| *retention_ms).or(last).unwrap_or(u64::MAX)
    }
}
