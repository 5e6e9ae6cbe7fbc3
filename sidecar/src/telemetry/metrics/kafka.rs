//! What librdkafka tells of its clients every ten seconds.

use std::collections::BTreeMap;

use ::metrics::{counter, gauge};
use serde::Deserialize;

use super::float;
use super::table::{BROKERS_UP, DISCONNECTS, QUEUE, ROUND_TRIP, THROTTLE};

const MICROS: f64 = 1_000_000.0;
const MILLIS: f64 = 1_000.0;

/// A client of Kafka, such as `consumer`, or the producer of a topic.
#[derive(Clone, Debug)]
pub struct Client {
    name: &'static str,
    /// None: it works for all of them.
    topic: Option<String>,
    /// By broker: how many connections had ended. A client that takes another's place begins anew.
    disconnects: BTreeMap<i32, u64>,
}

/// The part of librdkafka's statistics (STATISTICS.md) that is told.
#[derive(Debug, Deserialize)]
pub struct Statistics {
    #[serde(default)]
    msg_cnt: u64,
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    nodeid: i32,
    /// How the client came to know it; those that it makes for itself are `internal` or `logical`.
    source: String,
    state: String,
    disconnects: u64,
    rtt: Window,
    throttle: Window,
}

/// Of the last interval: microseconds of `rtt`, milliseconds of `throttle`.
#[derive(Debug, Deserialize)]
struct Window {
    max: i64,
    p99: i64,
}

#[derive(Debug, Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    #[serde(default)]
    fetchq_cnt: u64,
}

/// Whether a client knows of a broker that it could connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brokers {
    Some,
    None,
}

impl Statistics {
    fn known(&self) -> Brokers {
        let mut sources = self.brokers.values().map(|broker| broker.source.as_str());
        let any = sources.any(|source| source == "configured" || source == "learned");
        if any { Brokers::Some } else { Brokers::None }
    }
}

impl Client {
    pub fn new(name: &'static str, topic: Option<String>) -> Client {
        Client { name, topic, disconnects: BTreeMap::new() }
    }

    /// Records what the client's statistics say. What cannot be read is of another version, and nothing is told.
    pub fn tell(&mut self, json: &str) -> Brokers {
        match serde_json::from_str::<Statistics>(json) {
            Ok(statistics) => {
                self.record(&statistics);
                statistics.known()
            }
            Err(error) => {
                tracing::debug!(%error, "statistics of librdkafka that cannot be read");
                Brokers::Some
            }
        }
    }

    fn record(&mut self, statistics: &Statistics) {
        // Those without a number are addresses to begin with, and behind one is a broker that has a number, too.
        let known = statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        let (mut up, mut gone) = (0, std::mem::take(&mut self.disconnects));
        for broker in known {
            up += u32::from(broker.state == "UP");
            let labels = self.labels_of(broker.nodeid);
            gauge!(ROUND_TRIP, &labels).set(amount(broker.rtt.p99) / MICROS);
            gauge!(THROTTLE, &labels).set(amount(broker.throttle.max) / MILLIS);
            let before = gone.remove(&broker.nodeid).unwrap_or(0);
            self.disconnects.insert(broker.nodeid, broker.disconnects);
            let since = broker.disconnects.checked_sub(before).unwrap_or(broker.disconnects);
            counter!(DISCONNECTS, &labels).increment(since);
        }
        // What was measured last of a broker that the cluster has no more is of nothing.
        for broker in gone.into_keys() {
            let labels = self.labels_of(broker);
            gauge!(ROUND_TRIP, &labels).set(f64::NAN);
            gauge!(THROTTLE, &labels).set(f64::NAN);
        }
        gauge!(BROKERS_UP, &self.labels()).set(f64::from(up));
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let fetched: u64 = partitions.map(|partition| partition.fetchq_cnt).sum();
        gauge!(QUEUE, &self.labels()).set(float(statistics.msg_cnt + fetched));
    }

    fn labels_of(&self, broker: i32) -> Vec<(&'static str, String)> {
        self.labels().into_iter().chain([("broker", broker.to_string())]).collect()
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        let topic = self.topic.clone().map(|topic| ("topic", topic));
        [("client", self.name.to_owned())].into_iter().chain(topic).collect()
    }
}

/// Nothing was measured where librdkafka says less than 0.
fn amount(number: i64) -> f64 {
    float(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn said(disconnects: u64) -> String {
        let broker = |nodeid: i32, state: &str| {
            format!(
                r#"{{"nodeid":{nodeid},"source":"learned","state":"{state}","disconnects":{disconnects},"other":1,
                "rtt":{{"min":1,"max":9000,"p99":2500}},"throttle":{{"min":0,"max":1500,"p99":0}}}}"#
            )
        };
        format!(
            r#"{{"type":"producer","msg_cnt":3,"brokers":{{"a:1/bootstrap":{},"a:1/1":{},"b:1/2":{}}},
            "topics":{{"t":{{"partitions":{{"0":{{"fetchq_cnt":2}},"-1":{{}}}}}}}}}}"#,
            broker(-1, "UP"),
            broker(1, "UP"),
            broker(2, "DOWN"),
        )
    }

    #[test]
    fn a_client_is_told_of_by_broker_and_counters_go_on_where_another_takes_its_place() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let text = ::metrics::with_local_recorder(&recorder, || {
            let mut client = Client::new("producer", Some("notes".to_owned()));
            for disconnects in [2, 5, 1] {
                client.tell(&said(disconnects));
            }
            client.tell("no JSON");
            recorder.handle().render()
        });
        for line in [
            r#"outrigger_kafka_round_trip_seconds{client="producer",topic="notes",broker="1"} 0.0025"#,
            r#"outrigger_kafka_throttle_seconds{client="producer",topic="notes",broker="2"} 1.5"#,
            r#"outrigger_kafka_disconnects_total{client="producer",topic="notes",broker="1"} 6"#,
            r#"outrigger_kafka_brokers_connected{client="producer",topic="notes"} 1"#,
            r#"outrigger_kafka_queue_messages{client="producer",topic="notes"} 5"#,
        ] {
            assert!(text.lines().any(|has| has == line), "{line} in\n{text}");
        }
        assert!(!text.contains("broker=\"-1\""), "{text}");
    }

    #[test]
    fn nothing_is_said_of_a_broker_that_is_gone() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (before, after) = ::metrics::with_local_recorder(&recorder, || {
            let mut client = Client::new("consumer", None);
            client.tell(&said(0));
            let before = recorder.handle().render();
            client.tell(r#"{"brokers":{}}"#);
            (before, recorder.handle().render())
        });
        let throttle = r#"outrigger_kafka_throttle_seconds{client="consumer",broker="2"}"#;
        assert!(before.contains(&format!("{throttle} 1.5")), "{before}");
        assert!(after.contains(&format!("{throttle} NaN")), "{after}");
        assert!(after.contains(r#"outrigger_kafka_brokers_connected{client="consumer"} 0"#));
    }
}
