//! O23: a watch begins, ends its state, and has its changes in order, none after a point that covers it.

use std::collections::BTreeMap;

use outrigger_core::offset::{Offset, Partition};
use outrigger_core::watch::message::Message;
use outrigger_core::watch::point::Point;

use super::watched::{Saw, Watched, point_of};
use super::{Oracle, OracleId, Wrong};
use crate::world::World;

#[derive(Default)]
pub(super) struct Order {
    watches: BTreeMap<usize, Stream>,
}

#[derive(Default)]
struct Stream {
    started: bool,
    /// Rows may come; nothing else may before their end.
    state: bool,
    /// Below these positions everything has come.
    covered: BTreeMap<Partition, Offset>,
}

impl Oracle for Order {
    fn id(&self) -> OracleId {
        OracleId::O23
    }

    fn watched(&mut self, node: usize, watched: &Watched<'_>, _world: &World) -> Result<(), Wrong> {
        let stream = self.watches.entry(watched.number).or_default();
        let judged = match watched.saw {
            Saw::Asked { .. } => {
                *stream = Stream::default();
                Ok(())
            }
            Saw::Rows(_) if !stream.state => Err("rows outside of a state".to_owned()),
            Saw::Rows(_) | Saw::Ended(_) | Saw::Idle => Ok(()),
            Saw::Message(message) => stream.take(message),
        };
        judged.map_err(|what| Wrong::of(node, format!("watch {}: {what}", watched.number)))
    }
}

impl Stream {
    fn take(&mut self, message: &Message) -> Result<(), String> {
        match message {
            Message::Started { point } if !self.started => {
                (self.started, self.state) = (true, point.is_none());
            }
            Message::Started { .. } => return Err("it starts twice".to_owned()),
            _ if !self.started => return Err(format!("{message:?} before it starts")),
            Message::Again { .. } => {
                self.state = true;
                self.covered.clear();
            }
            Message::StateEnd { .. } if self.state => self.state = false,
            Message::StateEnd { .. } => return Err("a state ends that is none".to_owned()),
            Message::Changes(_) | Message::Progress { .. } if self.state => {
                return Err(format!("{message:?} before the end of the state"));
            }
            Message::Changes(changes) => {
                let next = self.covered.entry(changes.batch.partition).or_default();
                for record in changes.records() {
                    if record.offset < *next {
                        let Offset(offset) = record.offset;
                        return Err(format!("the change at {offset} comes after {next}"));
                    }
                    *next = record.offset.next();
                }
            }
            Message::Progress { .. } => {}
        }
        point_of(message).map_or(Ok(()), |point| self.cover(point))
    }

    fn cover(&mut self, point: &Point) -> Result<(), String> {
        for (partition, (at, _)) in (0..).map(Partition).zip(&point.token.positions) {
            let covered = self.covered.entry(partition).or_default();
            if *at < *covered {
                return Err(format!("a point at p{partition} {at} after {covered}"));
            }
            *covered = *at;
        }
        Ok(())
    }
}
