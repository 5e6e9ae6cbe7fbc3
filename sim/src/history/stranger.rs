//! O4, as far as a history shows it: every row, at whatever level, comes from a write of its key that had
//! been asked for and that the log had not lost for good.

use super::sighting::Sighting;
use super::timeline::{Origin, Standing, Write};
use super::{Oracle, Violation};

pub(super) fn judge(sighting: &Sighting) -> Option<Violation> {
    let (row, origin) = sighting.seen?;
    let (detail, operation) = match origin {
        Origin::Stranger => (format!("offset {} holds what nobody wrote", row.offset), None),
        Origin::Write(write) if write.invoked > sighting.over => {
            ("seen before it was asked for".to_owned(), write.operation)
        }
        Origin::Write(write) if is_ghost(sighting, &write) => (
            format!("the log lost offset {}, and no copy may hold it any more", row.offset),
            write.operation,
        ),
        Origin::Write(_) => return None,
    };
    let operations = sighting.operations(&[operation]);
    Some(Violation::new(Oracle::O4, sighting.key, operations, detail))
}

/// Acknowledged before the loss, so the loss took it; seen when no copy served that any more.
fn is_ghost(sighting: &Sighting, write: &Write) -> bool {
    match write.standing {
        Standing::Lost(_, Some(loss)) => {
            write.acknowledged < loss.at && sighting.invoked > loss.until
        }
        Standing::Lost(_, None) => sighting.is_final(),
        Standing::At(_) | Standing::Possible | Standing::Never | Standing::Aborted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at, row};
    use super::super::{Call, Fate, Level};
    use super::*;

    #[test]
    fn what_nobody_wrote_is_a_stranger() {
        Story::default().content(&[("k", 0, "a")]).fails(Oracle::O4, &[]);
        let put = || Story::default().put("k", "a", at(3));
        put().get("k", Level::Stale, row(3, "b"), 4).fails(Oracle::O4, &[1]);
        put().get("other", Level::Stale, row(3, "a"), 4).fails(Oracle::O4, &[1]);
        put().record(3, "k", Some("a"), Fate::Committed).content(&[("k", 3, "a")]).passes();
    }

    #[test]
    fn what_another_tool_wrote_is_none_where_the_log_is_known() {
        let record = || Story::default().record(3, "k", Some("a"), Fate::Committed);
        record().content(&[("k", 3, "a")]).passes();
        record().record(7, "k", Some("a"), Fate::Committed).content(&[("k", 7, "a")]).passes();
        record().content(&[("k", 3, "b")]).fails(Oracle::O4, &[]);
    }

    #[test]
    fn nothing_is_seen_before_it_was_asked_for() {
        let put = Call::Put { key: "k".into(), value: "a".into() };
        let early = Story::default().get("k", Level::Stale, row(3, "a"), 4);
        early.unanswered(put.clone()).fails(Oracle::O4, &[0, 1]);
        let late = Story::default().unanswered(put);
        late.get("k", Level::Stale, row(3, "a"), 4).passes();
    }

    #[test]
    fn what_the_log_lost_is_gone_when_every_copy_knows() {
        let put = || Story::default().put("k", "a", at(3));
        let before = put().get("k", Level::Local, row(3, "a"), 4).loss(3, true);
        before.content(&[]).passes();
        let after = put().loss(3, true).get("k", Level::Stale, row(3, "a"), 4);
        after.fails(Oracle::O4, &[0, 1]);
        put().loss(3, true).content(&[("k", 3, "a")]).fails(Oracle::O4, &[0]);
    }
    #[test]
    fn what_another_tool_wrote_again_after_a_loss_is_no_ghost() {
        let lost = Story::default().record(3, "k", Some("a"), Fate::Lost);
        let again = lost.record(7, "k", Some("a"), Fate::Committed);
        again.content(&[("k", 7, "a")]).passes();
        let lost = Story::default().record(3, "k", Some("a"), Fate::Lost);
        lost.content(&[("k", 3, "a")]).fails(Oracle::O4, &[]);
    }
}
