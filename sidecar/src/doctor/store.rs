//! One store: its topic, its log, its copy, and what was set aside.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use outrigger_core::decide::{Plan, Then, policy_fault};
use outrigger_core::limits::Limits;
use outrigger_core::log::KafkaError;
use outrigger_core::node::PolicyWarning;
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::phase::Refusal;
use outrigger_core::stall::StallKind;
use outrigger_core::store::{Found, FoundGeneration};
use outrigger_core::topic::LogFacts;

use super::findings::Findings;
use super::machine::Data;
use super::replication;
use crate::advice;
use crate::config::{ServeConfig, StoreConfig};
use crate::kafka::{self, Placement, PlacementError, Replicas};
use crate::rocks::{self, Shared};
use crate::runtime::{Circumstances, Told, clock};
use crate::serve;
use crate::survey::{self, Local, Planned};
use crate::words::{MURMUR2, counted};

/// What Kafka says of a store's topic.
pub(super) enum Topic {
    Known(Known),
    Unanswered {
        error: KafkaError,
        /// Why, where that was found out.
        told: Option<Told>,
    },
}

pub(super) struct Known {
    facts: LogFacts,
    /// None: the cluster does not tell.
    replicas: Option<Replicas>,
    placement: Result<Placement, PlacementError>,
}

impl Topic {
    pub(super) fn of(
        config: &ServeConfig,
        store: &StoreConfig,
        facts: Result<LogFacts, KafkaError>,
    ) -> Topic {
        let name = store.topic.as_str();
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                let told = unanswered(config, store, &error);
                return Topic::Unanswered { error, told };
            }
        };
        let replicas = kafka::replicas(&config.kafka, name).ok().and_then(Result::ok);
        let logs: Vec<_> =
            facts.partitions.iter().map(|facts| facts.log_start..facts.high_watermark).collect();
        let placement = kafka::placement(&config.kafka, name, &logs);
        Topic::Known(Known { facts, replicas, placement })
    }
}

fn unanswered(config: &ServeConfig, store: &StoreConfig, error: &KafkaError) -> Option<Told> {
    match StallKind::of(error) == StallKind::TopicGone {
        true => serve::other_cluster(&config.kafka, &config.data, store.name.as_str()),
        false => serve::unreached(&config.kafka, store.topic.as_str()),
    }
}

pub(super) fn examine(
    local: Local<'_>,
    store: &StoreConfig,
    topic: Topic,
    data: &Data,
    shared: &Arc<Shared>,
    findings: &mut Findings,
) {
    match topic {
        Topic::Known(Known { facts, replicas, placement: looked }) => {
            self::topic(local, store, &facts, replicas, findings);
            log(&facts, findings);
            placement(looked, findings);
            copy(local, store, facts, data, shared, findings);
        }
        Topic::Unanswered { error, told } => {
            let circumstances = local.circumstances(store);
            let what = format!("Kafka says nothing of the topic: {error}");
            match told {
                Some(Told { detail, what_to_do }) => {
                    findings.bad(format!("{what}: {detail}"), what_to_do);
                }
                None => {
                    findings.bad(what, circumstances.stall(StallKind::of(&error), "").what_to_do);
                }
            }
        }
    }
    set_aside(local, store, findings);
}

fn topic(
    local: Local<'_>,
    store: &StoreConfig,
    facts: &LogFacts,
    replicas: Option<Replicas>,
    findings: &mut Findings,
) {
    let policy = &facts.policy;
    if let Some(fault) = policy_fault(policy, &Limits::PRODUCTION) {
        let refusal = Refusal::Policy(fault);
        return findings.bad(refusal.to_string(), refusal.what_to_do());
    }
    let retention = HumanDuration(Duration::from_millis(policy.delete_retention_ms));
    findings.good(format!(
        "topic id {}: compacted, {}, {}, deletes are kept for {retention}",
        facts.topic,
        counted(u64::try_from(facts.partitions.len()).expect("a length fits 64 bits"), "partition"),
        counted(u64::from(policy.replication), "replica")
    ));
    for warning in PolicyWarning::of(policy, &Limits::PRODUCTION) {
        let setting = match warning {
            // These are judged by what the cluster is meant to give.
            PolicyWarning::Replication(_) | PolicyWarning::MinInsync(_) => continue,
            PolicyWarning::UncleanElection => "unclean.leader.election.enable=false",
            PolicyWarning::MessageBytes(_) => "max.message.bytes=1048588",
            PolicyWarning::CreateTime => "message.timestamp.type=LogAppendTime",
        };
        let alter = replication::alter(local.bootstrap, store.topic.as_str(), setting);
        findings.warn(warning.to_string(), alter);
    }
    replication::examine(local, store, policy, replicas, findings);
}

