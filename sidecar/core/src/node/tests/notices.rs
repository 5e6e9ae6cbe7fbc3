//! What an operator is told: everything once, nothing again and again.

use super::*;

fn notices(driven: &mut Driven) -> Vec<Notice> {
    let notice = |effect| match effect {
        Effect::Notice(notice @ (Notice::Ignored { .. } | Notice::LogIncomplete { .. })) => {
            Some(notice)
        }
        Effect::Notice(notice @ Notice::Policy(_)) => Some(notice),
        Effect::Notice(_)
        | Effect::Log(_)
        | Effect::Store(_)
        | Effect::Peer(_)
        | Effect::Ring(_)
        | Effect::Reply(..) => None,
    };
    driven.effects().into_iter().filter_map(notice).collect()
}

/// Another tool's batch at `from`: keys of other partitions, and no keys.
fn foreign(from: u64, misplaced: u32, keyless: u32) -> Batch {
    let mut builder = BatchBuilder::new(P0, u32::MAX, Offset(from));
    for (number, offset) in (0..misplaced + keyless).zip(from..) {
        let key = (number < misplaced).then_some(&b"abc"[..]);
        builder.push(Offset(offset), None, key, Some(b"x"));
    }
    let batch = builder.finish(Offset(0));
    assert_eq!((batch.misplaced, batch.keyless), (misplaced, keyless));
    batch
}

#[test]
fn records_in_the_wrong_place_or_without_a_key_are_told_and_counted() {
    let mut driven = Driven::reading();
    driven.log(LogEvent::Fetched(batch(0, b"a")));
    assert_eq!(notices(&mut driven), [], "nothing was left out");

    let mut position = 1;
    for (misplaced, keyless, all) in [(2, 3, 5), (1, 0, 6), (0, 1, 7)] {
        driven.log(LogEvent::Fetched(foreign(position, misplaced, keyless)));
        let told = Notice::Ignored { partition: P0, misplaced, keyless };
        assert_eq!(notices(&mut driven), [told]);
        assert_eq!(driven.node.status().ignored, all);
        position += u64::from(misplaced + keyless);
    }
}

#[test]
fn deleted_records_are_told_once_for_each_time_that_some_were() {
    let starts_at = |log_start| LogEvent::Facts(facts().reaching(log_start, 9));
    let told = |log_start| Notice::LogIncomplete { partition: P0, log_start: Offset(log_start) };

    let mut driven = Driven::reading();
    driven.log(starts_at(0));
    assert_eq!(notices(&mut driven), [], "the log is complete");
    driven.log(starts_at(1));
    assert_eq!(notices(&mut driven), [told(1)]);
    driven.log(starts_at(1));
    assert_eq!(notices(&mut driven), [], "said before");
    driven.log(starts_at(2));
    assert_eq!(notices(&mut driven), [told(2)]);

    let mut late = Driven::new(Limits::PRODUCTION);
    late.log(starts_at(3));
    assert_eq!(notices(&mut late), [told(3)], "deleted before this node started");
}

#[test]
fn a_legal_but_risky_policy_is_told_when_it_is_first_seen_and_when_it_changes() {
    let mut risky = facts();
    risky.policy.unclean_election = true;
    let mut riskier = risky.clone();
    riskier.policy.replication = 1;
    let unclean = Notice::Policy(PolicyWarning::UncleanElection);

    let mut driven = Driven::new(Limits::PRODUCTION);
    driven.log(LogEvent::Facts(risky.clone()));
    assert_eq!(notices(&mut driven), std::slice::from_ref(&unclean));
    driven.log(LogEvent::Facts(risky));
    assert_eq!(notices(&mut driven), []);
    driven.log(LogEvent::Facts(riskier));
    assert_eq!(notices(&mut driven), [Notice::Policy(PolicyWarning::Replication(1)), unclean]);
}
