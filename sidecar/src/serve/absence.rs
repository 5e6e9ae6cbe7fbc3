//! Finds out what it means that a topic is not there although this node has a copy of it (often the brokers at the same
//! address are another cluster now), and why no broker is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_core::node::Status;
use outrigger_core::stall::StallKind;
use tokio::task::JoinSet;

use crate::advice;
use crate::config::ServeConfig;
use crate::kafka::{self, KafkaConfig, Unreached};
use crate::rocks;
use crate::runtime::{StoreHandle, Told, TopicNews};

/// The pause between two looks. Each costs a client of its own, and nobody changes clusters by the minute.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Tasks that end when dropped.
pub(super) struct Watches {
    _tasks: JoinSet<()>,
}

/// What watches one store.
struct Watch {
    kafka: KafkaConfig,
    data: PathBuf,
    store: StoreHandle,
    topic: String,
    news: TopicNews,
}

pub(super) fn watch(config: &ServeConfig, stores: Vec<StoreHandle>, news: &[TopicNews]) -> Watches {
    let mut tasks = JoinSet::new();
    let topics = config.stores.iter().map(|store| store.topic.as_str().to_owned());
    for ((store, topic), news) in stores.into_iter().zip(topics).zip(news.iter().cloned()) {
        let (kafka, data) = (config.kafka.clone(), config.data.clone());
        tasks.spawn(Watch { kafka, data, store, topic, news }.run());
    }
    Watches { _tasks: tasks }
}

impl Watch {
    /// Watches until the store's node has ended.
    async fn run(self) {
        let mut changes = self.store.status_changes();
        let mut told = false;
        loop {
            let waiting = changes.wait_for(|status| waits_for(status).is_some()).await;
            let Some(kind) = waiting.ok().and_then(|status| waits_for(&status)) else { return };
            match self.look(kind).await {
                Some(news) => {
                    self.news.tell(kind, news);
                    told = true;
                }
                // Others take back themselves what they told.
                None if told => {
                    self.news.forget();
                    told = false;
                }
                None => {}
            }
            let over = changes.wait_for(|status| waits_for(status) != Some(kind));
            if tokio::time::timeout(LOOK_AGAIN, over).await.is_ok() && told {
                self.news.forget();
                told = false;
            }
        }
    }

    async fn look(&self, kind: StallKind) -> Option<Told> {
        let (kafka, data) = (self.kafka.clone(), self.data.clone());
        let (store, topic) = (self.store.name().to_owned(), self.topic.clone());
        let looked = tokio::task::spawn_blocking(move || {
            if kind == StallKind::TopicGone {
                look(&kafka, &data, &store)
            } else {
                unreached(&kafka, &topic)
            }
        });
        looked.await.expect("looking does not panic")
    }
}

/// What somebody can find out about.
const KINDS: [StallKind; 3] =
    [StallKind::TopicGone, StallKind::Authorisation, StallKind::LogUnreachable];

fn waits_for(status: &Status) -> Option<StallKind> {
    KINDS.into_iter().find(|kind| status.stalls.iter().any(|stall| stall.kind == *kind))
}

/// Finds out why no broker is reached. None: connections are not what is the matter.
pub(crate) fn unreached(kafka: &KafkaConfig, topic: &str) -> Option<Told> {
    let Unreached { detail, what_to_do } = kafka::unreached(kafka, topic)?;
    Some(match kafka::unfit(kafka) {
        None => Told { detail, what_to_do },
        Some(unfit) => Told {
            detail: format!("{unfit}; {detail}"),
            what_to_do: "renew the certificate: the node takes it within 10 s and needs no restart"
                .to_owned(),
        },
    })
}

/// Finds out whether the copy is of another cluster. None: there is no copy, or it is of the cluster that answers, or
/// nobody can tell.
pub(crate) fn look(kafka: &KafkaConfig, data: &Path, store: &str) -> Option<Told> {
    let copy = rocks::identity(data, store).ok()??;
    let answers = kafka::cluster_id(kafka).ok()?.ok()?;
    (answers != copy.cluster).then(|| other_cluster(&copy.cluster, &answers, kafka, data, store))
}

fn other_cluster(copy: &str, answers: &str, kafka: &KafkaConfig, data: &Path, store: &str) -> Told {
    let bootstrap = &kafka.bootstrap;
    let detail = format!(
        "{bootstrap} is another cluster, {answers}, which does not have the topic: the copy here is of cluster {copy}"
    );
    let what_to_do = "point `bootstrap` at the cluster of the copy. Where the other one is to take its place, write the \
                      state of the best copy into a new topic there (`outrigger reseed`), or stop the node and run \
                      `outrigger reset` to begin with nothing";
    Told { detail, what_to_do: advice::placed(what_to_do, data, store) }
}