fn log(facts: &LogFacts, findings: &mut Findings) {
    let mut partitions = (0..).map(Partition).zip(&facts.partitions);
    match partitions.find(|(_, facts)| facts.log_start.0 > 0) {
        None => findings.good("the log is complete: every partition starts at 0"),
        Some((partition, facts)) => findings.bad(
            format!(
                "records were deleted: partition {partition} starts at {}",
                facts.log_start
            ),
            "a node that loses its copy cannot be rebuilt from this log: keep the copies there are, and copy a \
             READY node's data directory for a new one",
        ),
    }
}

fn placement(looked: Result<Placement, PlacementError>, findings: &mut Findings) {
    match looked {
        Ok(found) => placed(found, findings),
        Err(error) => findings.warn(
            format!("the newest records could not be looked at: {error}"),
            "see above; whether other tools write where nodes look is not known",
        ),
    }
}

fn placed(found: Placement, findings: &mut Findings) {
    let Placement { records, misplaced, keyless } = found;
    let newest = format!("of the newest {}", counted(records, "record"));
    match (misplaced, keyless) {
        (0, 0) => findings.good(format!("{newest} each is in the partition of its key")),
        (0, keyless) => findings.warn(
            format!("{newest} {keyless} have no key, and are in no copy"),
            "have whoever writes them give a key",
        ),
        (misplaced, _) => findings.bad(
            format!(
                "{newest} {misplaced} are in another partition than their key's, and missing on every node"
            ),
            MURMUR2,
        ),
    }
}

fn copy(
    local: Local<'_>,
    store: &StoreConfig,
    facts: LogFacts,
    data: &Data,
    shared: &Arc<Shared>,
    findings: &mut Findings,
) {
    let exists = match data {
        Data::Quiet => true,
        Data::Missing => false,
        Data::InUse => {
            return findings
                .good("the copy is in use, and not looked at: `outrigger status` tells how it is");
        }
        Data::Unusable => return,
    };
    match survey::plan(local, store, facts, exists, shared) {
        Ok(Planned { found, plan, .. }) => {
            clock(&found, findings);
            planned(&plan, &local.circumstances(store), findings);
        }
        Err(error) => findings.bad(error.to_string(), "check the disk and the rights of this user"),
    }
}

fn planned(plan: &Plan, circumstances: &Circumstances, findings: &mut Findings) {
    let details = "`outrigger plan` tells more; it happens by itself at the next start";
    match &plan.then {
        Then::Resume { generation, .. } => {
            findings.good(format!(
                "the copy {generation} fits the log by its position; its rows are not read here: a node checks \
                 each block that it reads, and `outrigger verify` reads all"
            ));
        }
        Then::Continue { generation, .. } => {
            findings.good(format!("the rebuild {generation} is unfinished and goes on"));
        }
        Then::Rebuild { cause, refusal: None, .. } => {
            findings.warn(format!("the copy is to be rebuilt: {}", cause.name()), details);
        }
        Then::Wait(deposed) => {
            let told = circumstances.stall(StallKind::StaleLeader, &deposed.to_string());
            findings.warn(told.detail, told.what_to_do);
        }
        Then::Refuse(refusal) | Then::Rebuild { refusal: Some(refusal), .. } => {
            findings.bad(refusal.to_string(), circumstances.refusal(refusal).what_to_do);
        }
    }
}

/// Looks at the clock. A copy cannot be from the future: then this clock went back, and with it the only measure of how
/// long the copy was away.
fn clock(found: &Found, findings: &mut Findings) {
    let Found::Copy(copy) = found else { return };
    let found = [&copy.current, &copy.building].into_iter().flatten();
    let lineages = found.filter_map(FoundGeneration::lineages);
    let Some(seen) = lineages.flatten().map(|lineage| lineage.confirmed_at_ms).max() else {
        return;
    };
    let now = clock::now().wall_ms;
    match seen.checked_sub(now).filter(|ahead| *ahead > 0) {
        None => findings.good("the clock is not behind what the copy has seen"),
        Some(ahead) => findings.bad(
            format!(
                "this machine's clock is {} behind what the copy has seen",
                HumanDuration(Duration::from_millis(ahead))
            ),
            "set the clock (NTP): a copy's age decides whether it may have missed deletes",
        ),
    }
}

fn set_aside(local: Local<'_>, store: &StoreConfig, findings: &mut Findings) {
    match rocks::quarantined(local.data, store.name.as_str()) {
        Ok(aside) => {
            for rocks::Quarantined { generation, why, has_lost, bytes } in aside {
                findings.warn(
                    format!("{generation} was set aside, {}: {why}", HumanBytes(bytes)),
                    format!(
                        "{}`outrigger drop-quarantine{} {generation}`",
                        look(has_lost, generation),
                        advice::place(local.data, store.name.as_str())
                    ),
                );
            }
        }
        Err(error) => findings.bad(error.to_string(), "check the disk and the rights of this user"),
    }
}

fn look(has_lost: bool, generation: Generation) -> String {
    if has_lost {
        format!("look at lost-{generation}.jsonl beside it; when nothing in it is needed: ")
    } else {
        "when nothing in it is needed: ".to_owned()
    }
}
