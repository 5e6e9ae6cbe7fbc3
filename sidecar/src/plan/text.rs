//! A plan for people: what would happen, to which generation, and what was compared.

use std::fmt::Write as _;

use indicatif::{HumanCount, HumanDuration};
use outrigger_core::decide::{Old, Plan};
use outrigger_core::limits::Limits;
use outrigger_core::lineage::Lineage;
use outrigger_core::log::KafkaError;
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::phase::Cause;
use outrigger_core::stall::StallKind;
use outrigger_core::store::{Found, FoundCopy, FoundGeneration, GenerationState};
use outrigger_core::topic::LogFacts;

use super::{Planned, circumstances};
use crate::config::{ServeConfig, StoreConfig};
use crate::runtime::{Circumstances, Told};
use crate::serve;

const INFALLIBLE: &str = "a String takes every text";

pub(super) fn store(
    store: &StoreConfig,
    planned: &Planned,
    config: &ServeConfig,
    out: &mut String,
) {
    let Planned { facts, found, plan } = planned;
    writeln!(out, "{}  {}", store.name, headline(plan)).expect(INFALLIBLE);
    consequences(plan, &circumstances(config, store), out);
    if config.peer.asks() {
        peers(plan, facts, out);
    }
    writeln!(out, "  topic {} (id {}), cluster {}", store.topic, facts.topic, facts.cluster)
        .expect(INFALLIBLE);
    on_disk(found, facts, out);
}

pub(super) fn unanswered(
    store: &StoreConfig,
    error: &KafkaError,
    config: &ServeConfig,
    out: &mut String,
) {
    let StoreConfig { name, topic, .. } = store;
    writeln!(out, "{name}  NO PLAN: topic {topic} gave no answer: {error}").expect(INFALLIBLE);
    let kind = StallKind::of(error);
    let elsewhere = || serve::other_cluster(&config.kafka, &config.data, name.as_str());
    match (kind == StallKind::TopicGone).then(elsewhere).flatten() {
        Some(Told { detail, what_to_do }) => {
            writeln!(out, "  {detail}\n  {what_to_do}").expect(INFALLIBLE);
        }
        None => {
            let what_to_do = circumstances(config, store).stall(kind, "").what_to_do;
            writeln!(out, "  {what_to_do}").expect(INFALLIBLE);
        }
    }
}

fn headline(plan: &Plan) -> String {
    match plan {
        Plan::Wait { deposed, .. } => format!("WAIT: {deposed}"),
        Plan::Refuse { refusal, .. } | Plan::Incomplete { refusal, .. } => {
            format!("REFUSE: {refusal}")
        }
        Plan::Resume { generation, .. } => format!("RESUME {generation} where it ended"),
        Plan::Continue { building, .. } => {
            format!("CONTINUE the unfinished rebuild {building} where it ended")
        }
        Plan::Rebuild { generation, cause, .. } => {
            format!("REBUILD as {generation}: {}", cause.name())
        }
    }
}

fn consequences(plan: &Plan, circumstances: &Circumstances, out: &mut String) {
    let mut line = |text: String| writeln!(out, "  {text}").expect(INFALLIBLE);
    let stale = |serve: &Option<Generation>| {
        serve.map(|generation| format!("{generation} answers STALE reads meanwhile"))
    };
    match plan {
        Plan::Wait { .. } => line(circumstances.stall(StallKind::StaleLeader, "").what_to_do),
        Plan::Refuse { refusal, serve } | Plan::Incomplete { refusal, serve, .. } => {
            line(circumstances.refusal(refusal).what_to_do);
            stale(serve).into_iter().for_each(line);
        }
        Plan::Resume { unfinished, .. } => {
            unfinished.iter().for_each(|(generation, old)| line(becomes(*generation, old)));
            line("should the log have another history there, reading shows it: then a rebuild follows".to_owned());
        }
        Plan::Continue { serve, aside, .. } => {
            let aside = aside.iter().map(|(old, why)| becomes(*old, &Old::Quarantine(why.clone())));
            stale(serve).into_iter().chain(aside).for_each(line);
        }
        Plan::Rebuild { old, cause, .. } => {
            old.iter().for_each(|(generation, old)| line(becomes(*generation, old)));
            if *cause == Cause::PastHorizon {
                line("deletes that it has not seen may be gone from the log".to_owned());
            }
        }
    }
}

fn peers(plan: &Plan, facts: &LogFacts, out: &mut String) {
    let limits = Limits::PRODUCTION;
    let retry = HumanDuration(limits.peer_retry);
    let line = match plan {
        Plan::Rebuild { .. } if facts.offsets() >= limits.peer_offsets_min => {
            "peers are asked first, in turn: the log is read from where a READY one's copy ends"
                .to_owned()
        }
        Plan::Incomplete { .. } => {
            format!("unless a READY peer gives its copy: they are asked every {retry}")
        }
        Plan::Wait { .. }
        | Plan::Refuse { .. }
        | Plan::Resume { .. }
        | Plan::Continue { .. }
        | Plan::Rebuild { .. } => return,
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
                found.iter().for_each(|found| generation(found, role, facts, out));
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
