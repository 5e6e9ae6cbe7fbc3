//! Cursors: points that the log keeps under a name, and which may be kept under one.
//!
//! A cursor is what a consumer group has committed: for each partition the position, the epoch of the newest record below
//! it, and a text that says of which topic it is, when it was confirmed and when it was committed.
//!
//! | what is asked of a point that is to be committed | if not |
//! |---|---|
//! | could a watch go on from it (`judge`)? | [`Verdict::Lost`] |
//! | has the copy come so far? | [`Verdict::Wait`] |
//! | is it at or above what is kept, in every partition? Over a cursor that is lost anything is committed | [`Verdict::Back`] |
//! | if it is not, has the copy come to what is kept? The log may have lost that | [`Verdict::WaitForKept`] |
//!
//! What is kept is a whole point or is [`Lost`] by name; nothing is guessed.

use std::fmt;
use std::str::FromStr;

use super::judge::{Judgement, judge, lost_by};
use super::place::Place;
use super::point::{Lost, NoPoint, Point};
use super::sight::Sight;
use crate::gate::Rejection;
use crate::offset::{Epoch, Offset, Partition};
use crate::token::Token;
use crate::topic::TopicId;

/// How a cursor is called: 1 to 128 letters, digits, `.`, `_` and `-` of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-` of ASCII")]
pub struct CursorNameError;

pub const NAME_BYTES_MAX: usize = 128;

/// A cursor that nobody has committed for this long is committed anew: Kafka forgets what a group without members has
/// committed after `offsets.retention.minutes`, a week unless somebody has set less.
pub const KEPT_FOR_MS: u64 = 24 * 3_600_000;

/// What the log keeps of a cursor in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub partition: Partition,
    pub position: Offset,
    pub epoch: Option<Epoch>,
    /// What others have committed may say anything here.
    pub metadata: String,
}

/// A cursor, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub point: Point,
    /// Wall clock, ms.
    pub committed_at_ms: u64,
}

/// What becomes of a point that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    /// The copy is not there yet.
    Wait,
    /// It is below what is kept, and the copy is not there yet. Where the log does not reach so far either, what is kept is
    /// lost.
    WaitForKept(Point),
    /// No watch could go on from it.
    Lost(Lost),
    /// It is below what is kept.
    Back {
        partition: Partition,
        position: Offset,
        kept: Offset,
    },
}

/// What is beside an offset: the same text in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Metadata {
    topic: TopicId,
    confirmed_at_ms: u64,
    committed_at_ms: u64,
}

impl CursorName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CursorName {
    type Err = CursorNameError;

    fn from_str(name: &str) -> Result<CursorName, CursorNameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal);
        if fits { Ok(CursorName(name.to_owned())) } else { Err(CursorNameError) }
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Cursor {
    /// What the log is to keep of it, by partition.
    pub fn committed(&self) -> Vec<Committed> {
        let Cursor { point: Point { token, confirmed_at_ms }, committed_at_ms } = self;
        let (confirmed_at_ms, committed_at_ms) = (*confirmed_at_ms, *committed_at_ms);
        let metadata = Metadata { topic: token.topic, confirmed_at_ms, committed_at_ms };
        let each = (0..).map(Partition).zip(&token.positions);
        let committed = each.map(|(partition, (position, epoch))| Committed {
            partition,
            position: *position,
            epoch: *epoch,
            metadata: metadata.to_string(),
        });
        committed.collect()
    }

    /// What the log keeps, as a cursor of a topic with this many partitions. The order of `committed` says nothing.
    pub fn of(topic: TopicId, partitions: usize, committed: &[Committed]) -> Result<Cursor, Lost> {
        let told = committed.iter().map(|each| each.metadata.parse::<Metadata>());
        let told = told.collect::<Result<Vec<_>, _>>().map_err(Lost::Cursor)?;
        // What a topic with more partitions has left behind is never committed over, and is nobody's.
        let own = |(committed, told): &(&Committed, Metadata)| {
            committed.partition.index() < partitions || told.topic == topic
        };
        let (committed, told): (Vec<_>, Vec<_>) = committed.iter().zip(told).filter(own).unzip();
        if committed.is_empty() {
            return Err(Lost::Cursor(NoPoint::Unknown));
        }
        if told.iter().any(|told| told.topic != topic) {
            return Err(Lost::Topic);
        }
        let mut positions = vec![None; partitions];
        for Committed { partition, position, epoch, .. } in committed {
            let free = positions.get_mut(partition.index()).ok_or(Lost::Topic)?;
            *free = Some((*position, *epoch));
        }
        let positions = positions.into_iter().collect::<Option<Vec<_>>>();
        let positions = positions.ok_or(Lost::Cursor(NoPoint::Partial))?;
        // Where they differ, the oldest is true of all.
        let confirmed_at_ms = told.iter().map(|told| told.confirmed_at_ms).min().unwrap_or(0);
        let committed_at_ms = told.iter().map(|told| told.committed_at_ms).min().unwrap_or(0);
        let point = Point { token: Token { topic, positions }, confirmed_at_ms };
        Ok(Cursor { point, committed_at_ms })
    }

    /// Offsets between the cursor and a copy at these positions.
    pub fn lag(&self, positions: &[Offset]) -> u64 {
        let each = positions.iter().zip(&self.point.token.positions);
        each.map(|(copy, (cursor, _))| copy.since(*cursor)).fold(0, u64::saturating_add)
    }

    /// Whether it was committed so long ago that it is to be committed anew. A date that is as far ahead is of a wrong clock.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms.abs_diff(self.committed_at_ms) >= KEPT_FOR_MS
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { topic, confirmed_at_ms, committed_at_ms } = self;
        write!(f, "outrigger 1 topic={topic} confirmed_at_ms={confirmed_at_ms} ")?;
        write!(f, "committed_at_ms={committed_at_ms}")
    }
}

