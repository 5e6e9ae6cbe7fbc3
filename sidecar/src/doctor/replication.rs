//! Whether a topic has the replicas that its cluster is meant to give, and the commands that mend it.

use outrigger_core::node::PolicyWarning;
use outrigger_core::topic::TopicPolicy;

use super::findings::Findings;
use crate::config::StoreConfig;
use crate::kafka::Replicas;
use crate::survey::Local;

/// What a topic is judged by.
struct Wanted<'a> {
    bootstrap: &'a str,
    topic: &'a str,
    /// The replicas by the store's setting, or else by what the cluster is meant to be; none where neither says it.
    replication: Option<u32>,
    replicas: Option<Replicas>,
}

pub(super) fn examine(
    local: Local<'_>,
    store: &StoreConfig,
    policy: &TopicPolicy,
    replicas: Option<Replicas>,
    findings: &mut Findings,
) {
    let topic = store.topic.as_str();
    let meant = replicas.as_ref().and_then(|replicas| replicas.meant);
    let chosen = store.create.and_then(|creation| creation.replication);
    let wanted =
        Wanted { bootstrap: local.bootstrap, topic, replication: chosen.or(meant), replicas };
    wanted.judge(policy, findings);
}

/// Returns the command that changes a topic's setting.
pub(super) fn alter(bootstrap: &str, topic: &str, setting: &str) -> String {
    format!(
        "kafka-configs --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name {topic} \
         --add-config {setting}"
    )
}

impl Wanted<'_> {
    fn judge(&self, policy: &TopicPolicy, findings: &mut Findings) {
        let Wanted { bootstrap, topic, replication, .. } = self;
        let has = policy.replication;
        match replication {
            Some(wanted) if has < *wanted => findings.bad(
                format!(
                    "the topic has {has} replica(s) and is to have {wanted}: a broker that is down can stop all \
                     writes, one that is lost can lose acknowledged ones"
                ),
                self.reassign(*wanted),
            ),
            _ if has < 3 => findings.warn(
                PolicyWarning::Replication(has).to_string(),
                "add brokers up to three; then this command names the one that moves the topic",
            ),
            _ => {}
        }
        let in_sync = policy.min_insync_replicas;
        let two = alter(bootstrap, topic, "min.insync.replicas=2");
        match replication {
            _ if in_sync >= 2 => {}
            Some(wanted) if *wanted >= 2 => {
                findings.bad(PolicyWarning::MinInsync(in_sync).to_string(), two);
            }
            _ => findings.warn(
                PolicyWarning::MinInsync(in_sync).to_string(),
                format!("with two replicas or more: {two}"),
            ),
        }
    }

    fn reassign(&self, wanted: u32) -> String {
        let Wanted { bootstrap, topic, replicas, .. } = self;
        let input = replicas.as_ref().and_then(|found| found.reassignment(topic, wanted));
        match input {
            Some(input) => format!(
                "echo '{input}' >{topic}.json && kafka-reassign-partitions --bootstrap-server {bootstrap} \
                 --reassignment-json-file {topic}.json --execute"
            ),
            None => format!(
                "start the other brokers ({} up), then run this again: it names the command that moves the topic",
                replicas.as_ref().map_or(0, |found| found.brokers.len())
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(replication: Option<u32>, has: u32, in_sync: u32, up: i32) -> (String, bool) {
        let replicas =
            Replicas { brokers: (1..=up).collect(), replicas: vec![vec![1]], meant: None };
        let (bootstrap, topic) = ("b:1", "t");
        let wanted = Wanted { bootstrap, topic, replication, replicas: Some(replicas) };
        let policy = TopicPolicy { min_insync_replicas: in_sync, ..TopicPolicy::safe(has) };
        let mut findings = Findings::default();
        wanted.judge(&policy, &mut findings);
        let bad = findings.any_bad();
        (findings.text(), bad)
    }

    #[test]
    fn fewer_replicas_than_meant_are_bad_with_the_command_that_mends_it() {
        let (text, bad) = findings(Some(3), 1, 1, 3);
        assert!(bad && text.contains(r#""replicas":[1,2,3]"#), "{text}");
        assert!(text.contains("kafka-reassign-partitions --bootstrap-server b:1"), "{text}");
        assert!(text.contains("--add-config min.insync.replicas=2"), "{text}");
        let (text, bad) = findings(Some(3), 2, 2, 2);
        assert!(bad && text.contains("start the other brokers (2 up)"), "{text}");
    }

    #[test]
    fn what_a_cluster_cannot_give_is_only_warned_of() {
        for replication in [Some(1), None] {
            let (text, bad) = findings(replication, 1, 1, 1);
            assert!(!bad && text.contains("warn"), "{text}");
        }
        assert_eq!(findings(Some(3), 3, 2, 3), (String::new(), false));
    }
}
