//! O1: an acknowledged write is in the log and in every final copy, or a later write of its key is, or its
//! loss was licensed and somebody was told of it.

use super::evidence::{Committed, Evidence};
use super::operation::Told;
use super::sighting::Sighting;
use super::{History, Oracle, Violation};

/// A final copy without the last write, which was a put; one with an older row than it.
pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let snapshot = sighting.snapshot.filter(|_| sighting.is_final())?;
    let (offset, last) = snapshot.last?;
    let put = last.value.is_some();
    let detail = match sighting.seen {
        None if put && !sighting.timeline?.may_be_deleted(sighting) => {
            format!("the put at {offset} is gone")
        }
        Some((row, _)) if row.offset < *offset && put => {
            format!("holds offset {}, although {offset} is in the log", row.offset)
        }
        None | Some(_) => return None,
    };
    let writer = sighting.writer().and_then(|(_, write)| write.operation);
    let operations = sighting.operations(&[last.operation, writer]);
    Some(Violation::new(Oracle::O1, sighting.key, operations, detail))
}

/// Acknowledged writes that the log, where it is known, does not have, and losses that nobody spoke of.
pub(super) fn judge_log(
    history: &History,
    evidence: &Evidence,
    log: Option<&Committed>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let (Some(write), Told::Appended { partition, offset }) =
            (operation.call.write(), &operation.told)
        else {
            continue;
        };
        let loss = evidence.licence.loss_of(*partition, *offset, operation.invoked);
        let gone = match (log, loss) {
            (Some(log), _) => !log.get(&(*partition, *offset)).is_some_and(|at| at.is_of(write)),
            (None, Some(loss)) => operation.over() < loss.at,
            (None, None) => false,
        };
        let place = format!("{partition}/{offset}");
        let detail = match loss {
            None if gone => format!("the log does not have it at {place}"),
            Some(loss) if gone && !loss.declared => {
                format!("the log lost {place}, and nobody was told")
            }
            None | Some(_) => continue,
        };
        violations.push(Violation::new(Oracle::O1, write.0, vec![index], detail));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::super::{Call, Fate, Level, Told};
    use super::*;

    fn put() -> Story {
        Story::default().put("k", "a", at(3))
    }

    #[test]
    fn an_acknowledged_put_is_in_the_final_copy() {
        put().content(&[("k", 3, "a")]).passes();
        put().content(&[]).fails(Oracle::O1, &[0]);
    }

    #[test]
    fn every_final_copy_is_judged() {
        put().content(&[("k", 3, "a")]).content(&[]).fails(Oracle::O1, &[0]);
    }

    #[test]
    fn a_later_write_supersedes_it_whatever_its_caller_knows() {
        put().put("k", "b", Told::Unknown).content(&[("k", 9, "b")]).passes();
        put().put("k", "b", Told::Unknown).content(&[("k", 3, "a")]).passes();
        put().delete("k", Told::Unknown).content(&[]).passes();
        put().unanswered(Call::Delete { key: "k".into() }).content(&[]).passes();
        put().delete("k", at(5)).content(&[]).passes();
        put().put("k", "b", at(5)).content(&[("k", 3, "a")]).fails(Oracle::O1, &[0, 1]);
    }

    #[test]
    fn an_acknowledged_write_is_in_the_log_where_it_was_said_to_be() {
        put().record(3, "k", Some("a"), Fate::Committed).passes();
        put().record(3, "k", Some("a"), Fate::Aborted).fails(Oracle::O1, &[0]);
        put().record(3, "other", Some("a"), Fate::Committed).fails(Oracle::O1, &[0]);
        let delete = || Story::default().delete("k", at(3));
        delete().record(3, "k", None, Fate::Committed).passes();
        delete().record(3, "k", Some("a"), Fate::Committed).fails(Oracle::O1, &[0]);
    }

    #[test]
    fn a_put_of_another_tool_that_the_log_has_is_in_the_final_copy() {
        let written = || Story::default().record(0, "k", Some("a"), Fate::Committed);
        written().content(&[("k", 0, "a")]).passes();
        written().content(&[]).fails(Oracle::O1, &[]);
    }

    #[test]
    fn a_licensed_loss_excuses_what_it_took_if_somebody_was_told() {
        put().loss(3, true).content(&[]).passes();
        put().loss(3, false).content(&[]).fails(Oracle::O1, &[0]);
        put().loss(4, true).content(&[]).fails(Oracle::O1, &[0]);
        Story::default().loss(0, true).put("k", "a", at(3)).content(&[]).fails(Oracle::O1, &[0]);
    }

    #[test]
    fn what_a_loss_could_have_taken_but_left_counts() {
        put()
            .loss(3, false)
            .record(3, "k", Some("a"), Fate::Committed)
            .content(&[("k", 3, "a")])
            .passes();
        put()
            .loss(3, true)
            .record(3, "k", Some("a"), Fate::Committed)
            .content(&[])
            .fails(Oracle::O1, &[0]);
    }

    #[test]
    fn an_offset_that_a_loss_gave_free_is_used_again() {
        let again = put().loss(3, true).put("k", "b", at(3));
        again.content(&[("k", 3, "b")]).passes();
    }
    #[test]
    fn only_a_delete_that_may_have_happened_explains_that_there_is_no_row() {
        put().delete("k", Told::DidNotHappen).content(&[]).fails(Oracle::O1, &[0]);
        put().delete("k", Told::Aborted).content(&[]).fails(Oracle::O1, &[0]);
        let put_again = Story::default().delete("k", at(2)).put("k", "a", at(3));
        put_again.content(&[]).fails(Oracle::O1, &[1]);
    }

    #[test]
    fn a_delete_that_the_log_lost_explains_it_only_to_who_read_it_before() {
        let deleted = || put().delete("k", at(5));
        let read = deleted().get("k", Level::Local, None, 6);
        read.loss(5, true).content(&[("k", 3, "a")]).passes();
        deleted().loss(5, true).content(&[]).fails(Oracle::O1, &[0]);
    }

    #[test]
    fn what_was_under_way_when_the_log_lost_it_may_be_there_or_not() {
        for found in [&[("k", 3, "a")][..], &[]] {
            let mut story = put().loss(3, false).content(found);
            story.evidence.licence.losses[0].at = 2;
            story.passes();
            let mut story = put().delete("k", at(5)).loss(5, false).content(found);
            story.evidence.licence.losses[0].at = 4;
            story.passes();
        }
    }
}
