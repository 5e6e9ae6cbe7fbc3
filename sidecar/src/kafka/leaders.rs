//! Which leaders do not answer, for each store: each is asked alone from then on, so that it holds up no answer about
//! the others.
//!
//! librdkafka gives a question up as a whole, at the end of its time, where one of its partitions has no leader. Pure.

use std::collections::BTreeMap;

use outrigger_core::offset::Partition;

use super::raw::{Code, ListedOffset};

#[derive(Default)]
pub(super) struct Leaders {
    silent: BTreeMap<Partition, Silent>,
}

struct Silent {
    /// Why the leader did not answer the last time.
    code: Code,
    /// A question about it alone is under way.
    asked: bool,
}

impl Leaders {
    /// The partitions that one question asks about together.
    pub(super) fn together(&self, count: u32) -> Vec<Partition> {
        let answers = |partition: &Partition| !self.silent.contains_key(partition);
        let answering: Vec<Partition> = Partition::all(count).filter(answers).collect();
        // Where none answered, none is held up by the others.
        if answering.is_empty() { Partition::all(count).collect() } else { answering }
    }

    /// The partitions that such a question leaves out, and why.
    pub(super) fn left_out(&self, count: u32) -> BTreeMap<Partition, Code> {
        let asked = self.together(count);
        let silent = Partition::all(count).filter(|partition| !asked.contains(partition));
        silent.map(|partition| (partition, self.silent[&partition].code)).collect()
    }

    /// The partitions that are to be asked about alone now. The answer about each comes to `hear_alone`.
    pub(super) fn alone(&mut self, count: u32) -> Vec<Partition> {
        self.silent.retain(|partition, _| partition.0 < count);
        if count == 1 {
            return Vec::new();
        }
        let unasked = self.silent.iter_mut().filter(|(_, silent)| !silent.asked);
        let ask = |(partition, silent): (&Partition, &mut Silent)| {
            silent.asked = true;
            *partition
        };
        unasked.map(ask).collect()
    }

    /// Hears the answer to a question about these partitions.
    pub(super) fn hear(&mut self, asked: &[Partition], answer: &Result<Vec<ListedOffset>, Code>) {
        match answer {
            Ok(listed) => {
                for listed in listed {
                    match listed.offset {
                        Ok(_) => drop(self.silent.remove(&listed.partition)),
                        Err(code) => self.silence(listed.partition, code),
                    }
                }
            }
            Err(code) => {
                for partition in asked {
                    self.silence(*partition, *code);
                }
            }
        }
    }

    /// Hears the answer to the question about the partition alone.
    pub(super) fn hear_alone(
        &mut self,
        partition: Partition,
        answer: &Result<Vec<ListedOffset>, Code>,
    ) {
        if let Some(silent) = self.silent.get_mut(&partition) {
            silent.asked = false;
        }
        self.hear(&[partition], answer);
    }

    fn silence(&mut self, partition: Partition, code: Code) {
        let silent = self.silent.entry(partition).or_insert(Silent { code, asked: false });
        silent.code = code;
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::offset::Offset;

    use super::*;

    const P: [Partition; 3] = [Partition(0), Partition(1), Partition(2)];
    const NO_LEADER: Code = Code(5);

    fn listed(partition: Partition, offset: Result<u64, Code>) -> ListedOffset {
        ListedOffset { partition, offset: offset.map(Offset), epoch: None }
    }

    #[test]
    fn a_question_that_failed_as_a_whole_is_asked_of_each_alone_and_then_of_those_that_answered() {
        let mut leaders = Leaders::default();
        assert_eq!((leaders.together(3), leaders.alone(3)), (P.to_vec(), vec![]));
        leaders.hear(&P, &Err(Code::TIMED_OUT));
        assert_eq!(leaders.alone(3), P);
        assert_eq!(leaders.alone(3), [], "each is being asked");
        assert_eq!(leaders.together(3), P, "none answered: none is held up");
        leaders.hear_alone(P[0], &Ok(vec![listed(P[0], Ok(7))]));
        leaders.hear_alone(P[1], &Ok(vec![listed(P[1], Ok(8))]));
        assert_eq!(leaders.together(3), P[..2]);
        assert_eq!(leaders.left_out(3), BTreeMap::from([(P[2], Code::TIMED_OUT)]));
        leaders.hear_alone(P[2], &Err(NO_LEADER));
        assert_eq!(leaders.left_out(3), BTreeMap::from([(P[2], NO_LEADER)]));
        assert_eq!(leaders.alone(3), P[2..], "it is asked again and again");
        leaders.hear_alone(P[2], &Ok(vec![listed(P[2], Ok(9))]));
        assert_eq!((leaders.together(3), leaders.left_out(3)), (P.to_vec(), BTreeMap::new()));
    }

    #[test]
    fn a_leader_that_alone_does_not_answer_is_left_out_of_the_next_question() {
        let mut leaders = Leaders::default();
        let answer = vec![listed(P[0], Ok(7)), listed(P[1], Err(NO_LEADER))];
        leaders.hear(&P[..2], &Ok(answer));
        assert_eq!(leaders.together(2), P[..1]);
        assert_eq!(leaders.alone(2), P[1..2]);
        assert_eq!(leaders.together(1), P[..1], "a topic made anew may have fewer");
        assert_eq!((leaders.alone(1), leaders.left_out(1)), (vec![], BTreeMap::new()));
    }

    #[test]
    fn a_topic_of_one_partition_is_asked_of_as_ever() {
        let mut leaders = Leaders::default();
        leaders.hear(&P[..1], &Err(Code::TIMED_OUT));
        assert_eq!((leaders.together(1), leaders.alone(1)), (P[..1].to_vec(), vec![]));
    }
}
