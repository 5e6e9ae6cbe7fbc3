//! What a running process makes of its two clocks. The wall clock is written down as it is, for a restart knows no
//! other; what was written is dated by everything that this process has seen of both.
//!
//! A wall clock that is set forward is believed: time may have passed that the monotonic clock did not see. One that
//! is set back is not, for it would make old copies young; unless both clocks agree again as they did before, and only
//! what lies between was wrong. What it shows is written down in any case, so a date counts as the moment at which this
//! process's clock first showed it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Now;

/// How many settings of the wall clock are known, the last ones; dates of earlier ones count as older.
const ERAS_MAX: usize = 16;
/// Two clocks are not read at one moment, and milliseconds are whole. This is far below any margin.
const SLACK_MS: i64 = 100;
/// No age or date beyond this is reckoned with (some 30 million years), so that sums of a few cannot overflow.
const FAR_MS: i64 = 1 << 60;

/// A moment in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) mono: Duration,
    /// What the wall clock showed.
    pub(crate) wall_ms: u64,
    /// How far the wall clock that is believed is ahead of the monotonic one.
    ahead_ms: i64,
}

/// The clocks of one process, from its first look at them.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Moment,
    eras: VecDeque<Era>,
}

/// From a setting of the wall clock to the last look at it before the next.
#[derive(Clone, Copy, Debug)]
struct Era {
    /// When it began, on the monotonic clock as `to` is.
    from: Duration,
    to: Duration,
    /// How far the wall clock was ahead of the monotonic one; `ahead_ms`: how far the wall clock that was believed was.
    shown_ms: i64,
    ahead_ms: i64,
}

impl Moment {
    /// The time since `earlier`, by the clock that saw more of it.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        let unseen_ms = u64::try_from(self.ahead_ms - earlier.ahead_ms).unwrap_or(0);
        self.mono.saturating_sub(earlier.mono) + Duration::from_millis(unseen_ms)
    }

    /// The moment `age_ms` before this one. A monotonic clock that began later did not see all of that time.
    pub(crate) fn before(self, age_ms: i64) -> Moment {
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let mono = self.mono.saturating_sub(age);
        let unseen = age - (self.mono - mono);
        Moment { mono, ahead_ms: self.ahead_ms - whole_ms(unseen), ..self }
    }

    fn believed_ms(self) -> i64 {
        whole_ms(self.mono) + self.ahead_ms
    }
}

impl Clock {
    pub(crate) fn new(now: Now) -> Clock {
        let Now { mono, wall_ms } = now;
        let ahead_ms = date(wall_ms) - whole_ms(mono);
        let era = Era { from: mono, to: mono, shown_ms: ahead_ms, ahead_ms };
        Clock { now: Moment { mono, wall_ms, ahead_ms }, eras: VecDeque::from([era]) }
    }

    pub(crate) fn observe(&mut self, now: Now) {
        let Now { mono, wall_ms } = now;
        let shown_ms = date(wall_ms) - whole_ms(mono);
        let ahead_ms = match self.eras.back_mut().filter(|era| era.is_as_then(shown_ms)) {
            Some(era) => {
                era.to = mono;
                era.ahead_ms
            }
            None => self.begin_era(mono, shown_ms),
        };
        self.now = Moment { mono, wall_ms, ahead_ms };
    }

    fn begin_era(&mut self, from: Duration, shown_ms: i64) -> i64 {
        let ahead_ms = match self.eras.iter().position(|era| era.is_as_then(shown_ms)) {
            Some(agreed) => {
                let ahead_ms = self.eras[agreed].ahead_ms;
                for era in self.eras.iter_mut().skip(agreed) {
                    era.ahead_ms = ahead_ms;
                }
                ahead_ms
            }
            None => self.now.ahead_ms.max(shown_ms),
        };
        self.eras.push_back(Era { from, to: from, shown_ms, ahead_ms });
        if self.eras.len() > ERAS_MAX {
            self.eras.pop_front();
        }
        ahead_ms
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// How long ago the wall clock showed `wall_ms` first, or first at or after `since`; negative: that is still to come.
    pub(crate) fn age_ms(&self, wall_ms: u64, since: Option<Moment>) -> i64 {
        let wall_ms = date(wall_ms);
        let since_ms = since.map_or(i64::MIN, |since| since.believed_ms() - SLACK_MS);
        let shown = self.eras.iter().filter_map(|era| era.dates(wall_ms));
        let shown = shown.filter(|shown| *shown >= since_ms).min();
        self.now.believed_ms() - shown.unwrap_or(wall_ms)
    }
}

impl Era {
    /// Whether both clocks agree now as they did in this era.
    fn is_as_then(&self, shown_ms: i64) -> bool {
        (self.shown_ms - shown_ms).abs() <= SLACK_MS
    }

    /// What was believed when the wall clock showed this, if it did.
    fn dates(&self, wall_ms: i64) -> Option<i64> {
        let shown = whole_ms(self.from) - SLACK_MS..=whole_ms(self.to) + SLACK_MS;
        let mono_ms = wall_ms - self.shown_ms;
        shown.contains(&mono_ms).then_some(mono_ms + self.ahead_ms)
    }
}

/// Milliseconds since the Unix epoch, to reckon with.
fn date(wall_ms: u64) -> i64 {
    i64::try_from(wall_ms).unwrap_or(FAR_MS).min(FAR_MS)
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(FAR_MS).min(FAR_MS)
}

#[cfg(test)]
mod tests;
