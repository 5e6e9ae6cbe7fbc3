//! What a watch is sent.

use std::sync::Arc;

use super::point::{Lost, Point};
use crate::batch::{Batch, Record};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Always the first. `point`: where changes go on; none where a state follows.
    Started {
        point: Option<Point>,
    },
    /// The rows of the state were sent, also where there were none.
    StateEnd {
        point: Point,
    },
    Changes(Changes),
    /// Nothing that was selected happened up to here.
    Progress {
        point: Point,
    },
    /// Whatever was sent is to be forgotten; the rows of a state follow, and their end.
    Again {
        why: Lost,
    },
}

/// What is selected of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub batch: Arc<Batch>,
    /// Their numbers in the batch, ascending; never empty.
    pub(super) records: Vec<u32>,
    /// Behind all of them; none where the state is not exact there.
    pub point: Option<Point>,
}

impl Changes {
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|number| self.batch.record(*number))
    }
}
