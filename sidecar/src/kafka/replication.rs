//! How many replicas a topic is to have, and where those that it has are.
//!
//! How many brokers are up says little: a topic keeps what it is created with, and a cluster that boots, or has a
//! broker down, would give it one or two for good. So what counts is what the cluster is meant to be.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::config::{KafkaConfig, KafkaStartError};
use super::questions::Questions;
use super::raw::Code;
use super::trouble::kafka_error;
use outrigger_core::log::KafkaError;

/// With three replicas, one may be away and another be lost.
pub(super) const REPLICATION_MAX: u32 = 3;

/// Settings of a broker that say how many replicas somebody meant to have. Kafka's own default of the second and
/// third is 3, and whoever runs a single broker has to lower them.
const REPLICAS: [&str; 3] = [
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
];

/// Settings of a broker that list the controllers: nobody runs three of them for fewer brokers.
const CONTROLLERS: [&str; 2] = ["controller.quorum.voters", "controller.quorum.bootstrap.servers"];

/// A topic's replicas, and the brokers that could have more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Ids of the brokers that are up.
    pub brokers: Vec<i32>,
    /// For each partition, in order: the brokers that have a replica, the preferred leader first.
    pub replicas: Vec<Vec<i32>>,
    /// As many replicas as the cluster is meant to give, three at most; none where it does not tell.
    pub meant: Option<u32>,
}

/// Where the replicas of a topic are.
pub fn replicas(
    config: &KafkaConfig,
    topic: &str,
) -> Result<Result<Replicas, KafkaError>, KafkaStartError> {
    let questions = Questions::new(config)?;
    let name = CString::new(topic).map_err(|_| KafkaStartError::Topic(topic.to_owned()))?;
    let asked = questions.cluster().and_then(|cluster| {
        let replicas = questions.topic(&name)?.replicas;
        let meant = meant(&questions, &cluster.brokers);
        Ok(Replicas { brokers: cluster.brokers, replicas, meant })
    });
    Ok(asked.map_err(|code| kafka_error(code, false)))
}

/// As many replicas as the cluster is meant to give, three at most. `brokers` are up. None where this principal may
/// not ask, or no broker answers.
pub(super) fn meant(questions: &Questions, brokers: &[i32]) -> Option<u32> {
    let up = u32::try_from(brokers.len()).unwrap_or(u32::MAX);
    if up >= REPLICATION_MAX {
        return Some(REPLICATION_MAX);
    }
    let settings = brokers.iter().find_map(|broker| questions.broker_settings(*broker).ok())?;
    said_by(&settings).map(|said| said.max(up).clamp(1, REPLICATION_MAX))
}

/// What a broker's settings say. None: the broker keeps them to itself, as hosted ones do.
fn said_by(settings: &BTreeMap<String, String>) -> Option<u32> {
    let replicas = REPLICAS.iter().filter_map(|name| settings.get(*name)?.parse().ok());
    let controllers = CONTROLLERS.iter().filter_map(|name| {
        let list = settings.get(*name)?;
        u32::try_from(list.split(',').filter(|each| !each.trim().is_empty()).count()).ok()
    });
    replicas.chain(controllers).max()
}

/// Whether it was refused for that: Kafka refuses more replicas than it knows brokers, up or not.
pub(super) fn too_few_brokers(created: &Result<(), (Code, String)>) -> bool {
    matches!(created, Err((Code::INVALID_REPLICATION_FACTOR, _)))
}

impl Replicas {
    /// Kafka's own input for `kafka-reassign-partitions`: every partition with `wanted` replicas, where it is now
    /// first. None while fewer brokers are up.
    pub fn reassignment(&self, topic: &str, wanted: u32) -> Option<String> {
        let wanted =
            usize::try_from(wanted).expect("usize holds 32 bits on every supported platform");
        if self.brokers.len() < wanted {
            return None;
        }
        let partition = |(number, replicas): (usize, &Vec<i32>)| {
            let others = self.brokers.iter().filter(|broker| !replicas.contains(broker));
            // Each partition begins at another broker: so the new replicas are spread.
            let from = number % self.brokers.len();
            let others: Vec<&i32> = others.collect();
            let turned = others.iter().cycle().skip(from).take(others.len()).copied();
            let kept = replicas.iter().filter(|replica| self.brokers.contains(replica));
            let placed: Vec<String> = kept.chain(turned).take(wanted).map(i32::to_string).collect();
            let placed = placed.join(",");
            format!(r#"{{"topic":"{topic}","partition":{number},"replicas":[{placed}]}}"#)
        };
        let partitions: Vec<String> = self.replicas.iter().enumerate().map(partition).collect();
        Some(format!(r#"{{"version":1,"partitions":[{}]}}"#, partitions.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_a_cluster_is_meant_to_give_is_the_most_that_its_settings_say() {
        let single = [REPLICAS.map(|name| (name, "1")), [("controller.quorum.voters", "1@a:1"); 3]];
        assert_eq!(said_by(&settings(single.as_flattened())), Some(1));
        for (name, value) in [
            ("default.replication.factor", "3"),
            ("offsets.topic.replication.factor", "3"),
            ("controller.quorum.voters", "1@a:1,2@b:1,3@c:1"),
            ("controller.quorum.bootstrap.servers", "a:1, b:1, c:1"),
        ] {
            let mut three = settings(single.as_flattened());
            three.insert(name.to_owned(), value.to_owned());
            assert_eq!(said_by(&three), Some(3), "{name}");
        }
        assert_eq!(said_by(&settings(&[("log.dirs", "/data")])), None);
        assert_eq!(said_by(&settings(&[("controller.quorum.voters", "")])), Some(0));
    }

    #[test]
    fn a_reassignment_keeps_what_is_up_and_spreads_the_rest() {
        let placed = Replicas {
            brokers: vec![1, 2, 3, 4],
            replicas: vec![vec![2, 1], vec![9, 3]],
            meant: Some(3),
        };
        let json = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2,1,3]},{"topic":"t","partition":1,"replicas":[3,2,4]}]}"#;
        assert_eq!(placed.reassignment("t", 3).as_deref(), Some(json));
        assert_eq!(placed.reassignment("t", 5), None, "there are not so many");
    }
}
