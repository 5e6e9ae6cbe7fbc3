//! A place behind the ring, on its way through the log.
//!
//! What the log gives is judged as a copy judges what it reads: by leader epochs, which name histories, and by its gaps. A gap
//! hides records for the sake of later ones, up to the end that its leader had then; where such a later one is lost, and the log
//! goes on with another, the hidden record is missing for good. That takes an election, and so an epoch that begins below that
//! end. So a leader's epoch has to be known from below: before anything is read, the log is asked for what lies at the end
//! of the copy, which only a leader answers that has heard of the copy's newest epoch, and asked again when the copy has heard of
//! a later one. A record of an epoch that is later still leaves in doubt every end above where it may begin: the log is asked for
//! what lies there, and refuses that if its history is another. So it is where a place has come to the ring, and a hole hides there
//! of which history it is.

use std::time::Duration;

use super::place::Place;
use super::point::Lost;
use super::reader::{Given, Missed, Wanted};
use super::ring::Lane;
use crate::batch::Batch;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::Loss;
use crate::offset::{Epoch, Offset, Partition};
use crate::time::Now;

#[derive(Debug)]
pub(super) struct Behind {
    pub(super) partition: Partition,
    /// What was delivered.
    lineage: Lineage,
    /// Whoever gives batches is proven to have heard of this epoch.
    leader: Option<Epoch>,
    doubted: Option<Proof>,
    /// The log has what lies right below the position, as a leader leads it that has heard of `leader`.
    has_below: bool,
    read: Read,
    /// Failures in a row.
    failures: u32,
}

#[derive(Debug)]
enum Read {
    /// Nothing is asked for until this monotonic time.
    Rests(Duration),
    /// `of`: a proof is wanted, not records. `stale`: the copy was opened anew since it was asked for.
    Wanted {
        of: Option<Proof>,
        stale: bool,
    },
    Came(Box<Given>),
}

#[derive(Clone, Copy, Debug)]
enum Proof {
    /// Whoever answers has heard of this epoch.
    Heard(Epoch),
    /// A log that has heard of `by` has the end that a leader of the first epoch told.
    Has { told: (Epoch, Offset), by: Epoch },
    /// It has what lies right below the position.
    HasBelow,
}

/// What is next.
#[derive(Debug)]
pub(super) enum Next {
    Read(Wanted),
    /// What came, of which everything is applied.
    Take(Box<Given>),
    /// The log, the copy, or this monotonic time.
    Wait(Option<Duration>),
}

impl Behind {
    /// None: nothing tells of which history the place is.
    pub(super) fn of(partition: Partition, place: &Place) -> Option<Behind> {
        let Place { at, epoch, exact_from, confirmed_at_ms, .. } = *place;
        let below = epoch.zip(at.before());
        if below.is_none() && at > Offset::ZERO {
            return None;
        }
        let empty = Lineage::empty(confirmed_at_ms, u64::MAX);
        let mut lineage = Lineage { position: at, exact_from, ..empty };
        if let Some((epoch, last)) = below {
            lineage.epochs.observe(epoch, last);
            if !lineage.exact() {
                lineage.ends.tell(epoch, exact_from);
            }
        }
        Some(Behind {
            partition,
            lineage,
            leader: None,
            doubted: None,
            has_below: false,
            read: Read::Rests(Duration::ZERO),
            failures: 0,
        })
    }

    /// Whether the ring has all that comes now, no gap asks for more of the log, and an epoch tells which history it was. Where
    /// the ring hides which one it has, the log is still to be asked.
    pub(super) fn is_over(&self, lane: &Lane) -> bool {
        let Lineage { position, ref epochs, .. } = self.lineage;
        position >= lane.from() && self.lineage.exact() && epochs.latest().is_some()
    }

    /// Whether the log has what lies right below, and the copy has heard of no later leader since it was asked.
    pub(super) fn is_proven(&self, lane: &Lane) -> bool {
        self.has_below && !self.has_not_heard(lane)
    }

    /// Whether an answer is still to come.
    pub(super) fn asks(&self) -> bool {
        matches!(self.read, Read::Wanted { .. })
    }

    pub(super) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The copy is read anew: what came before that may be of a history that neither log nor copy has any more, and gaps
    /// below `exact_from` count, also those of batches from the ring.
    pub(super) fn begin_again(&mut self, exact_from: Offset) -> Result<(), Lost> {
        self.has_below = false;
        match &mut self.read {
            Read::Wanted { stale, .. } => *stale = true,
            Read::Came(_) => self.read = Read::Rests(Duration::ZERO),
            Read::Rests(_) => {}
        }
        if exact_from > self.lineage.exact_from.max(self.lineage.position) {
            let teller = self.lineage.epochs.latest().ok_or(Lost::History)?;
            self.lineage.exact_from = exact_from;
            self.lineage.ends.tell(teller, exact_from);
        }
        Ok(())
    }

