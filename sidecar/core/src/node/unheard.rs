//! Nobody answers for the log: what is in use is served meanwhile, to reads that are content with any copy.
//!
//! Nothing can be decided about a copy before the log told whose topic it is and where it ends; so nothing of it is
//! changed, and the first answer of the log opens it anew. It may be of a topic that is no more: a read's token says of
//! which.

use std::time::Duration;

use crate::clock::Moment;
use crate::store::{GenerationState, Looked, StoreCall};
use crate::topic::TopicId;

use super::reading::Served;
use super::{Node, Stage};

/// For the log's facts.
#[derive(Debug)]
pub(super) struct Asking {
    /// Monotonic.
    since: Duration,
    meanwhile: Meanwhile,
}

#[derive(Debug)]
enum Meanwhile {
    Nothing,
    Looking,
    Looked(Option<(Served, TopicId)>),
}

impl Asking {
    pub(super) fn begin(now: Moment) -> Asking {
        Asking { since: now.mono, meanwhile: Meanwhile::Nothing }
    }

    pub(super) fn served(&self) -> Option<Served> {
        self.looked().map(|(served, _)| served)
    }

    /// Whose copy is served.
    pub(super) fn topic(&self) -> Option<TopicId> {
        self.looked().map(|(_, topic)| topic)
    }

    fn looked(&self) -> Option<(Served, TopicId)> {
        match &self.meanwhile {
            Meanwhile::Looked(looked) => *looked,
            Meanwhile::Nothing | Meanwhile::Looking => None,
        }
    }

    pub(super) fn waits_for_disk(&self) -> bool {
        matches!(self.meanwhile, Meanwhile::Looking)
    }
}

impl Node {
    pub(super) fn look_meanwhile(&mut self) {
        let Stage::Asking(asking) = &self.stage else { return };
        if self.asking_timer(asking).is_some_and(|due| due <= self.now.mono) {
            let (since, meanwhile) = (asking.since, Meanwhile::Looking);
            self.stage = Stage::Asking(Asking { since, meanwhile });
            self.store(StoreCall::Look { store: self.store.clone() });
        }
    }

    /// When nobody has answered for long enough.
    pub(super) fn asking_timer(&self, asking: &Asking) -> Option<Duration> {
        let wants = self.drain.is_none() && matches!(asking.meanwhile, Meanwhile::Nothing);
        wants.then_some(asking.since + self.limits.unheard_after)
    }

    /// Where the log has answered meanwhile, the copy is being opened to be judged.
    pub(super) fn on_looked(&mut self, looked: Option<Looked>) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        let intact = looked.filter(|looked| {
            matches!(looked.found.state, GenerationState::Intact(_))
                && !self.evidence.corrupt.contains_key(&looked.found.generation)
        });
        asking.meanwhile = Meanwhile::Looked(intact.map(|Looked { identity, found }| {
            let (generation, confirmed_at_ms) = (found.generation, found.confirmed_at_ms());
            self.open.insert(generation);
            (Served { generation, confirmed_at_ms }, identity.topic)
        }));
    }
}
