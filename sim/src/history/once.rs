//! O2: an operation takes effect at most once, at the offset that was acknowledged.

use std::collections::BTreeMap;

use super::evidence::{Evidence, Fate, Record};
use super::sighting::Sighting;
use super::timeline::Standing;
use super::{History, Oracle, Violation};

/// A value at another offset than its own.
pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let (row, write) = sighting.writer()?;
    let acknowledged = write.operation.is_some();
    let own = match write.standing {
        Standing::At(own) | Standing::Lost(own, _) if acknowledged && own != row.offset => own,
        Standing::At(_) | Standing::Lost(..) => return None,
        Standing::Possible | Standing::Never | Standing::Aborted => return None,
    };
    let detail = format!("acknowledged at {own}, and seen at {}", row.offset);
    let operations = sighting.operations(&[write.operation]);
    Some(Violation::new(Oracle::O2, sighting.key, operations, detail))
}

/// Writes of unknown outcome that were seen at two offsets.
pub(super) fn judge_all(sightings: &[Sighting], evidence: &Evidence) -> Vec<Violation> {
    // After a loss the same write may land again.
    if !evidence.licence.losses.is_empty() {
        return Vec::new();
    }
    let mut first: BTreeMap<usize, (u64, Option<usize>)> = BTreeMap::new();
    let mut violations = Vec::new();
    for sighting in sightings {
        let Some((row, write)) = sighting.writer() else { continue };
        let (Standing::Possible, Some(operation)) = (write.standing, write.operation) else {
            continue;
        };
        let (at, seen_by) = *first.entry(operation).or_insert((row.offset, sighting.operation));
        if at != row.offset {
            let detail = format!("seen at {at}, and at {}", row.offset);
            let operations = sighting.operations(&[Some(operation), seen_by]);
            violations.push(Violation::new(Oracle::O2, sighting.key, operations, detail));
        }
    }
    violations
}

/// Puts that the log has more than once.
pub(super) fn judge_log(history: &History, evidence: &Evidence) -> Vec<Violation> {
    let mut offsets: BTreeMap<(&[u8], &[u8]), Vec<&Record>> = BTreeMap::new();
    let committed = |record: &&Record| record.fate == Fate::Committed;
    for record in evidence.log.iter().flatten().filter(committed) {
        let Some(value) = &record.value else { continue };
        offsets.entry((&record.key, value)).or_default().push(record);
    }
    let mut violations = Vec::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let Some((key, Some(value))) = operation.call.write() else { continue };
        let Some(twice) = offsets.get(&(key, value)).filter(|records| records.len() > 1) else {
            continue;
        };
        let places: Vec<String> =
            twice.iter().map(|at| format!("{}/{}", at.partition, at.offset)).collect();
        let detail = format!("the log has it at {}", places.join(" and "));
        violations.push(Violation::new(Oracle::O2, key, vec![index], detail));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at, row};
    use super::super::{Level, Told};
    use super::*;

    #[test]
    fn a_put_is_seen_at_the_offset_that_was_acknowledged() {
        let put = || Story::default().put("k", "a", at(3));
        put().get("k", Level::Stale, row(3, "a"), 4).passes();
        put().get("k", Level::Stale, row(5, "a"), 6).fails(Oracle::O2, &[0, 1]);
        put().content(&[("k", 5, "a")]).fails(Oracle::O2, &[0]);
    }

    #[test]
    fn a_put_of_unknown_outcome_is_seen_at_one_offset() {
        let seen = |offset| {
            let put = Story::default().put("k", "a", Told::Unknown);
            put.get("k", Level::Local, row(3, "a"), 4).get("k", Level::Local, row(offset, "a"), 9)
        };
        seen(3).passes();
        seen(8).fails(Oracle::O2, &[0, 1, 2]);
        seen(8).loss(3, true).passes();
    }

    #[test]
    fn the_log_has_a_put_once() {
        let put = || {
            let put = Story::default().put("k", "a", at(3));
            put.record(3, "k", Some("a"), Fate::Committed)
        };
        put().passes();
        put().record(5, "k", Some("a"), Fate::Committed).fails(Oracle::O2, &[0]);
        put().record(5, "k", Some("a"), Fate::Aborted).passes();
        put().record(5, "k", Some("a"), Fate::Lost).passes();
        put().record(5, "other", Some("a"), Fate::Committed).passes();
    }
}
