//! Which keys a watch is about.

use crate::keys::Range;

/// Keys, prefixes and ranges in one selection, at most.
pub const SELECTED_MAX: usize = 64;

/// Ranges of keys, ascending, none of which meets another: whatever selects a key, it is selected once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} keys, prefixes and ranges are more than {SELECTED_MAX}")]
pub struct TooMany {
    pub asked: usize,
}

impl Selection {
    /// The union of `keys`; all keys if there are none.
    pub fn new(keys: Vec<impl Into<Range>>) -> Result<Selection, TooMany> {
        if keys.len() > SELECTED_MAX {
            return Err(TooMany { asked: keys.len() });
        }
        if keys.is_empty() {
            return Ok(Selection { ranges: vec![Range::ALL] });
        }
        let ranges = keys.into_iter().map(Into::into).filter(|range: &Range| !range.is_empty());
        Ok(Selection { ranges: merged(ranges.collect()) })
    }

    /// What is selected, ascending.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        let begun = self.ranges.partition_point(|range| range.start.as_slice() <= key);
        let last = begun.checked_sub(1).map(|last| &self.ranges[last]);
        last.is_some_and(|range| range.contains(key))
    }
}

fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(Range { end: None, .. }) => break,
            Some(Range { end: Some(end), .. }) if range.start <= *end => match range.end {
                Some(further) => *end = further.max(std::mem::take(end)),
                None => merged.last_mut().expect("it was just met").end = None,
            },
            Some(_) | None => merged.push(range),
        }
    }
    merged
}
