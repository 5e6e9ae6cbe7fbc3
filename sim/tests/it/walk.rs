//! Random walks: everything that can happen happens in any order, then everything heals.
//!
//! While walking, every READY is audited against the fold of the log (see `World`). After healing every
//! node must be READY and exact, and what callers were told must hold.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use outrigger_core::conformance::store::{Damage, Fault};
use outrigger_core::gate::ReadLevel;
use outrigger_core::limits::Limits;
use outrigger_core::node::{Command, Outcome, Reply};
use outrigger_core::offset::{Partition, RequestId};
use outrigger_core::phase::Phase;
use outrigger_core::store::{StoreCallKind, StoreErrorKind};
use outrigger_model::log::{AppendFate, Failure, Landing, Outage, ProducerId, Verdict};
use outrigger_sim::history::{History, Operation, Row, Told};
use outrigger_sim::world::World;

use crate::fixture::*;

const NODES: usize = 3;
const PARTITIONS: u32 = 2;
const STEPS: u64 = 120;

/// Keyed randomness: what is drawn at one place does not depend on what was drawn elsewhere.
struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    /// A number in `0..below`.
    fn roll(&mut self, below: u64) -> u64 {
        self.drawn += 1;
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(below).expect("small"))).expect("below a usize")
    }
}

struct Walk {
    world: World,
    dice: Dice,
    history: History,
    /// Writes without an answer yet: where, and what was written.
    waiting: BTreeMap<RequestId, (usize, String, Option<String>)>,
    running: [bool; NODES],
    paused: [bool; NODES],
    producers: u64,
    open: Vec<ProducerId>,
    values: u64,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut config = config(PARTITIONS);
        config.policy.min_compaction_lag_ms =
            [0, 5_000, 60_000][usize::try_from(seed % 3).expect("below 3")];
        let limits = Limits { fetch_bytes_max: 24, ..Limits::PRODUCTION };
        Walk {
            world: World::new(config, NODES, limits),
            dice: Dice { seed, drawn: 0 },
            history: History::default(),
            waiting: BTreeMap::new(),
            running: [false; NODES],
            paused: [false; NODES],
            producers: 0,
            open: Vec::new(),
            values: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.roll(100) {
            0..40 => self.write(),
            40..60 => self.pass_time(),
            60..72 => self.turn_node(),
            72..84 => self.turn_log(),
            84..92 => self.transact(),
            _ => self.hurt_disk(),
        }
        self.collect();
    }

    fn write(&mut self) {
        let node = self.dice.index(NODES);
        if !self.running[node] {
            return;
        }
        if self.dice.roll(6) == 0 {
            let fate = match self.dice.roll(4) {
                0 => Failure::landed_but_unknown(),
                1 => Failure::lost_but_unknown(),
                2 => Failure::not_persisted(),
                _ => Failure::not_enough_replicas_after_append(Landing::Now),
            };
            self.world.log.next_appends([AppendFate::Fails(fate)]);
        }
        let key = format!("k{}", self.dice.roll(12));
        self.values += 1;
        let value = (self.dice.roll(4) > 0).then(|| format!("v{}", self.values));
        let id = self.world.command(node, Command::Write(vec![change(&key, value.as_deref())]));
        self.waiting.insert(id, (node, key, value));
    }

    /// Records the answers that have come.
    fn collect(&mut self) {
        let Walk { world, waiting, history, .. } = self;
        waiting.retain(|id, (node, key, value)| {
            let told = match world.reply(*node, *id) {
                None => return true,
                Some(Reply::Written { outcomes, .. }) => match &outcomes[..] {
                    [Outcome::Appended(revision)] => Told::Offset(revision.offset.0),
                    [Outcome::DidNotHappen(_)] => Told::DidNotHappen,
                    [Outcome::Unknown(_)] => Told::Unknown,
                    other => panic!("one write, one outcome: {other:?}"),
                },
                Some(Reply::Rejected(_)) => Told::DidNotHappen,
                Some(other) => panic!("no answer to a write: {other:?}"),
            };
            let value = value.take().map(String::into_bytes);
            history.record(key.as_bytes(), Operation { value, told });
            false
        });
    }

    fn pass_time(&mut self) {
        let ms = [1, 50, 1_000, 6_000, 30_000, 70_000, 250_000][self.dice.index(7)];
        self.world.advance(Duration::from_millis(ms));
    }

    fn turn_node(&mut self) {
        let node = self.dice.index(NODES);
        match (self.running[node], self.dice.roll(4)) {
            (false, 0) => self.world.wipe(node),
            (false, _) => self.start(node),
            (true, 0 | 1) => self.crash(node),
            (true, 2) => {
                self.world.pause(node);
                self.paused[node] = true;
            }
            (true, _) => self.resume(node),
        }
    }

    fn start(&mut self, node: usize) {
        self.world.start(node);
        self.running[node] = true;
    }

    fn resume(&mut self, node: usize) {
        if std::mem::take(&mut self.paused[node]) {
            self.world.resume(node);
        }
    }

    fn crash(&mut self, node: usize) {
        self.collect();
        let keep = self.dice.roll(3);
        self.world.crash(node, move |steps| match keep {
            0 => 0,
            1 => steps / 2,
            _ => steps,
        });
        self.running[node] = false;
        self.paused[node] = false;
        // Nobody will hear what became of these.
        let lost: Vec<_> = self.waiting.extract_if(.., |_, (at, ..)| *at == node).collect();
        for (_, (_, key, value)) in lost {
            let value = value.map(String::into_bytes);
            self.history.record(key.as_bytes(), Operation { value, told: Told::Unknown });
        }
    }

