//! Asks the cluster questions one at a time and waits for each: before anything is started, and beside a node.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::{Duration, Instant};

use outrigger_core::log::KafkaError;

use super::config::{KafkaConfig, KafkaStartError};
use super::raw::{
    Client, ClusterDescription, Code, Configured, Event, NewTopic, Queue, Timeout, TopicDescription,
};
use super::settings::{ADMIN_TIMEOUT, CREATE_TIMEOUT};
use super::trouble::kafka_error;

/// Its fields are in the order in which they may go: the queue before its client.
pub(super) struct Questions {
    answers: Queue,
    client: Client,
}

impl Questions {
    pub(super) fn new(config: &KafkaConfig) -> Result<Questions, KafkaStartError> {
        config.check()?;
        let client = config.admin().map_err(KafkaStartError::from)?;
        Ok(Questions { answers: client.new_queue(), client })
    }

    pub(super) fn cluster(&self) -> Result<ClusterDescription, Code> {
        self.client.cluster(Timeout(ADMIN_TIMEOUT))
    }

    pub(super) fn topic(&self, name: &CStr) -> Result<TopicDescription, Code> {
        self.client.describe_topic(name, 0, Timeout(ADMIN_TIMEOUT), &self.answers);
        let described = self.wait(ADMIN_TIMEOUT, |event| {
            if let Event::Topic { answer, .. } = event { Some(answer) } else { None }
        });
        described.unwrap_or(Err(Code::TIMED_OUT))
    }

    /// The settings of a broker that is up.
    pub(super) fn broker_settings(&self, id: i32) -> Result<BTreeMap<String, String>, Code> {
        let broker = Configured::Broker(id);
        self.client.describe_configs(broker, 0, Timeout(ADMIN_TIMEOUT), &self.answers);
        let described = self.wait(ADMIN_TIMEOUT, |event| {
            if let Event::Configs { answer, .. } = event { Some(answer) } else { None }
        });
        described.unwrap_or(Err(Code::TIMED_OUT))
    }

    pub(super) fn create(&self, topic: &NewTopic) -> Result<(), (Code, String)> {
        let timeout = Timeout(CREATE_TIMEOUT);
        let asked = self.client.create_topic(topic, timeout, &self.answers);
        asked.map_err(|detail| (Code::FAIL, detail))?;
        let created = self.wait(CREATE_TIMEOUT, |event| {
            if let Event::Created { answer } = event { Some(answer) } else { None }
        });
        created.unwrap_or_else(|| Err((Code::TIMED_OUT, "no answer".to_owned())))
    }

    /// The first event that `pick` knows; none when it does not come. librdkafka ends every request itself, so the time
    /// here is only a second bound.
    fn wait<T>(
        &self,
        timeout: Duration,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + timeout + Duration::from_secs(1);
        let mut found = None;
        while found.is_none() && Instant::now() < until {
            self.answers.poll(Duration::from_millis(100), |event| found = pick(event));
        }
        found
    }
}

/// The id of the cluster that answers.
pub fn cluster_id(config: &KafkaConfig) -> Result<Result<String, KafkaError>, KafkaStartError> {
    let described = Questions::new(config)?.cluster();
    Ok(described.map(|cluster| cluster.id).map_err(|code| kafka_error(code, false)))
}
