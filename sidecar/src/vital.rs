//! Threads that the process cannot do without, and what each of them has under way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, TryRecvError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::telemetry;

/// Starts a thread whose panic ends the process: a node without its core, its log or a disk would answer from a state that
/// nobody keeps true. What was flushed is a consistent copy, as after a crash.
pub(crate) fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(|| {
        let vital = Vital;
        run();
        drop(vital);
    })
}

/// The inbox of such a thread. What was taken out of it is under way until the next is asked for.
pub(crate) struct Work<M> {
    inbox: Receiver<M>,
    pulse: Pulse,
}

/// When a thread last went on, whether it had anything to do or not. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    /// Monotonic, in milliseconds.
    at_ms: Arc<AtomicU64>,
}

/// Which piece of work is under way, if any: read by whoever watches it. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// It is odd while something is under way, and another number for every piece.
    beat: Arc<AtomicU64>,
}

struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            telemetry::last_words(format!(
                "outrigger: a defect of Outrigger, please report it: thread `{name}` panicked, see above; the process ends"
            ));
            std::process::abort();
        }
    }
}

impl<M> Work<M> {
    pub(crate) fn new(inbox: Receiver<M>) -> Work<M> {
        Work { inbox, pulse: Pulse::default() }
    }

    pub(crate) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    pub(crate) fn recv(&self) -> Result<M, RecvError> {
        self.pulse.rest();
        let next = self.inbox.recv();
        self.pulse.begin();
        next
    }

    pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<M, RecvTimeoutError> {
        self.pulse.rest();
        let next = self.inbox.recv_timeout(timeout);
        self.pulse.begin();
        next
    }

    /// The same for a thread that must go on without work, too: it does not rest while it waits, so that one that does
    /// not wake in time hangs, whatever keeps it.
    pub(crate) fn recv_within(&self, timeout: Duration) -> Result<M, RecvTimeoutError> {
        self.pulse.begin();
        let next = self.inbox.recv_timeout(timeout);
        self.pulse.begin();
        next
    }

    /// Takes the next piece, if there is one. The thread does not rest.
    pub(crate) fn try_recv(&self) -> Result<M, TryRecvError> {
        self.pulse.begin();
        self.inbox.try_recv()
    }
}

/// A thread that has ended does not hang.
impl<M> Drop for Work<M> {
    fn drop(&mut self) {
        self.pulse.rest();
    }
}

impl Heartbeat {
    /// `now` is monotonic, as everywhere here.
    pub(crate) fn beat(&self, now: Duration) {
        self.at_ms.store(millis(now), Ordering::Relaxed);
    }

    /// Returns how long ago it went on.
    pub fn age(&self, now: Duration) -> Duration {
        let at = self.at_ms.load(Ordering::Relaxed);
        Duration::from_millis(millis(now).saturating_sub(at))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Pulse {
    /// Begins the next piece of work. Only the one who works on it calls this, or who shows for them that it goes on.
    pub(crate) fn begin(&self) {
        let beat = self.beat.load(Ordering::Relaxed);
        self.beat.store(beat.wrapping_add(1) | 1, Ordering::Relaxed);
    }

    pub(crate) fn rest(&self) {
        let beat = self.beat.load(Ordering::Relaxed);
        self.beat.store(beat.wrapping_add(1) & !1, Ordering::Relaxed);
    }

    /// Sets the oldest piece that is not done, where work has numbers of its own.
    pub(crate) fn set(&self, oldest: Option<u64>) {
        self.beat.store(oldest.map_or(0, |number| number << 1 | 1), Ordering::Relaxed);
    }

    /// Returns some number that stands for what is under way.
    pub(crate) fn under_way(&self) -> Option<u64> {
        let beat = self.beat.load(Ordering::Relaxed);
        (beat & 1 == 1).then_some(beat)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_was_taken_is_under_way_until_the_next_is_asked_for() {
        let (sender, receiver) = channel();
        let work = Work::new(receiver);
        let pulse = work.pulse();
        assert_eq!(pulse.under_way(), None);
        for number in 1..=3 {
            sender.send(number).unwrap();
        }
        work.recv().unwrap();
        let first = pulse.under_way();
        work.try_recv().unwrap();
        let second = pulse.under_way();
        work.recv_timeout(Duration::ZERO).unwrap();
        let third = pulse.under_way();
        assert!(first.is_some() && second.is_some() && third.is_some());
        assert!(first != second && second != third, "every piece is another");
        drop(work);
        assert_eq!(pulse.under_way(), None);
    }

    #[test]
    fn whoever_must_go_on_does_not_rest_while_it_waits() {
        let (sender, receiver) = channel::<()>();
        let work = Work::new(receiver);
        let pulse = work.pulse();
        work.recv_within(Duration::ZERO).unwrap_err();
        let first = pulse.under_way();
        work.recv_within(Duration::ZERO).unwrap_err();
        let second = pulse.under_way();
        assert!(first.is_some() && second.is_some() && first != second, "each wait is another");
        drop(sender);
    }

    #[test]
    fn a_heartbeat_tells_how_long_ago_it_was() {
        let heartbeat = Heartbeat::default();
        heartbeat.beat(Duration::from_secs(7));
        assert_eq!(heartbeat.age(Duration::from_millis(7_250)), Duration::from_millis(250));
        assert_eq!(heartbeat.age(Duration::from_secs(6)), Duration::ZERO);
    }

    #[test]
    fn numbered_work_stands_for_its_oldest() {
        let pulse = Pulse::default();
        pulse.set(Some(0));
        let oldest = pulse.under_way();
        pulse.set(Some(1));
        assert!(oldest.is_some() && pulse.under_way() != oldest);
        pulse.set(None);
        assert_eq!(pulse.under_way(), None);
    }
}
