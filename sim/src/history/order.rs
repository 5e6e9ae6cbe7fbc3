//! O7: a session never goes back, and a read shows its own snapshot: everything at or below its positions and
//! nothing above; `AT_LEAST` is at or after its token, `LATEST` after everything acknowledged before it.

use std::collections::BTreeMap;

use super::evidence::Licence;
use super::operation::{Level, Operation, Positions, Told};
use super::sighting::{Sighting, Snapshot};
use super::{History, Oracle, Violation};

pub(super) fn judge(sighting: &Sighting, licence: &Licence) -> Option<Violation> {
    let snapshot = sighting.snapshot.filter(|_| !sighting.is_final())?;
    let (detail, involved) = above(sighting, &snapshot)
        .or_else(|| below(sighting, &snapshot))
        .or_else(|| behind(sighting, &snapshot, licence))?;
    let writer = sighting.writer().and_then(|(_, write)| write.operation);
    let operations = sighting.operations(&[involved, writer]);
    Some(Violation::new(Oracle::O7, sighting.key, operations, detail))
}

type Finding = Option<(String, Option<usize>)>;

fn above(sighting: &Sighting, snapshot: &Snapshot) -> Finding {
    let (row, _) = sighting.seen.filter(|(row, _)| row.offset >= snapshot.position)?;
    Some((format!("offset {} in a snapshot at {}", row.offset, snapshot.position), None))
}

/// An older row than the last write below the position, or none although that was a put.
fn below(sighting: &Sighting, snapshot: &Snapshot) -> Finding {
    let (offset, last) = snapshot.last.filter(|(_, last)| last.value.is_some())?;
    let holds = match sighting.seen {
        Some((row, _)) if row.offset < *offset => format!("offset {}", row.offset),
        None if !sighting.timeline?.may_be_deleted(sighting)
            && !sighting.timeline?.deletes_within(*offset, snapshot.position) =>
        {
            "nothing".to_owned()
        }
        Some(_) | None => return None,
    };
    let detail =
        format!("a snapshot at {} shows {holds}, not the put at {offset}", snapshot.position);
    Some((detail, last.operation))
}

/// A `LATEST` read before the end of what was acknowledged when it began.
fn behind(sighting: &Sighting, snapshot: &Snapshot, licence: &Licence) -> Finding {
    let Snapshot { partition, position, latest, .. } = *snapshot;
    let (offset, missed) =
        sighting.timeline.filter(|_| latest)?.acknowledged_above(position, sighting.invoked)?;
    if licence.stale_leader(partition, sighting.invoked, sighting.over) {
        return None;
    }
    let detail = format!("at {position}, although {offset} was acknowledged before");
    Some((detail, missed.operation))
}

/// What the tokens themselves say, session by session.
pub(super) fn judge_sessions(history: &History, licence: &Licence) -> Vec<Violation> {
    let mut sessions: BTreeMap<u32, Vec<(usize, &Operation)>> = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        sessions.entry(operation.session).or_default().push((index, operation));
    }
    let judged = sessions.into_values().map(|operations| judge_session(operations, licence));
    judged.flatten().collect()
}

fn judge_session(mut begun: Vec<(usize, &Operation)>, licence: &Licence) -> Vec<Violation> {
    let mut over = begun.clone();
    begun.sort_by_key(|(_, operation)| operation.invoked);
    over.sort_by_key(|(_, operation)| operation.over());
    let mut over = over.into_iter().peekable();
    let mut session = Session::default();
    let mut violations = Vec::new();
    for (index, operation) in begun {
        while let Some((told, before)) =
            over.next_if(|(_, before)| before.over() < operation.invoked)
        {
            session.learn(told, before);
        }
        let Some(Level::AtLeast(demanded)) = operation.call.level() else { continue };
        violations.extend(session.went_back(index, operation, demanded, licence));
        violations.extend(answered_below(index, operation, demanded));
    }
    violations
}

/// Per partition how far a session has seen, and who told it.
#[derive(Default)]
struct Session {
    seen: BTreeMap<usize, (u64, usize)>,
}

impl Session {
    fn learn(&mut self, index: usize, operation: &Operation) {
        if let Told::Appended { partition, offset } = operation.told {
            let partition = usize::try_from(partition).expect("usize holds 32 bits");
            self.reach(partition, offset + 1, index);
        }
        if operation.call.level() != Some(&Level::Stale) {
            let positions = operation.positions().unwrap_or_default();
            let partitions = positions.iter().enumerate();
            for (partition, position) in partitions {
                self.reach(partition, *position, index);
            }
        }
    }

