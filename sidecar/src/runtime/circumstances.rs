//! What only this process knows of a store that waits or refuses: why its topic is not there or no broker is reached, why
//! no peer gave a copy, and where it lies. The core says the rest, and says it in general.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use outrigger_core::node::PolicyWarning;
use outrigger_core::phase::{Phase, Refusal};
use outrigger_core::stall::StallKind;

use crate::advice;

/// Bytes that are kept of what peers said: an error travels in the head of an answer, which is small.
const WHY_BYTES_MAX: usize = 1_000;

/// What is the matter, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub detail: String,
    pub what_to_do: String,
}

/// Why a store waits for its topic, where somebody found out. A clone is a reference to the same.
#[derive(Clone, Debug, Default)]
pub struct TopicNews(Arc<ArcSwapOption<(StallKind, Told)>>);

/// Where a store's log lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogHome {
    Brokers,
    /// It lives in this process: no brokers are there that could have replicas.
    Embedded,
}

/// What only this process knows of one store.
pub struct Circumstances {
    store: String,
    data: PathBuf,
    topic: TopicNews,
    home: LogHome,
    peers: Peers,
    /// Addresses of the peers whose copies differed from this one when they were last compared.
    differ: ArcSwap<Vec<String>>,
}

enum Peers {
    NotConfigured,
    /// There are peers. Why none gave a copy the last time, since the store was READY.
    Asked(ArcSwapOption<String>),
}

impl TopicNews {
    /// Keeps what somebody found out about what waits under `kind`.
    pub fn tell(&self, kind: StallKind, told: Told) {
        self.0.store(Some(Arc::new((kind, told))));
    }

    fn of(&self, kind: StallKind) -> Option<Told> {
        let news = self.0.load_full().filter(|news| news.0 == kind)?;
        Some(news.1.clone())
    }

    pub fn forget(&self) {
        self.0.store(None);
    }
}

impl Circumstances {
    /// `data`: the directory of all stores. `asks`: there are peers that may give a copy.
    pub fn new(
        store: String,
        data: PathBuf,
        topic: TopicNews,
        home: LogHome,
        asks: bool,
    ) -> Circumstances {
        let peers = if asks { Peers::Asked(ArcSwapOption::empty()) } else { Peers::NotConfigured };
        Circumstances { store, data, topic, home, peers, differ: ArcSwap::default() }
    }

    pub fn stall(&self, kind: StallKind, detail: &str) -> Told {
        self.topic.of(kind).unwrap_or_else(|| Told {
            detail: detail.to_owned(),
            what_to_do: self.advice(kind.what_to_do()),
        })
    }

    /// Returns why the topic is not there, where somebody found out.
    pub fn absence(&self) -> Option<Told> {
        self.topic.of(StallKind::TopicGone)
    }

    pub fn refusal(&self, refusal: &Refusal) -> Told {
        let asked = match (&self.peers, refusal) {
            (Peers::Asked(why), Refusal::LogIncomplete { .. }) => why.load_full(),
            (Peers::NotConfigured, _)
            | (_, Refusal::Identity { .. } | Refusal::Policy(_) | Refusal::Cancelled) => {
                return Told {
                    detail: refusal.to_string(),
                    what_to_do: self.advice(refusal.what_to_do()),
                };
            }
        };
        let (detail, first) = match asked {
            None => (
                format!("{refusal}; its peers are asked for a copy"),
                "wait for a peer that is READY, and see in Status how much of its copy has come",
            ),
            Some(why) => (
                format!("{refusal}; no peer gave a copy: {why}"),
                "mend what keeps the peers from giving their copies",
            ),
        };
        let what_to_do = format!(
            "{first}; they are asked again and again, though after four damaged copies only by a restart. Where none \
             has everything, write the state of the best copy into a new topic (`outrigger reseed`)"
        );
        Told { detail, what_to_do: self.advice(&what_to_do) }
    }

    /// Returns why no peer gave a copy, the last time before the store is READY.
    pub fn peers_failed(&self) -> Option<Arc<String>> {
        match &self.peers {
            Peers::NotConfigured => None,
            Peers::Asked(why) => why.load_full(),
        }
    }

    /// Whether somebody could do something about it.
    pub fn warns(&self, warning: &PolicyWarning) -> bool {
        match (self.home, warning) {
            (LogHome::Embedded, PolicyWarning::Replication(_) | PolicyWarning::MinInsync(_)) => {
                false
            }
            (
                LogHome::Embedded,
                PolicyWarning::UncleanElection
                | PolicyWarning::MessageBytes(_)
                | PolicyWarning::CreateTime,
            )
            | (LogHome::Brokers, _) => true,
        }
    }

