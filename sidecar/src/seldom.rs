//! News that is told at most once in a while, with the number of times that it happened since.

use std::time::Duration;

use tokio::time::Instant;

pub(crate) struct Seldom {
    every: Duration,
    told: Option<Instant>,
    times: u64,
}

impl Seldom {
    pub(crate) fn new(every: Duration) -> Seldom {
        Seldom { every, told: None, times: 0 }
    }

    /// Counts that it happened. Returns the times since it was told last, this one included, when it is to be told now.
    pub(crate) fn now(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < self.every) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.times))
    }

    /// Returns when what happened since is to be told, should it not happen again; none: all is told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.told.filter(|_| self.times > 0).map(|told| told + self.every)
    }

    /// Returns the times that are not told yet, when they are to be told now.
    pub(crate) fn rest(&mut self, now: Instant) -> Option<u64> {
        self.due().filter(|due| *due <= now)?;
        self.told = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_counted() {
        let begun = Instant::now();
        let mut news = Seldom::new(Duration::from_secs(10));
        assert_eq!(news.now(begun), Some(1));
        assert_eq!(news.now(begun + Duration::from_secs(1)), None);
        assert_eq!(news.now(begun + Duration::from_secs(9)), None);
        assert_eq!(news.now(begun + Duration::from_secs(10)), Some(3));
    }

    #[test]
    fn what_does_not_happen_again_is_told_when_its_time_has_come() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut news = Seldom::new(Duration::from_secs(10));
        assert_eq!((news.due(), news.rest(at(0))), (None, None));
        assert_eq!((news.now(at(0)), news.due()), (Some(1), None));
        assert_eq!((news.now(at(1)), news.now(at(2))), (None, None));
        assert_eq!((news.due(), news.rest(at(9))), (Some(at(10)), None));
        assert_eq!((news.rest(at(10)), news.due()), (Some(2), None));
        assert_eq!((news.now(at(11)), news.due()), (None, Some(at(20))));
    }
}
