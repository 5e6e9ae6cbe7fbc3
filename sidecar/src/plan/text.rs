//! A plan for people: what would happen, to which generation, and what was compared.

use std::fmt::Write as _;
use std::path::Path;

use indicatif::{HumanCount, HumanDuration};
use outrigger_core::decide::{Old, Plan, Then};
use outrigger_core::limits::Limits;
use outrigger_core::lineage::Lineage;
use outrigger_core::log::KafkaError;
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::phase::Cause;
use outrigger_core::stall::StallKind;
use outrigger_core::store::{Found, FoundCopy, FoundGeneration, GenerationState};
use outrigger_core::topic::LogFacts;

use crate::config::StoreConfig;
use crate::kafka::KafkaConfig;
use crate::runtime::{Circumstances, Told};
use crate::serve;
use crate::survey::{Local, Planned};

const INFALLIBLE: &str = "a String takes every text";

pub(super) fn store(store: &StoreConfig, planned: &Planned, local: Local<'_>, out: &mut String) {
    let Planned { facts, found, plan } = planned;
    writeln!(out, "{}  {}", store.name, headline(&plan.then)).expect(INFALLIBLE);
    consequences(plan, &local.circumstances(store), out);
    if local.asks_peers {
        peers(&plan.then, facts, out);
    }
    writeln!(out, "  topic {} (id {}), cluster {}", store.topic, facts.topic, facts.cluster)
        .expect(INFALLIBLE);
    on_disk(found, facts, out);
}

/// Why there are no facts of a topic.
pub(super) struct Unanswered {
    pub(super) error: KafkaError,
    /// What else was found out.
    elsewhere: Option<Told>,
}

impl Unanswered {
    /// Asks Kafka more, where that may help.
    pub(super) fn ask(
        kafka: &KafkaConfig,
        data: &Path,
        store: &StoreConfig,
        error: KafkaError,
    ) -> Unanswered {
        let is_gone = StallKind::of(&error) == StallKind::TopicGone;
        let look = || serve::other_cluster(kafka, data, store.name.as_str());
        let elsewhere = is_gone.then(look).flatten();
        Unanswered { error, elsewhere }
    }
}

pub(super) fn unanswered(
    store: &StoreConfig,
    unanswered: Unanswered,
    local: Local<'_>,
    out: &mut String,
) {
    let (StoreConfig { name, topic, .. }, Unanswered { error, elsewhere }) = (store, unanswered);
    writeln!(out, "{name}  NO PLAN: topic {topic} gave no answer: {error}").expect(INFALLIBLE);
    match elsewhere {
        Some(Told { detail, what_to_do }) => {
            writeln!(out, "  {detail}\n  {what_to_do}").expect(INFALLIBLE);
        }
        None => {
            let kind = StallKind::of(&error);
            let what_to_do = local.circumstances(store).stall(kind, "").what_to_do;
            writeln!(out, "  {what_to_do}").expect(INFALLIBLE);
        }
    }
}

fn headline(then: &Then) -> String {
    match then {
        Then::Wait(deposed) => format!("WAIT: {deposed}"),
        Then::Refuse(refusal) | Then::Rebuild { refusal: Some(refusal), .. } => {
            format!("REFUSE: {refusal}")
        }
        Then::Resume { generation, .. } => format!("RESUME {generation} where it ended"),
        Then::Continue { generation, .. } => {
            format!("CONTINUE the unfinished rebuild {generation} where it ended")
        }
        Then::Rebuild { generation, cause, refusal: None } => {
            format!("REBUILD as {generation}: {}", cause.name())
        }
    }
}

