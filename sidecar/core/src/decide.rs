//! The restore decision: what is on disk against what the log says. Pure, and the only place that decides.
//!
//! | found | plan |
//! |---|---|
//! | another IDENTITY | refuse |
//! | unsafe topic policy | refuse |
//! | the leader's epoch is below one already known, or its end below a copy of that epoch | wait: a deposed leader answers |
//! | an unfinished generation, still valid | continue it |
//! | a generation in use, valid | resume at its position |
//! | neither, and some log start > 0 | refuse: the log cannot give the whole state any more; a peer still may |
//! | neither | rebuild; the old generation is served stale, kept for the operator, or set aside |
//!
//! A generation is valid iff for every partition: log start <= position <= high watermark, no other history at its
//! position, the log has what it needs to be exact, and the tombstone horizon lies ahead. One bad partition decides for
//! all. What a peer gave is an unfinished generation like any other: what is known of another copy of this node neither
//! condemns nor excuses it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::dates::Dates;
use crate::deposed::Deposed;
use crate::limits::Limits;
use crate::lineage::Lineage;
use crate::log::PartitionEnd;
use crate::offset::{Epoch, Generation, Partition};
use crate::phase::{Cause, PolicyFault, Refusal};
use crate::store::{Found, FoundCopy, FoundGeneration, GenerationState, Why};
use crate::topic::{LogFacts, PartitionFacts, TopicPolicy};

/// Everything the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub store: &'a str,
    pub found: &'a Found,
    pub facts: &'a LogFacts,
    /// Highest leader epoch that anything but the found copy has shown, per partition.
    pub epochs_known: &'a [Option<Epoch>],
    /// Generations with the partitions in which the log refused their position as one of another history.
    pub diverged: &'a BTreeSet<(Generation, Partition)>,
    /// Generations with the partitions that cannot become exact any more: the log lost what their gaps were compacted
    /// for.
    pub inexact: &'a BTreeSet<(Generation, Partition)>,
    /// Generations whose horizon a running process's monotonic clock saw pass, whatever the wall clock says.
    pub past_horizon: &'a BTreeSet<Generation>,
    pub dates: &'a Dates,
    pub limits: &'a Limits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The generation that answers reads which are content with any copy, until what follows has another.
    pub serve: Option<Generation>,
    /// What becomes of the generations that are not read on.
    pub old: Vec<(Generation, Old)>,
    pub then: Then,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing is begun until another leader answers.
    Wait(Deposed),
    Refuse(Refusal),
    /// The generation in use is read on.
    Resume {
        generation: Generation,
        lineages: Vec<Lineage>,
    },
    /// The unfinished generation is read on.
    Continue {
        generation: Generation,
        lineages: Vec<Lineage>,
    },
    /// Everything is read into a new generation. `refusal`: the log cannot give everything any more, so only a peer
    /// can; until one does, the store is refused and everything is left as it is.
    Rebuild {
        generation: Generation,
        cause: Cause,
        refusal: Option<Refusal>,
    },
}

/// What becomes of a generation that is not read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// It answers STALE reads until the rebuild ends, then it is removed.
    ServeStale,
    /// It is set aside until an operator drops it: it holds what the log lost, or is damaged.
    Quarantine(Why),
    /// It is a rebuild that never ended, and holds nothing that the log has not.
    Discard,
}

impl Plan {
    fn leaves(serve: Option<Generation>, then: Then) -> Plan {
        Plan { serve, old: Vec::new(), then }
    }

    /// The plan when an operator does not want it begun: it refuses, and serves what may be served meanwhile.
    pub fn cancelled(self) -> Plan {
        let refusal = match self.then {
            Then::Refuse(refusal) | Then::Rebuild { refusal: Some(refusal), .. } => refusal,
            Then::Wait(_)
            | Then::Resume { .. }
            | Then::Continue { .. }
            | Then::Rebuild { refusal: None, .. } => Refusal::Cancelled,
        };
        Plan::leaves(self.serve, Then::Refuse(refusal))
    }
}

pub fn decide(situation: Situation<'_>) -> Plan {
    let Situation { store, found, facts, .. } = situation;
    let nothing = FoundCopy { current: None, building: None, next: Generation(1) };
    let copy = match found {
        Found::Copy(copy) => copy,
        Found::Nothing => &nothing,
        Found::Foreign { is } => {
            let refusal = Refusal::Identity { found: is.clone(), expected: facts.identity(store) };
            return Plan::leaves(None, Then::Refuse(refusal));
        }
    };
    if let Some(fault) = policy_fault(&facts.policy, situation.limits) {
        return Plan::leaves(served(copy), Then::Refuse(Refusal::Policy(fault)));
    }
    if let Some(deposed) = deposed(situation, copy) {
        return Plan::leaves(served(copy), Then::Wait(deposed));
    }
    decide_copy(situation, copy)
}

