//! Which keys a watch is about.

/// Keys, prefixes and ranges in one selection, at most.
pub const SELECTED_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
    /// From `start` to before `end`; no `end`: all that follow.
    Range {
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    },
}

/// Ranges of keys, ascending, none of which meets another: whatever selects a key, it is selected once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    ranges: Vec<Range>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: Vec<u8>,
    /// Exclusive; none: no bound.
    end: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} keys, prefixes and ranges are more than {SELECTED_MAX}")]
pub struct TooMany {
    pub asked: usize,
}

impl Selection {
    /// What any of `keys` selects; everything where there is none.
    pub fn new(keys: Vec<Keys>) -> Result<Selection, TooMany> {
        if keys.len() > SELECTED_MAX {
            return Err(TooMany { asked: keys.len() });
        }
        if keys.is_empty() {
            return Ok(Selection { ranges: vec![Range { start: Vec::new(), end: None }] });
        }
        let ranges = keys.into_iter().map(Range::from).filter(|range| !range.is_empty());
        Ok(Selection { ranges: merged(ranges.collect()) })
    }

    /// Start and end (exclusive) of what is selected, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.ranges.iter().map(|range| (range.start.as_slice(), range.end.as_deref()))
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        let begun = self.ranges.partition_point(|range| range.start.as_slice() <= key);
        let last = begun.checked_sub(1).map(|last| &self.ranges[last]);
        last.is_some_and(|range| range.end.as_deref().is_none_or(|end| key < end))
    }
}

impl Range {
    fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

impl From<Keys> for Range {
    fn from(keys: Keys) -> Range {
        match keys {
            Keys::Key(key) => {
                let next = [key.as_slice(), &[0]].concat();
                Range { start: key, end: Some(next) }
            }
            Keys::Prefix(prefix) => Range { end: after_prefix(&prefix), start: prefix },
            Keys::Range { start, end } => Range { start, end },
        }
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

/// The first key behind all that begin with `prefix`; none: there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}
