//! How much a writer may have open: what its node answers within moments, as far as was seen.
//!
//! ```text
//!  an answer took   up to 0.5 s    longer         2.5 s and more
//!  the window       grows by it    stays          shrinks by it, to LEAST
//! ```
//! The log has a certain time for each write. What a slow log is given all at once is not done in that time, and the rest
//! fails: a writer waits instead.

use std::time::Duration;

/// The most that may be open: enough to keep a node busy over a round trip; more would only wait in its memory.
const MOST: usize = 8 << 20;

/// What may be open at first, and however slow the log is: it is larger than any write that a node takes.
pub(super) const LEAST: usize = 2 << 20;

const QUICK: Duration = Duration::from_millis(500);

/// A quarter of the time that the log has for a write.
const SLOW: Duration = Duration::from_millis(2_500);

/// What was seen longer ago than this says nothing about now.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);

/// How many bytes may be open.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { size: LEAST }
    }

    /// Notes that `bytes` of writes were answered after `after`. Returns the room that this frees, in bytes.
    pub(super) fn answered(&mut self, bytes: usize, after: Duration) -> usize {
        let before = self.size;
        if after <= QUICK {
            self.size = (before + bytes).min(MOST);
        } else if after >= SLOW {
            self.size = before.saturating_sub(bytes).max(LEAST);
        }
        bytes + self.size - before
    }

    /// How many bytes above the least there are.
    pub(super) fn above_least(&self) -> usize {
        self.size - LEAST
    }

    pub(super) fn shrink(&mut self, bytes: usize) {
        self.size -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BETWEEN: Duration = Duration::from_secs(1);

    #[test]
    fn a_quick_log_is_given_more_and_more_and_a_slow_one_less() {
        let mut window = Window::new();
        assert_eq!(window.answered(LEAST, QUICK), 2 * LEAST);
        assert_eq!(window.answered(2 * LEAST, QUICK), 4 * LEAST);
        assert_eq!(window.answered(LEAST, QUICK), LEAST, "it has the most");
        assert_eq!(window.answered(LEAST, BETWEEN), LEAST);
        assert_eq!(window.answered(LEAST, SLOW), 0);
        assert_eq!(window.answered(2 * LEAST, SLOW), 0);
        assert_eq!(window.answered(LEAST, SLOW), LEAST, "it has the least");
    }

    #[test]
    fn what_was_seen_long_ago_is_taken_back() {
        let mut window = Window::new();
        assert_eq!(window.above_least(), 0);
        assert_eq!(window.answered(10, QUICK), 20);
        assert_eq!(window.above_least(), 10);
        window.shrink(10);
        assert_eq!(window.above_least(), 0);
    }
}