fn decide_copy(situation: Situation<'_>, copy: &FoundCopy) -> Plan {
    let judged = |found: &Option<FoundGeneration>| {
        let found = found.as_ref()?;
        Some((found.generation, judge(situation, found).map(<[Lineage]>::to_vec)))
    };
    match (judged(&copy.current), judged(&copy.building)) {
        (current, Some((generation, Ok(lineages)))) => {
            let old: Vec<_> =
                current.into_iter().map(|(old, judged)| (old, beside(judged))).collect();
            Plan { serve: stale(&old), old, then: Then::Continue { generation, lineages } }
        }
        (Some((generation, Ok(lineages))), building) => {
            let unfinished = building.and_then(|(old, judged)| Some((old, judged.err()?)));
            let old = unfinished.map(never_used).into_iter().collect();
            Plan { serve: Some(generation), old, then: Then::Resume { generation, lineages } }
        }
        (current, building) => {
            let defect = |(old, judged): (_, Result<_, Defect>)| Some((old, judged.err()?));
            let (cause, old) = replaced(current.and_then(defect), building.and_then(defect));
            let refusal = incomplete(situation, copy);
            let serve = if refusal.is_some() { served(copy) } else { stale(&old) };
            let then = Then::Rebuild { generation: copy.next, cause, refusal };
            Plan { serve, old, then }
        }
    }
}

/// What becomes of the generation in use beside a rebuild that goes on.
fn beside(judged: Result<Vec<Lineage>, Defect>) -> Old {
    judged.map_or_else(|defect| defect.old, |_| Old::ServeStale)
}

/// The generation of these that answers STALE reads.
pub fn stale(old: &[(Generation, Old)]) -> Option<Generation> {
    old.iter().find(|(_, old)| *old == Old::ServeStale).map(|(generation, _)| *generation)
}

/// Why a found generation cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Defect {
    cause: Cause,
    old: Old,
}

/// Why a new generation is needed, and what becomes of those that it replaces.
fn replaced(
    current: Option<(Generation, Defect)>,
    building: Option<(Generation, Defect)>,
) -> (Cause, Vec<(Generation, Old)>) {
    let cause = match (&current, &building) {
        (Some((_, defect)), _) | (None, Some((_, defect))) => defect.cause,
        (None, None) => Cause::Empty,
    };
    let unfinished = building.map(never_used);
    let used = current.map(|(generation, defect)| (generation, defect.old));
    (cause, used.into_iter().chain(unfinished).collect())
}

fn never_used((generation, defect): (Generation, Defect)) -> (Generation, Old) {
    match defect.old {
        Old::Quarantine(why) => (generation, Old::Quarantine(why)),
        // Nobody was served from it, and whatever it holds the log has too.
        Old::ServeStale | Old::Discard => (generation, Old::Discard),
    }
}

fn judge<'a>(
    situation: Situation<'_>,
    found: &'a FoundGeneration,
) -> Result<&'a [Lineage], Defect> {
    let lineages = match &found.state {
        GenerationState::Intact(lineages) => lineages,
        GenerationState::UnknownFormat(format) => return Err(defect(Cause::UnknownFormat, format)),
        GenerationState::Corrupt(detail) => return Err(defect(Cause::Corrupt, detail)),
    };
    if lineages.len() != situation.facts.partitions.len() {
        return Err(defect(
            Cause::Corrupt,
            "the copy has another number of partitions than its IDENTITY",
        ));
    }
    let judged = (0..).map(Partition).zip(lineages);
    let defects = judged.filter_map(|(partition, lineage)| {
        judge_partition(situation, found.generation, partition, lineage).err()
    });
    // What has records that the log lost is kept, whatever another partition suffers from.
    let lost = |defect: &Defect| matches!(defect.old, Old::Quarantine(_));
    match defects.min_by_key(|defect| !lost(defect)) {
        Some(defect) => Err(defect),
        None => Ok(lineages),
    }
}

