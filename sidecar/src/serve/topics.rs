//! Creates the topics of stores that ask for it, in the background until Kafka has done so.
//!
//! Never where this node has a copy: its topic existed, so it was deleted or this is another cluster. An empty one in its
//! place would take the writes of nodes that have no copy, and be READY there with nothing.
//!
//! That Kafka does not answer must not keep the node from starting: it names its stall by itself.

use std::path::Path;
use std::time::Duration;

use outrigger_core::limits::Limits;
use tokio::task::{JoinError, JoinSet};

use crate::config::{Creation, StoreConfig};
use crate::kafka::{CreateTopicError, Created, KafkaConfig, TopicSettings, create_topic};
use crate::rocks;

/// How long a start waits for it: a node whose topic is there has nothing to complain about.
const FIRST_TRY: Duration = Duration::from_secs(2);

/// Tasks that end when dropped.
pub(super) struct Creations {
    tasks: JoinSet<()>,
}

/// Begins, and returns when all are there or the patience is over.
pub(super) async fn create(kafka: &KafkaConfig, data: &Path, stores: &[StoreConfig]) -> Creations {
    let mut tasks = JoinSet::new();
    for store in stores {
        if let Some(creation) = store.create
            && !has_copy(data, store)
        {
            let Creation { partitions, replication } = creation;
            let settings = TopicSettings { partitions, replication };
            tasks.spawn(insist(kafka.clone(), store.topic.as_str().to_owned(), settings));
        }
    }
    let mut creations = Creations { tasks };
    // Past it they go on beside the node.
    let _elapsed = tokio::time::timeout(FIRST_TRY, creations.ended()).await;
    creations
}

/// Also where nobody can tell: opening the store names what is wrong.
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

async fn insist(kafka: KafkaConfig, topic: String, settings: TopicSettings) {
    let mut told = String::new();
    for failures in 0.. {
        let tried = attempt(kafka.clone(), topic.clone(), settings).await;
        match tried.expect("creating a topic does not panic") {
            Ok(created) => return tell(&topic, settings, created),
            Err(error) => {
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