    fn reach(&mut self, partition: usize, position: u64, by: usize) {
        let seen = self.seen.entry(partition).or_insert((position, by));
        *seen = (*seen).max((position, by));
    }

    /// A session may begin anew only when the log lost what it had seen.
    fn went_back(
        &self,
        index: usize,
        operation: &Operation,
        demanded: &Positions,
        licence: &Licence,
    ) -> Option<Violation> {
        let (partition, (seen, by)) = self.seen.iter().find(|(partition, (seen, _))| {
            demanded.get(**partition).is_none_or(|demanded| demanded < seen)
        })?;
        let number = u32::try_from(*partition).expect("Kafka counts partitions in 31 bits");
        let lost = |loss: &&super::Loss| loss.partition == number && loss.at <= operation.over();
        if licence.losses.iter().filter(lost).any(|loss| loss.from < *seen) {
            return None;
        }
        let detail = format!(
            "session {} demands {:?} of partition {partition}, and has seen {seen}",
            operation.session,
            demanded.get(*partition)
        );
        Some(Violation::new(Oracle::O7, b"", vec![*by, index], detail))
    }
}

fn answered_below(index: usize, operation: &Operation, demanded: &Positions) -> Option<Violation> {
    let positions = operation.positions()?;
    let reached = |(position, demanded): (&u64, &u64)| position >= demanded;
    if positions.len() == demanded.len() && positions.iter().zip(demanded).all(reached) {
        return None;
    }
    let detail = format!("demanded {demanded:?}, answered at {positions:?}");
    Some(Violation::new(Oracle::O7, b"", vec![index], detail))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{P0, Story, at, row};
    use super::super::{Call, Fate, Loss, StaleLeader};
    use super::*;

    fn put() -> Story {
        Story::default().put("k", "a", at(3))
    }

    #[test]
    fn a_session_reads_its_own_write() {
        put().get("k", Level::AtLeast(vec![4]), row(3, "a"), 4).passes();
        put().get("k", Level::AtLeast(vec![4]), None, 4).fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn an_answer_is_at_or_after_the_token_that_it_had_to_reach() {
        put().get("x", Level::AtLeast(vec![4]), None, 5).passes();
        put().get("x", Level::AtLeast(vec![4]), None, 3).fails(Oracle::O7, &[1]);
    }

    #[test]
    fn a_session_demands_what_it_has_seen() {
        put().get("x", Level::AtLeast(vec![3]), None, 4).fails(Oracle::O7, &[0, 1]);
        let read = || Story::default().get("x", Level::Local, None, 9);
        read().get("x", Level::AtLeast(vec![9]), None, 9).passes();
        read().get("x", Level::AtLeast(vec![8]), None, 9).fails(Oracle::O7, &[0, 1]);
        let stale = Story::default().get("x", Level::Stale, None, 9);
        stale.get("x", Level::AtLeast(vec![8]), None, 9).passes();
    }

    #[test]
    fn a_session_begins_anew_when_the_log_lost_what_it_saw() {
        put().loss(3, true).get("x", Level::AtLeast(vec![0]), None, 3).passes();
        put().loss(4, true).get("x", Level::AtLeast(vec![0]), None, 3).fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn a_snapshot_shows_everything_below_its_position() {
        let twice = || put().put("k", "b", at(5));
        twice().get("k", Level::Local, row(5, "b"), 6).passes();
        twice().get("k", Level::Local, row(3, "a"), 5).passes();
        twice().get("k", Level::Local, row(3, "a"), 6).fails(Oracle::O7, &[0, 1, 2]);
        twice().scan(Level::Local, &[], 6).fails(Oracle::O7, &[1, 2]);
        twice().get("k", Level::Stale, row(3, "a"), 6).passes();
    }

    #[test]
    fn a_snapshot_shows_nothing_at_or_above_its_position() {
        put().get("k", Level::Local, row(3, "a"), 3).fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn what_another_tool_wrote_is_in_the_snapshot_where_the_log_is_known() {
        let record = || Story::default().record(3, "k", Some("a"), Fate::Committed);
        record().get("k", Level::Local, None, 3).passes();
        record().get("k", Level::Local, None, 4).fails(Oracle::O7, &[0]);
    }

    #[test]
    fn latest_shows_what_was_acknowledged_before_it_began() {
        put().get("k", Level::Latest, row(3, "a"), 4).passes();
        put().get("k", Level::Latest, None, 3).fails(Oracle::O7, &[0, 1]);
        put().get("k", Level::Local, None, 3).passes();
        let concurrent = Call::Put { key: "k".into(), value: "a".into() };
        Story::default().unanswered(concurrent).get("k", Level::Latest, None, 3).passes();
    }

    #[test]
    fn latest_is_as_fresh_as_the_leader_that_answers() {
        let mut read = put().get("k", Level::Latest, None, 3);
        for at in [read.now() - 1, read.now()] {
            read.evidence.licence.stale_leaders =
                vec![StaleLeader { partition: P0, from: at, until: at }];
            read.passes();
        }
        read.evidence.licence.stale_leaders =
            vec![StaleLeader { partition: P0, from: 0, until: 2 }];
        read.fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn a_copy_of_the_lost_history_is_excused_until_it_must_be_gone() {
        let read = |until| {
            let mut story = Story::default().loss(2, true);
            story.evidence.licence.losses =
                vec![Loss { partition: P0, from: 2, at: 1, until, declared: true }];
            story.put("k", "a", at(3)).get("k", Level::Local, None, 9)
        };
        read(4).passes();
        read(3).fails(Oracle::O7, &[0, 1]);
    }
    #[test]
    fn of_two_losses_the_deeper_one_counts() {
        let loss = |from| Loss { partition: P0, from, at: 1, until: 4, declared: true };
        for losses in [[loss(2), loss(7)], [loss(7), loss(2)]] {
            let mut story = Story::default().loss(2, true);
            story.evidence.licence.losses = losses.to_vec();
            story.put("k", "a", at(3)).get("k", Level::Local, None, 9).passes();
        }
    }

    #[test]
    fn a_loss_in_another_partition_excuses_no_session() {
        let mut lost = put().loss(3, true).get("x", Level::AtLeast(vec![0]), None, 3);
        lost.passes();
        lost.evidence.licence.losses[0].partition = 1;
        lost.fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn a_read_without_an_answer_after_a_loss_is_excused_too() {
        let call = Call::Get { key: "x".into(), level: Level::AtLeast(vec![0]) };
        put().loss(3, true).unanswered(call.clone()).passes();
        put().unanswered(call).fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn every_partition_of_the_answer_is_at_or_after_the_token() {
        let read = |positions| {
            let call = Call::Get { key: "x".into(), level: Level::AtLeast(vec![4, 4]) };
            Story::default().tell(call, Told::Row { row: None, positions })
        };
        read(vec![4, 5]).passes();
        read(vec![4, 3]).fails(Oracle::O7, &[0]);
        read(vec![3, 4]).fails(Oracle::O7, &[0]);
        read(vec![4]).fails(Oracle::O7, &[0]);
    }

    #[test]
    fn a_session_has_seen_the_furthest_that_it_was_told() {
        let seen = Story::default().get("x", Level::Local, None, 9).get("x", Level::Local, None, 4);
        seen.get("x", Level::AtLeast(vec![8]), None, 8).fails(Oracle::O7, &[0, 2]);
    }

    #[test]
    fn equal_times_are_concurrent() {
        put().at_once().get("k", Level::AtLeast(vec![0]), None, 3).passes();
        put().at_once().get("k", Level::Latest, None, 3).passes();
        let gone = put().get("k", Level::Local, None, 4).at_once();
        gone.delete("k", Told::Unknown).passes();
    }

    #[test]
    fn the_first_of_several_deletes_of_unknown_outcome_counts() {
        let read = put().delete("k", Told::Unknown).get("k", Level::Local, None, 4);
        read.delete("k", Told::Unknown).passes();
        let early = put().get("k", Level::Local, None, 4);
        early.delete("k", Told::Unknown).fails(Oracle::O7, &[0, 1]);
    }

    #[test]
    fn nobody_knows_when_another_tools_write_was_acknowledged() {
        let record = Story::default().record(3, "k", Some("a"), Fate::Committed);
        record.get("k", Level::Latest, None, 3).passes();
    }
    #[test]
    fn a_delete_that_the_log_lost_explains_nothing_once_every_copy_knows() {
        let deleted = || put().delete("k", at(5));
        deleted().get("k", Level::Local, None, 6).loss(5, true).passes();
        deleted().loss(5, true).get("k", Level::Local, None, 4).fails(Oracle::O7, &[0, 2]);
        let logged = Story::default().record(3, "k", Some("a"), Fate::Committed);
        logged.record(5, "k", None, Fate::Lost).get("k", Level::Local, None, 6).passes();
    }
}