fn consequences(plan: &Plan, circumstances: &Circumstances, out: &mut String) {
    let Plan { serve, old, then } = plan;
    let mut line = |text: String| writeln!(out, "  {text}").expect(INFALLIBLE);
    let served = serve.map(|generation| format!("{generation} answers STALE reads meanwhile"));
    let becomes = old.iter().map(|(generation, old)| becomes(*generation, old));
    match then {
        Then::Wait(_) => {
            line(circumstances.stall(StallKind::StaleLeader, "").what_to_do);
            if let Some(served) = served {
                line(served);
            }
        }
        Then::Refuse(refusal) | Then::Rebuild { refusal: Some(refusal), .. } => {
            line(circumstances.refusal(refusal).what_to_do);
            if let Some(served) = served {
                line(served);
            }
        }
        Then::Resume { .. } => {
            for text in becomes {
                line(text);
            }
            line("should the log have another history there, reading shows it: then a rebuild follows".to_owned());
        }
        Then::Continue { .. } => {
            for text in becomes {
                line(text);
            }
        }
        Then::Rebuild { cause, refusal: None, .. } => {
            for text in becomes {
                line(text);
            }
            if *cause == Cause::PastHorizon {
                line("deletes that it has not seen may be gone from the log".to_owned());
            }
        }
    }
}

fn peers(then: &Then, facts: &LogFacts, out: &mut String) {
    let limits = Limits::PRODUCTION;
    let retry = HumanDuration(limits.peer_retry);
    let line = match then {
        Then::Rebuild { refusal: Some(_), .. } => {
            format!("unless a READY peer gives its copy: they are asked every {retry}")
        }
        Then::Rebuild { refusal: None, .. } if facts.offsets() >= limits.peer_offsets_min => {
            "peers are asked first, in turn: the log is read from where a READY one's copy ends"
                .to_owned()
        }
        Then::Wait(_)
        | Then::Refuse(_)
        | Then::Resume { .. }
        | Then::Continue { .. }
        | Then::Rebuild { refusal: None, .. } => return,
    };
    writeln!(out, "  {line}").expect(INFALLIBLE);
}

fn becomes(generation: Generation, old: &Old) -> String {
    match old {
        Old::ServeStale => {
            format!(
                "{generation} answers STALE reads meanwhile, and is removed when the rebuild is complete"
            )
        }
        Old::Quarantine(why) => {
            format!("{generation} is set aside and kept until an operator drops it: {why}")
        }
        Old::Discard => format!("{generation} is removed: an unfinished rebuild"),
    }
}

fn on_disk(found: &Found, facts: &LogFacts, out: &mut String) {
    match found {
        Found::Nothing => {
            writeln!(out, "  nothing on disk").expect(INFALLIBLE);
            for (partition, facts) in (0..).map(Partition).zip(&facts.partitions) {
                let (start, end) = (facts.log_start, facts.high_watermark);
                writeln!(out, "  partition {partition}: log {start}..{end}").expect(INFALLIBLE);
            }
        }
        Found::Foreign { is } => writeln!(out, "  on disk: {is}").expect(INFALLIBLE),
        Found::Copy(FoundCopy { current, building, .. }) => {
            let found = [(current, "in use"), (building, "an unfinished rebuild")];
            for (found, role) in found {
                if let Some(found) = found {
                    generation(found, role, facts, out);
                }
            }
        }
    }
}

fn generation(found: &FoundGeneration, role: &str, facts: &LogFacts, out: &mut String) {
    let FoundGeneration { generation, state } = found;
    match state {
        GenerationState::UnknownFormat(format) => {
            writeln!(out, "  {generation}, {role}: of an unknown format: {format}")
        }
        GenerationState::Corrupt(detail) => {
            writeln!(out, "  {generation}, {role}: corrupt: {detail}")
        }
        GenerationState::Intact(_) => writeln!(out, "  {generation}, {role}:"),
    }
    .expect(INFALLIBLE);
    let GenerationState::Intact(lineages) = state else { return };
    for ((partition, lineage), facts) in (0..).map(Partition).zip(lineages).zip(&facts.partitions) {
        let Lineage { position, exact_from, .. } = lineage;
        let (start, end) = (facts.log_start, facts.high_watermark);
        write!(out, "  partition {partition}: copy at {position}, log {start}..{end}")
            .expect(INFALLIBLE);
        let behind = end.0.saturating_sub(position.0);
        write!(out, ", {} offsets to read", HumanCount(behind)).expect(INFALLIBLE);
        if exact_from > position {
            write!(out, ", exact from {exact_from} on").expect(INFALLIBLE);
        }
        out.push('\n');
    }
}