fn judge_partition(
    situation: Situation<'_>,
    generation: Generation,
    partition: Partition,
    lineage: &Lineage,
) -> Result<(), Defect> {
    let facts = &situation.facts.partitions[partition.index()];
    let position = lineage.position;
    if position > facts.high_watermark {
        let end = facts.high_watermark;
        let why = format!("partition {partition}: the log ends at {end}, the copy at {position}");
        return Err(defect(Cause::Truncated, &why));
    }
    if situation.diverged.contains(&(generation, partition)) && !leads_on(facts, lineage) {
        let why =
            format!("partition {partition}: the log has another history at position {position}");
        return Err(defect(Cause::Diverged, &why));
    }
    // What is missing from the copy's gaps may be in the log again, now that the log lost what superseded it. Nothing
    // of what the log lost is in this copy.
    let lost = !lineage.exact() && lineage.exact_from > facts.high_watermark;
    if lost || situation.inexact.contains(&(generation, partition)) {
        return Err(Defect { cause: Cause::Truncated, old: Old::ServeStale });
    }
    // Records between the position and the log start were deleted unseen: they count like missed tombstones.
    let missed = position < facts.log_start;
    let seen = situation.past_horizon.contains(&generation);
    if missed || seen || past_horizon(situation, generation, partition, lineage) {
        return Err(Defect { cause: Cause::PastHorizon, old: Old::ServeStale });
    }
    Ok(())
}

/// Whether the leader that answers has the copy's own newest epoch. It has all of the copy then: whoever refused the
/// position was deposed.
fn leads_on(facts: &PartitionFacts, lineage: &Lineage) -> bool {
    facts.epoch.is_some() && facts.epoch == lineage.epochs.latest()
}

fn defect(cause: Cause, why: &str) -> Defect {
    let why = match cause {
        Cause::Truncated | Cause::Diverged => Why::Lost(why.to_owned()),
        Cause::Corrupt | Cause::UnknownFormat => Why::Damaged(why.to_owned()),
        Cause::Resume | Cause::Unfinished | Cause::Empty | Cause::PastHorizon => {
            unreachable!("{cause:?} sets nothing aside")
        }
    };
    Defect { cause, old: Old::Quarantine(why) }
}

fn past_horizon(
    situation: Situation<'_>,
    generation: Generation,
    partition: Partition,
    lineage: &Lineage,
) -> bool {
    let retention = lineage.delete_retention_ms_min.min(situation.facts.policy.delete_retention_ms);
    let margin = situation.limits.margin_ms(retention);
    let trusted = Duration::from_millis(retention.saturating_sub(margin));
    let age = situation.dates.age(generation, partition, lineage.confirmed_at_ms, margin);
    age.is_none_or(|age| age >= trusted)
}

/// What makes a topic unsafe to keep state in, whatever is on disk.
pub fn policy_fault(policy: &TopicPolicy, limits: &Limits) -> Option<PolicyFault> {
    if policy.cleanup != "compact" {
        return Some(PolicyFault::Cleanup(policy.cleanup.clone()));
    }
    let is_ms = policy.delete_retention_ms;
    let above_ms = limits.margin_ms(is_ms).max(limits.retention_ms_above());
    (is_ms <= above_ms).then_some(PolicyFault::DeleteRetention { is_ms, above_ms })
}

fn deposed(situation: Situation<'_>, copy: &FoundCopy) -> Option<Deposed> {
    let facts = (0..).map(Partition).zip(&situation.facts.partitions);
    facts.into_iter().find_map(|(partition, facts)| {
        let found = [&copy.current, &copy.building].into_iter().flatten();
        let mut copies = found.filter_map(|found| lineage(found, partition));
        let copied = copies.clone().filter_map(|lineage| lineage.epochs.latest());
        let learned = situation.epochs_known.get(partition.index()).copied().flatten();
        let known = copied.chain(learned).max();
        let end = PartitionEnd { high_watermark: facts.high_watermark, epoch: facts.epoch };
        let by_end = |lineage: &Lineage| {
            Deposed::by_end(partition, &end, lineage.known_end(), lineage.leader())
        };
        Deposed::by_epoch(partition, &end, known).or_else(|| copies.find_map(by_end))
    })
}

fn lineage(found: &FoundGeneration, partition: Partition) -> Option<&Lineage> {
    found.lineages()?.get(partition.index())
}

fn incomplete(situation: Situation<'_>, copy: &FoundCopy) -> Option<Refusal> {
    let mut facts = (0..).map(Partition).zip(&situation.facts.partitions);
    let (partition, facts) = facts.find(|(_, facts)| facts.log_start.0 > 0)?;
    let position = copy
        .current
        .as_ref()
        .and_then(|found| lineage(found, partition))
        .map(|lineage| lineage.position);
    Some(Refusal::LogIncomplete { partition, log_start: facts.log_start, position })
}

/// The generation that answers STALE reads while another is built or none may go on.
fn served(copy: &FoundCopy) -> Option<Generation> {
    let current = copy.current.as_ref()?;
    current.lineages().map(|_| current.generation)
}

#[cfg(test)]
mod tests;
