//! Creates the topics of stores that ask for it, in the background until Kafka has done so.
//!
//! A topic is never created where this node has a copy: its topic existed, so it was deleted or this is another
//! cluster. An empty one in its place would take the writes of nodes that have no copy, and be READY there with
//! nothing.
//!
//! A Kafka that does not answer must not stop the start: the node then names a stall.

use std::path::Path;
use std::time::Duration;

use outrigger_core::limits::Limits;
use outrigger_core::stall::StallKind;
use tokio::task::{JoinError, JoinSet};

use crate::config::{Creation, ServeConfig, StoreConfig};
use crate::kafka::{CreateTopicError, Created, KafkaConfig, TopicSettings, create_topic};
use crate::rocks;
use crate::runtime::{Told, TopicNews};

/// How long a start waits for the topics: a node whose topic is there has nothing to complain about.
const FIRST_TRY: Duration = Duration::from_secs(2);

/// Tasks that end when dropped.
pub(super) struct Creations {
    tasks: JoinSet<()>,
}

/// Begins to create the topics, and returns when all are there or the time is over.
pub(super) async fn create(config: &ServeConfig, news: &[TopicNews]) -> Creations {
    let mut tasks = JoinSet::new();
    for (store, news) in config.stores.iter().zip(news) {
        if let Some(creation) = store.create
            && !has_copy(&config.data, store)
        {
            let Creation { partitions, replication } = creation;
            let settings = TopicSettings { partitions, replication };
            let topic = store.topic.as_str().to_owned();
            tasks.spawn(insist(config.kafka.clone(), topic, settings, news.clone()));
        }
    }
    let mut creations = Creations { tasks };
    // After that the tasks create them beside the node.
    let _elapsed = tokio::time::timeout(FIRST_TRY, creations.ended()).await;
    creations
}

/// Whether there is a copy, or nobody can tell: opening the store names what is wrong.
fn has_copy(data: &Path, store: &StoreConfig) -> bool {
    !matches!(rocks::owner(data, store.name.as_str()), Ok(None))
}

impl Creations {
    async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a creation does not panic");
        }
    }
}

async fn insist(kafka: KafkaConfig, topic: String, settings: TopicSettings, news: TopicNews) {
    let mut told = String::new();
    for failures in 0.. {
        let tried = attempt(kafka.clone(), topic.clone(), settings).await;
        match tried.expect("creating a topic does not panic") {
            Ok(created) => {
                news.forget();
                return tell(&topic, settings, created);
            }
            Err(error) => {
                if let Some(why) = absence(&error) {
                    news.tell(StallKind::TopicGone, why);
                }
                let error = error.to_string();
                if error != told {
                    tracing::warn!(topic, error, "the topic cannot be created yet: trying again");
                    told = error;
                }
            }
        }
        tokio::time::sleep(Limits::PRODUCTION.retry_after(failures)).await;
    }
}

/// Returns why the topic is not there yet; none where the node says by itself what it waits for.
fn absence(error: &CreateTopicError) -> Option<Told> {
    let what_to_do = match error {
        CreateTopicError::TooFewBrokers { .. } => {
            "start the other brokers, and it is created by itself; where there are to be no more, set the store's \
             `replication` to what there is, or create the topic yourself"
        }
        CreateTopicError::Refused { .. } => {
            "mend what Kafka names, such as the rights of this principal, and it is created by itself; or create the \
             topic yourself"
        }
        CreateTopicError::Config(_) | CreateTopicError::Unreachable { .. } => return None,
    };
    let detail = format!("it waits to be created: {}", error.why());
    Some(Told { detail, what_to_do: what_to_do.to_owned() })
}

fn tell(topic: &str, settings: TopicSettings, created: Created) {
    match created {
        Created::New { replication } => {
            let partitions = settings.partitions;
            tracing::info!(topic, partitions, replication, "created the topic");
        }
        Created::Existed => tracing::debug!(topic, "the topic exists"),
    }
}

async fn attempt(
    kafka: KafkaConfig,
    topic: String,
    settings: TopicSettings,
) -> Result<Result<Created, CreateTopicError>, JoinError> {
    tokio::task::spawn_blocking(move || create_topic(&kafka, &topic, settings)).await
}