/// It is spelled as it is shown, and in no other way.
impl FromStr for Metadata {
    type Err = NoPoint;

    fn from_str(text: &str) -> Result<Metadata, NoPoint> {
        let mut words = text.split(' ').skip(2);
        let mut word = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let mut read = || {
            let topic = word("topic")?.parse().ok()?;
            let confirmed_at_ms = word("confirmed_at_ms")?.parse().ok()?;
            let committed_at_ms = word("committed_at_ms")?.parse().ok()?;
            Some(Metadata { topic, confirmed_at_ms, committed_at_ms })
        };
        let read = read().filter(|metadata| metadata.to_string() == text);
        read.ok_or(NoPoint::Foreign)
    }
}

/// Whether a watch could go on from a point, as far as a node that is [`whole`](Sight::is_whole) can tell without reading the
/// log. One that is ahead of the copy may be.
pub fn check(point: &Point, sight: &Sight<'_>) -> Result<(), Lost> {
    match judged(point, sight) {
        Judgement::Resume | Judgement::Wait => Ok(()),
        Judgement::Lost(why) => Err(why),
    }
}

/// Whether the copy is still to come to it. The log may have lost it: only a wait tells.
pub fn is_ahead(point: &Point, sight: &Sight<'_>) -> bool {
    judged(point, sight) == Judgement::Wait
}

/// Judges a point that is to be committed over what is kept, on a node that is [`whole`](Sight::is_whole).
pub fn judge_commit(point: &Point, kept: &Result<Cursor, Lost>, sight: &Sight<'_>) -> Verdict {
    match judged(point, sight) {
        Judgement::Resume => {}
        Judgement::Wait => return Verdict::Wait,
        Judgement::Lost(why) => return Verdict::Lost(why),
    }
    let Ok(Cursor { point: kept, .. }) = kept else { return Verdict::Commit };
    let each = point.token.positions.iter().zip(&kept.token.positions);
    let mut each = (0..).map(Partition).zip(each);
    let back = each.find(|(_, ((position, _), (kept, _)))| position < kept);
    let Some((partition, ((position, _), (kept_at, _)))) = back else { return Verdict::Commit };
    match judged(kept, sight) {
        Judgement::Resume => Verdict::Back { partition, position: *position, kept: *kept_at },
        Judgement::Wait => Verdict::WaitForKept(kept.clone()),
        Judgement::Lost(_) => Verdict::Commit,
    }
}

/// What the rejection of a wait for a point says of it; none: nothing for good.
pub fn lost_while_waiting(rejection: &Rejection) -> Option<Lost> {
    lost_by(rejection)
}

fn judged(point: &Point, sight: &Sight<'_>) -> Judgement {
    judge(point.token.topic, &Place::all_of(point, sight.now), None, sight)
}
