//! What else is known when a history is judged: final contents, the log, and what the world permits.

use std::collections::BTreeMap;

use super::operation::Rows;

#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What copies that have read everything hold in the end, each judged on its own.
    pub contents: Vec<Rows>,
    /// Everything that the log ever took, when that is known: what the cleaner removed included.
    pub log: Option<Vec<Record>>,
    pub licence: Licence,
}

/// One record of the log, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: u32,
    pub offset: u64,
    pub key: Vec<u8>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    /// Its transaction was aborted, or has no end.
    Aborted,
    /// It was readable until a licensed loss took it.
    Lost,
}

/// What the world did that excuses what would otherwise be a violation.
#[derive(Clone, Debug, Default)]
pub struct Licence {
    pub losses: Vec<Loss>,
    /// `LATEST` is only as fresh as the leader that answers.
    pub stale_leaders: Vec<StaleLeader>,
}

/// An unclean election, say: the partition lost everything at and above an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub partition: u32,
    pub from: u64,
    pub at: u64,
    /// When no copy served what was lost any more.
    pub until: u64,
    /// Somebody was told of it: a loss of acknowledged writes must not pass in silence.
    pub declared: bool,
}

/// A deposed leader answered somebody during `from..=until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleLeader {
    pub partition: u32,
    pub from: u64,
    pub until: u64,
}

/// The log's committed records by partition and offset.
pub(super) type Committed<'a> = BTreeMap<(u32, u64), &'a Record>;

impl Evidence {
    pub(super) fn committed(&self) -> Option<Committed<'_>> {
        let records = self.log.as_ref()?.iter();
        let committed = records.filter(|record| record.fate == Fate::Committed);
        Some(committed.map(|record| ((record.partition, record.offset), record)).collect())
    }
}

impl Record {
    pub(super) fn is_of(&self, (key, value): (&[u8], Option<&[u8]>)) -> bool {
        self.key == key && self.value.as_deref() == value
    }
}

impl Licence {
    /// The loss that may have taken what was appended at `offset` after `since`.
    pub(super) fn loss_of(&self, partition: u32, offset: u64, since: u64) -> Option<&Loss> {
        self.losses
            .iter()
            .find(|loss| loss.partition == partition && loss.from <= offset && since <= loss.at)
    }

    /// Below this position a read begun at `invoked` is of the one history that there is: above, it may be
    /// of a copy that still holds what the log lost.
    pub(super) fn certain_below(&self, partition: u32, invoked: u64) -> u64 {
        let losses = self.losses.iter();
        let lately = losses.filter(|loss| loss.partition == partition && invoked <= loss.until);
        lately.map(|loss| loss.from).min().unwrap_or(u64::MAX)
    }

    pub(super) fn stale_leader(&self, partition: u32, invoked: u64, over: u64) -> bool {
        self.stale_leaders.iter().any(|stale| {
            stale.partition == partition && stale.from <= over && invoked <= stale.until
        })
    }
}