    /// Returns the addresses of the peers whose copies differed from this one when they were last compared.
    pub fn differ(&self) -> Arc<Vec<String>> {
        self.differ.load_full()
    }

    /// Notes which they are.
    pub fn note_differ(&self, peers: Vec<String>) {
        self.differ.store(Arc::new(peers));
    }

    pub(super) fn note_peers_failed(&self, why: &str) {
        if let Peers::Asked(last) = &self.peers {
            let end = why.floor_char_boundary(WHY_BYTES_MAX);
            let cut = if end < why.len() { "…" } else { "" };
            last.store(Some(Arc::new(format!("{}{cut}", &why[..end]))));
        }
    }

    pub(super) fn note_phase(&self, phase: &Phase) {
        match (phase, &self.peers) {
            (Phase::Ready, Peers::Asked(why)) => why.store(None),
            (Phase::Ready, Peers::NotConfigured)
            | (
                Phase::Opening
                | Phase::Restoring(_)
                | Phase::CatchingUp
                | Phase::Refused(_)
                | Phase::Stopped,
                _,
            ) => {}
        }
    }

    /// Returns the text with its commands so that they can be pasted.
    fn advice(&self, text: &str) -> String {
        advice::placed(text, &self.data, &self.store)
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::offset::{Offset, Partition};
    use outrigger_core::topic::{Identity, TopicId};

    use super::*;

    fn of(topic: &TopicNews, asks: bool) -> Circumstances {
        let (name, data) = ("notes".to_owned(), PathBuf::from("/d"));
        Circumstances::new(name, data, topic.clone(), LogHome::Brokers, asks)
    }

    fn incomplete() -> Refusal {
        Refusal::LogIncomplete { partition: Partition(0), log_start: Offset(5), position: None }
    }

    #[test]
    fn a_topic_that_is_not_there_is_told_with_what_somebody_found_out() {
        let news = TopicNews::default();
        let circumstances = of(&news, false);
        let general = circumstances.stall(StallKind::TopicGone, "kafka says so");
        assert_eq!(general.detail, "kafka says so");
        let told = Told { detail: "two brokers".to_owned(), what_to_do: "start one".to_owned() };
        news.tell(StallKind::TopicGone, told.clone());
        assert_eq!(circumstances.stall(StallKind::TopicGone, "kafka says so"), told);
        let other = circumstances.stall(StallKind::LogUnreachable, "no answer");
        assert_eq!(other.detail, "no answer");
        news.forget();
        assert_eq!(circumstances.stall(StallKind::TopicGone, "kafka says so"), general);
    }

    #[test]
    fn who_has_peers_is_told_why_they_gave_nothing_and_not_to_configure_some() {
        let alone = of(&TopicNews::default(), false).refusal(&incomplete());
        assert!(alone.what_to_do.contains("as a peer"), "{alone:?}");
        let circumstances = of(&TopicNews::default(), true);
        let asked = circumstances.refusal(&incomplete());
        assert!(asked.detail.ends_with("its peers are asked for a copy"), "{asked:?}");
        assert!(!asked.what_to_do.contains("as a peer"), "{asked:?}");
        circumstances.note_peers_failed("http://b:1: the peer secret is another");
        let failed = circumstances.refusal(&incomplete());
        assert!(failed.detail.ends_with("http://b:1: the peer secret is another"), "{failed:?}");
        assert!(failed.what_to_do.starts_with("mend what keeps the peers"), "{failed:?}");
        circumstances.note_phase(&Phase::Opening);
        assert!(circumstances.peers_failed().is_some());
        circumstances.note_phase(&Phase::Ready);
        assert_eq!(circumstances.refusal(&incomplete()), asked);
    }

    #[test]
    fn what_peers_said_is_cut_at_a_character() {
        let circumstances = of(&TopicNews::default(), true);
        circumstances.note_peers_failed(&"ä".repeat(WHY_BYTES_MAX));
        let why = circumstances.peers_failed().expect("they failed");
        assert_eq!(why.chars().count(), WHY_BYTES_MAX / 2 + 1);
    }

    #[test]
    fn a_command_that_a_refusal_names_can_be_pasted() {
        let (cluster, topic) = ("c1".to_owned(), TopicId([7; 16]));
        let expected = Identity { store: "notes".to_owned(), cluster, topic, partitions: 1 };
        let refusal = Refusal::Identity { found: "another".to_owned(), expected };
        let told = of(&TopicNews::default(), true).refusal(&refusal);
        let command = "`outrigger reset --data /d --store notes`";
        assert!(told.what_to_do.contains(command), "{told:?}");
        let stale = of(&TopicNews::default(), true).stall(StallKind::StaleLeader, "epoch 3");
        assert!(stale.what_to_do.contains(command), "{stale:?}");
    }
}
