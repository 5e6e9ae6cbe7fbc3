//! Partitions whose places are behind the ring: what they missed comes from the log, then they go on in the ring.

use std::sync::Arc;
use std::time::Duration;

use super::{At, Step, Taken, Watcher};
use crate::offset::Partition;
use crate::topic::TopicFacts;
use crate::watch::behind::{Behind, Next};
use crate::watch::judge::is_past_horizon;
use crate::watch::place::History;
use crate::watch::point::Lost;
use crate::watch::reader::{Answer, Given};
use crate::watch::sight::Sight;

pub(super) enum FromLog {
    Step(Step),
    /// The log gives nothing before then, or before it has answered.
    Wait(Option<Duration>),
}

impl Watcher {
    /// Whether its reader of the log is kept: what that has heard of counts.
    pub fn reads_log(&self) -> bool {
        self.behind.is_some()
    }

    /// Takes the answer to `Step::Read`.
    pub fn read(&mut self, answer: Answer, sight: &Sight<'_>) {
        let heard = match &answer {
            Ok(given) => self.hear(&given.topic),
            Err(_) => Ok(()),
        };
        let Some(behind) = &mut self.behind else { return };
        let answered = heard.and_then(|()| behind.answered(answer, sight.limits, sight.now));
        if let Err(why) = answered {
            self.lose(why);
        }
    }

    /// Hears what the log says of its topic.
    fn hear(&mut self, topic: &TopicFacts) -> Result<(), Lost> {
        let At { topic: ours, places } = self.at.as_ref().expect("it has its places");
        let same = u32::try_from(places.len()).is_ok_and(|count| count == topic.partitions);
        if topic.topic != *ours || !same {
            return Err(Lost::Topic);
        }
        self.retention_ms = self.retention_ms.min(topic.policy.delete_retention_ms);
        Ok(())
    }

    pub(super) fn go_through_log(&mut self, sight: &Sight<'_>) -> Result<FromLog, Lost> {
        if self.joins_ring(sight)? {
            let behind = self.behind.take().expect("it is behind");
            let At { places, .. } = self.at.as_mut().expect("it has its places");
            places[behind.partition.index()].proven();
            if behind.asks() {
                // Whoever drives this lets the reader go first, with what it is asked for.
                return Ok(FromLog::Wait(Some(sight.now.mono)));
            }
        }
        if self.behind.is_none() && !self.fall_behind(sight)? {
            return Ok(FromLog::Wait(None));
        }
        if self.is_past_horizon(sight) {
            return Err(Lost::Horizon);
        }
        let behind = self.behind.as_mut().expect("it is behind");
        let lane = &sight.ring.lanes()[behind.partition.index()];
        match behind.next(lane, sight.limits, sight.now) {
            Next::Read(wanted) => Ok(FromLog::Step(Step::Read(wanted))),
            Next::Wait(until) => Ok(FromLog::Wait(until)),
            Next::Take(given) => self.take_given(*given, sight),
        }
    }

    /// Whether what comes next is in the ring, which is of the history of what was delivered.
    fn joins_ring(&self, sight: &Sight<'_>) -> Result<bool, Lost> {
        let Some(behind) = &self.behind else { return Ok(false) };
        let At { places, .. } = self.at.as_ref().expect("it has its places");
        let turn = behind.partition.index();
        let (place, lane) = (&places[turn], &sight.ring.lanes()[turn]);
        if !behind.is_over(lane) {
            return Ok(false);
        }
        match place.history(behind.partition, sight) {
            History::Same => Ok(true),
            History::Hidden => Ok(behind.is_proven(lane)),
            History::Another => Err(Lost::History),
        }
    }

    fn fall_behind(&mut self, sight: &Sight<'_>) -> Result<bool, Lost> {
        let At { places, .. } = self.at.as_ref().expect("it has its places");
        let mut places = (0..).map(Partition).zip(places.iter().zip(sight.ring.lanes()));
        let first = places.find(|(_, (place, lane))| place.is_behind(lane));
        let Some((partition, (place, _))) = first else { return Ok(false) };
        self.behind = Some(Behind::of(partition, place).ok_or(Lost::History)?);
        Ok(true)
    }

    /// Of all places that come from the log: what it told while one of them was read holds for the others.
    fn is_past_horizon(&self, sight: &Sight<'_>) -> bool {
        let At { places, .. } = self.at.as_ref().expect("it has its places");
        let read = self.behind.as_ref().map(|behind| behind.partition);
        let each = (0..).map(Partition).zip(places.iter().zip(sight.ring.lanes()));
        let mut behind = each.filter(|(partition, (place, lane))| {
            Some(*partition) == read || place.at < lane.from()
        });
        behind.any(|(_, (place, _))| is_past_horizon(place, self.retention_ms, sight))
    }

    fn take_given(&mut self, given: Given, sight: &Sight<'_>) -> Result<FromLog, Lost> {
        let Given { batch, .. } = given;
        let behind = self.behind.as_mut().expect("it is behind");
        let At { places, .. } = self.at.as_mut().expect("it has its places");
        let place = &mut places[behind.partition.index()];
        if !behind.pass(&batch)? {
            return self.go_through_log(sight);
        }
        let from = place.at;
        place.pass_read(behind.lineage());
        let point = self.point(sight);
        self.taken = Some(Taken { batch: Arc::new(batch), from, point });
        Ok(FromLog::Step(Step::Filter))
    }
}