    fn turn_log(&mut self) {
        let partition =
            Partition(u32::try_from(self.dice.roll(u64::from(PARTITIONS))).expect("below a u32"));
        match self.dice.roll(7) {
            0 | 1 => {
                Partition::all(PARTITIONS).for_each(|partition| self.world.log.roll(partition));
                self.world.log.clean(self.world.now);
            }
            2 => self.world.log.elect(partition),
            3 => {
                let client = u32::try_from(self.dice.roll(3)).expect("below 3");
                self.world.log.depose_leader(partition, [client]);
            }
            4 => self.world.log.reunite(partition),
            5 => self.world.log.set_outage(Some(Outage::unreachable())),
            _ => self.world.log.set_outage(None),
        }
        self.world.settle();
    }

    fn transact(&mut self) {
        let producer = match self.dice.roll(3) {
            0 => None,
            _ => self.open.pop(),
        };
        match producer {
            Some(producer) => {
                let verdict = if self.dice.roll(2) == 0 { Verdict::Commit } else { Verdict::Abort };
                self.world.log.end_transaction(self.world.now, producer, verdict);
            }
            None => {
                let producer = ProducerId(self.producers);
                self.producers += 1;
                let record = foreign(&format!("t{}", self.dice.roll(4)), Some("t"));
                let key: Bytes = record.key.clone().expect("it was made with a key");
                let partition = outrigger_core::partitioner::partition_of(&key, PARTITIONS);
                self.world.log.append_in_transaction(
                    self.world.now,
                    partition,
                    producer,
                    &[record],
                );
                self.open.push(producer);
            }
        }
        self.world.settle();
    }

    fn hurt_disk(&mut self) {
        let node = self.dice.index(NODES);
        let kind = [StoreErrorKind::Io, StoreErrorKind::Full][self.dice.index(2)];
        let call = [
            StoreCallKind::Open,
            StoreCallKind::Create,
            StoreCallKind::Apply,
            StoreCallKind::Flush,
            StoreCallKind::Activate,
            StoreCallKind::Confirm,
        ][self.dice.index(6)];
        let disk = &mut self.world.sim_node(node).disk;
        match self.dice.roll(4) {
            0 => disk.arm(Fault::Full),
            1 => disk.arm(Fault::Free),
            _ => disk.arm(Fault::Next(call, kind)),
        }
    }

    /// Nothing is wrong any more.
    fn heal(&mut self) {
        self.world.log.set_outage(None);
        Partition::all(PARTITIONS).for_each(|partition| self.world.log.reunite(partition));
        for producer in std::mem::take(&mut self.open) {
            self.world.log.end_transaction(self.world.now, producer, Verdict::Abort);
        }
        for node in 0..NODES {
            self.world.sim_node(node).disk.arm(Fault::Free);
            self.resume(node);
            if !self.running[node] {
                self.start(node);
            }
        }
        self.world.advance(Duration::from_secs(30));
        for node in 0..NODES {
            self.world.until_ready(node);
        }
        self.world.advance(Duration::from_secs(30));
        self.collect();
    }

    fn judge(&self, seed: u64) {
        for node in 0..NODES {
            assert_eq!(self.world.phase(node), Phase::Ready, "seed {seed}, node {node}");
            let rows = self.world.rows(node, &ReadLevel::Local);
            assert_eq!(rows, self.world.expected(node), "seed {seed}, node {node}: exact");
            assert_eq!(rows, self.world.rows(0, &ReadLevel::Local), "seed {seed}: all are equal");
        }
        assert!(self.waiting.is_empty(), "seed {seed}: every write was answered");
        let rows = self.world.rows(0, &ReadLevel::Local).into_iter();
        let own = rows.filter(|(key, _)| key.starts_with(b"k"));
        let rows =
            own.map(|(key, (revision, value))| (key, Row { offset: revision.offset.0, value }));
        assert_eq!(self.history.violations(&rows.collect()), Vec::<String>::new(), "seed {seed}");
    }
}

/// Returns how many writes were made.
fn walk(seed: u64) -> usize {
    let mut walk = Walk::new(seed);
    (0..NODES).for_each(|node| walk.start(node));
    (0..STEPS).for_each(|_| walk.step());
    walk.heal();
    walk.judge(seed);
    walk.history.operations()
}

#[test]
fn whatever_happens_every_node_comes_back_exact() {
    let operations: usize = (0..200).map(walk).sum();
    assert!(operations > 200 * 20, "the walks wrote something: {operations}");
}

#[test]
fn damaged_generations_come_back_too() {
    for seed in 1_000..1_030 {
        let mut walk = Walk::new(seed);
        (0..NODES).for_each(|node| walk.start(node));
        (0..STEPS).for_each(|_| walk.step());
        walk.heal();
        for node in 0..NODES {
            let live = walk.world.node(node).status().live.expect("a READY node reads");
            walk.crash(node);
            walk.world.sim_node(node).disk.damage(Damage::Index(live));
            walk.start(node);
        }
        walk.heal();
        walk.judge(seed);
    }
}