    pub(super) fn next(&mut self, lane: &Lane, limits: &Limits, now: Now) -> Next {
        match &self.read {
            Read::Rests(until) if *until > now.mono => Next::Wait(Some(*until)),
            Read::Rests(_) => Next::Read(self.want(lane, limits)),
            Read::Wanted { .. } => Next::Wait(None),
            // The copy has heard of a later epoch than whoever gave this is known to have.
            Read::Came(_) if self.has_not_heard(lane) => Next::Read(self.want(lane, limits)),
            // A read after an event must see it, so the copy has to apply it first.
            Read::Came(given) if !is_applied(&given.batch, lane) => Next::Wait(None),
            Read::Came(_) => {
                let came = std::mem::replace(&mut self.read, Read::Rests(Duration::ZERO));
                let Read::Came(given) = came else { unreachable!("it was just matched") };
                Next::Take(given)
            }
        }
    }

    fn has_not_heard(&self, lane: &Lane) -> bool {
        self.leader.max(self.lineage.epochs.latest()) < lane.latest()
    }

    fn want(&mut self, lane: &Lane, limits: &Limits) -> Wanted {
        let newest = lane.latest().filter(|_| self.has_not_heard(lane));
        // What an older leader had may not be there any more.
        self.has_below &= newest.is_none();
        let hidden = self.is_over(lane).then_some(Proof::HasBelow);
        let of = newest.map(Proof::Heard).or(self.doubted).or(hidden);
        self.read = Read::Wanted { of, stale: false };
        let Lineage { position, ref epochs, .. } = self.lineage;
        let (from, epoch, bytes_max) = match of {
            Some(Proof::Heard(epoch)) => (lane.end(), Some(epoch), Wanted::PROOF_BYTES),
            Some(Proof::Has { told: (epoch, end), .. }) => (end, Some(epoch), Wanted::PROOF_BYTES),
            Some(Proof::HasBelow) => (position, epochs.latest(), Wanted::PROOF_BYTES),
            None => (position, epochs.latest(), limits.fetch_bytes_max),
        };
        Wanted { partition: self.partition, from, epoch, bytes_max }
    }

    /// Takes the answer to what was wanted.
    pub(super) fn answered(
        &mut self,
        answer: Result<Given, Missed>,
        limits: &Limits,
        now: Now,
    ) -> Result<(), Lost> {
        let Read::Wanted { of, stale } = self.read else { return Ok(()) };
        match answer {
            Ok(_) | Err(Missed::Lost(_)) if stale => self.read = Read::Rests(Duration::ZERO),
            Ok(given) => {
                self.failures = 0;
                self.read = Read::Rests(Duration::ZERO);
                match of {
                    Some(Proof::Heard(epoch)) => self.leader = self.leader.max(Some(epoch)),
                    Some(Proof::Has { told, by }) => {
                        self.lineage.ends.prove(told, by);
                        self.doubted = None;
                    }
                    Some(Proof::HasBelow) => self.has_below = true,
                    None => self.read = Read::Came(Box::new(given)),
                }
            }
            // Who has not heard of an epoch is deposed, or will hear of it.
            Err(Missed::Failed | Missed::Lost(Loss::UnknownEpoch)) => {
                // Whoever answers next may be another client, which has heard of less.
                (self.leader, self.doubted, self.has_below) = (None, None, false);
                self.read = Read::Rests(now.mono + limits.retry_after(self.failures));
                self.failures += 1;
            }
            Err(Missed::Lost(Loss::OutOfRange | Loss::Diverged)) => return Err(Lost::History),
        }
        Ok(())
    }

    /// Goes on after the batch. False: something is in doubt, and has to be proven before it is read again.
    pub(super) fn pass(&mut self, batch: &Batch) -> Result<bool, Lost> {
        let before = &self.lineage;
        if batch.falls_below(before.epochs.latest()) || before.contradicts(batch) {
            return Err(Lost::History);
        }
        let doubted = before.doubted(batch).zip(batch.leader());
        self.doubted = doubted.map(|(told, by)| Proof::Has { told, by });
        if self.doubted.is_some() {
            return Ok(false);
        }
        let mut next = before.after(batch, true);
        if !next.exact() {
            let leader = self.leader.max(next.epochs.latest()).ok_or(Lost::History)?;
            next.ends.tell(leader, next.exact_from);
        }
        (self.lineage, self.has_below) = (next, false);
        Ok(true)
    }
}

/// Whether the copy has all of the batch: it may be so far, and in another history.
fn is_applied(batch: &Batch, lane: &Lane) -> bool {
    let newest = batch.epochs.last().map(|(epoch, _)| *epoch);
    batch.range.end <= lane.end() && newest <= lane.latest()
}
