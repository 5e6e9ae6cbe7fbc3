//! What is done to a node's disk from outside, while its process is down.

use outrigger_model::store::Image;

use super::World;
use crate::oracle::Moment;
use crate::trace::{Lane, Line};

impl World {
    /// Whether the data directory belongs to this store and to the topic that is there now, or to nobody.
    pub fn disk_is_its_own(&self, index: usize) -> bool {
        let disk = &self.nodes[index].disk;
        let empty = disk.generations().next().is_none() && disk.quarantined().is_empty();
        match disk.identity() {
            Some(identity) => identity.store == "store" && identity.topic == self.log.topic(),
            None => empty,
        }
    }

    /// While the disk hangs, it does nothing that it is asked for; afterwards it does all of it, in order.
    pub fn hang_disk(&mut self, index: usize, hangs: bool) {
        self.nodes[index].hung_disk = hangs;
        if !hangs {
            self.queue.unhang(index, self.now.mono);
        }
        self.settle();
    }

    pub fn wipe(&mut self, index: usize) {
        self.mount(index, Image::default(), "wiped");
    }

    /// Another disk is there when the process starts.
    pub fn mount(&mut self, index: usize, disk: Image, why: &str) {
        assert!(self.nodes[index].process.is_none(), "a running node's disk is not changed");
        self.note(Line::NONE, Lane::Disk(index), "wipe", || why.to_owned());
        self.nodes[index].disk.mount(disk);
        self.judge(&Moment::DiskChanged { node: index });
    }
}
