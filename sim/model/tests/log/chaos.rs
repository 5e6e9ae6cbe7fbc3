//! Brokers die, lag, are cut off and come back in any order, under writes, transactions and cleaning:
//! what was told is true, and what the history says is what the log holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outrigger_core::conformance::log::{LogUnderTest, read_to};
use outrigger_core::log::{KafkaError, LogEvent};
use outrigger_core::offset::{Offset, Partition, RequestId, Revision};
use outrigger_model::log::{
    BrokerId, Content, LogChange, ProducerId, RecordBatch, Stop, Truncation, Verdict,
};

use crate::world::{World, foreign, three_brokers, writes};

const P0: Partition = Partition(0);
const CLIENTS: u32 = 2;
const STEPS: u64 = 150;

struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.drawn += 1;
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn broker(&mut self) -> BrokerId {
        BrokerId(u32::try_from(self.roll(3)).expect("below 3"))
    }
}

/// What may be done to the brokers.
#[derive(Clone, Copy, PartialEq)]
enum License {
    /// Nothing committed may be lost.
    NoLoss,
    /// Unclean elections, power losses, truncation.
    MayLose,
}

struct Chaos {
    world: World,
    dice: Dice,
    license: License,
    /// What the history told so far, uncleaned.
    log: BTreeMap<Offset, RecordBatch>,
    lost: Vec<Truncation>,
    /// The key of each call is its number.
    calls: BTreeMap<u64, (u32, Option<Result<Revision, KafkaError>>)>,
    producers: u64,
    open: Vec<ProducerId>,
}

impl Chaos {
    fn new(seed: u64, license: License) -> Chaos {
        let mut config = three_brokers();
        config.transaction_timeout = seed.is_multiple_of(2).then(|| Duration::from_secs(20));
        config.segments.offsets_max = 4;
        let mut world = World::new(config);
        world.model.keep_history();
        let dice = Dice { seed, drawn: 0 };
        Chaos {
            world,
            dice,
            license,
            log: BTreeMap::new(),
            lost: Vec::new(),
            calls: BTreeMap::new(),
            producers: 0,
            open: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.roll(100) {
            0..40 => self.write(),
            40..60 => {
                let choice = usize::try_from(self.dice.roll(6)).expect("below 6");
                let ms = [0, 3, 15, 40, 1_500, 8_000][choice];
                self.world.advance(Duration::from_millis(ms));
            }
            60..72 => self.transact(),
            72..96 => self.hurt(),
            _ => {
                let broker = self.dice.broker();
                self.world.model.clean_replica(self.world.now, broker);
            }
        }
        self.learn();
    }

    fn write(&mut self) {
        let call = u64::try_from(self.calls.len()).expect("few calls");
        let client = u32::try_from(self.dice.roll(u64::from(CLIENTS))).expect("few clients");
        self.calls.insert(call, (client, None));
        self.world.call(client, writes(call, &[&format!("call{call}")]));
    }

    fn transact(&mut self) {
        let end = self.dice.roll(2) == 0;
        if let Some(producer) = self.open.pop_if(|_| end) {
            let verdict = if self.dice.roll(2) == 0 { Verdict::Commit } else { Verdict::Abort };
            self.world.model.end_transaction(self.world.now, producer, verdict);
            return;
        }
        self.producers += 1;
        let (producer, record) = (ProducerId(self.producers), [foreign("t", Some("1"))]);
        self.world.model.append_in_transaction(self.world.now, P0, producer, &record);
        self.open.push(producer);
    }

    fn hurt(&mut self) {
        let broker = self.dice.broker();
        let model = &mut self.world.model;
        match self.dice.roll(if self.license == License::NoLoss { 9 } else { 13 }) {
            0 => model.stop_broker(broker, Stop::Clean),
            1 => model.stop_broker(broker, Stop::Crash),
            2 | 3 => model.start_broker(broker),
            4 => model.isolate_broker(broker, [0]),
            5 => model.rejoin_broker(broker),
            6 => model.elect(P0),
            7 => model.lag_replica(broker, true),
            8 => model.lag_replica(broker, false),
            9 => {
                let batches = usize::try_from(self.dice.roll(4)).expect("below 4");
                model.stop_broker(broker, Stop::PowerLoss { batches });
            }
            10 | 11 => drop(model.elect_unclean(P0)),
            _ => {
                let end = model.state(P0).log_end.0;
                model.truncate(P0, Offset(end - end.min(self.dice.roll(4))));
            }
        }
    }

    /// Takes over the history and what clients were told.
    fn learn(&mut self) {
        for change in self.world.model.take_history() {
            match change {
                LogChange::Appended { batch, .. } => {
                    let last = self.log.last_key_value().map(|(_, batch)| batch.last);
                    assert!(last.is_none_or(|last| batch.base > last), "{batch:?} after {last:?}");
                    self.log.insert(batch.base, RecordBatch::clone(&batch));
                }
                LogChange::Truncated(lost) => {
                    let cut = self.log.split_off(&lost.from);
                    assert!(!cut.is_empty(), "{lost:?} lost nothing");
                    assert!(self.license == License::MayLose || !lost.committed, "{lost:?}");
                    assert!(lost.committed || !lost.acknowledged, "{lost:?}");
                    self.lost.push(lost);
                }
                LogChange::Cleaned(_) => {}
                LogChange::Recreated { .. } | LogChange::StartMoved { .. } => panic!("{change:?}"),
            }
        }
        for client in 0..CLIENTS {
            for event in self.world.heard(client) {
                let LogEvent::Appended { id: RequestId(call), mut results } = event else {
                    continue;
                };
                let told = &mut self.calls.get_mut(&call).expect("a call that was made").1;
                assert!(told.is_none(), "call {call} is answered once");
                *told = results.pop();
            }
        }
    }

    fn heal(&mut self) {
        for broker in (0..3).map(BrokerId) {
            self.world.model.start_broker(broker);
            self.world.model.rejoin_broker(broker);
            self.world.model.lag_replica(broker, false);
        }
        self.world.advance(Duration::from_secs(5));
        for producer in std::mem::take(&mut self.open) {
            self.world.model.end_transaction(self.world.now, producer, Verdict::Abort);
        }
        self.world.advance(Duration::from_secs(60));
        if self.license == License::MayLose {
            // A marker that was lost leaves its transaction open for ever.
            self.world.model.abort_hanging(P0);
            self.world.advance(Duration::from_secs(1));
        }
        self.learn();
        assert_eq!(self.world.model.next_timer(), None, "nothing goes on in a healthy cluster");
    }

    fn judge(&mut self) {
        self.replicas_are_equal();
        self.what_was_told_is_true();
        self.readers_see_the_history();
    }

    fn replicas_are_equal(&self) {
        let replicas = self.world.model.replicas(P0);
        let end = self.log.last_key_value().map_or(Offset(0), |(_, batch)| batch.last.next());
        for replica in &replicas {
            assert!(replica.up && replica.in_sync, "{replica:?}");
            let ends = (replica.last_stable, replica.high_watermark, replica.log_end);
            assert_eq!(ends, (end, end, end), "{replica:?}");
        }
    }

    fn what_was_told_is_true(&self) {
        let mut places: BTreeMap<String, Vec<Offset>> = BTreeMap::new();
        for batch in self.log.values() {
            let Content::Records(records) = &batch.content else { continue };
            for record in records {
                let key = String::from_utf8(record.key.clone().expect("a key").to_vec());
                places.entry(key.expect("text")).or_default().push(record.offset);
            }
        }
        let mut newest: BTreeMap<u32, Offset> = BTreeMap::new();
        for (call, (client, told)) in &self.calls {
            let places = places.get(&format!("call{call}")).map_or(&[][..], Vec::as_slice);
            assert!(places.len() <= 1, "call {call} landed at {places:?}");
            match told.as_ref().expect("every call is answered") {
                // A copy that an unclean leader brought back from its own past is no loss undone.
                Ok(revision) if !places.contains(&revision.offset) => {
                    let licensed = |lost: &Truncation| {
                        lost.acknowledged && (lost.from..lost.until).contains(&revision.offset)
                    };
                    assert!(
                        self.lost.iter().any(licensed),
                        "call {call} at {revision:?} is gone: {:?}",
                        self.lost
                    );
                }
                Ok(revision) => {
                    let before = newest.insert(*client, revision.offset);
                    assert!(before.is_none_or(|before| before < revision.offset));
                }
                Err(error) if error.not_persisted => assert_eq!(places, [], "call {call}"),
                Err(_) => {}
            }
        }
    }

    /// Asserts that what is still in the log is what the history says, record by record.
    fn readers_see_the_history(&mut self) {
        let end = self.world.model.last_stable(P0);
        let seen: BTreeSet<u64> =
            read_to(&mut self.world, 9, P0, Offset(0), end).offsets().into_iter().collect();
        let records = self.log.values().filter(|batch| !batch.is_marker());
        let all: BTreeSet<u64> = records.flat_map(|batch| batch.base.0..=batch.last.0).collect();
        assert!(seen.is_subset(&all), "{seen:?} of {all:?}");
        for (key, (_, told)) in &self.calls {
            let Some(Ok(Revision { offset, .. })) = told else { continue };
            let lost = |lost: &Truncation| (lost.from..lost.until).contains(offset);
            let kept =
                !self.lost.iter().any(|truncation| truncation.acknowledged && lost(truncation));
            assert!(!kept || seen.contains(&offset.0), "call {key} is read");
        }
    }
}

fn run(seed: u64, license: License) -> (usize, usize, Vec<Truncation>) {
    let mut chaos = Chaos::new(seed, license);
    for _ in 0..STEPS {
        chaos.step();
    }
    chaos.heal();
    chaos.judge();
    let told = chaos.calls.values().filter(|(_, told)| matches!(told, Some(Ok(_))));
    (told.count(), chaos.calls.len(), chaos.lost)
}

#[test]
fn without_license_nothing_committed_is_lost() {
    let (mut acknowledged, mut calls, mut dropped) = (0, 0, 0);
    for seed in 0..100 {
        let (told, made, lost) = run(seed, License::NoLoss);
        (acknowledged, calls, dropped) = (acknowledged + told, calls + made, dropped + lost.len());
    }
    assert!(acknowledged * 2 > calls, "{acknowledged} of {calls} were acknowledged");
    assert!(acknowledged < calls && dropped > 0, "something failed, something was dropped");
}

#[test]
fn with_license_what_is_lost_is_told() {
    let lost: Vec<Truncation> =
        (1_000..1_100).flat_map(|seed| run(seed, License::MayLose).2).collect();
    assert!(lost.iter().any(|lost| lost.acknowledged));
    assert!(lost.iter().any(|lost| lost.committed && !lost.acknowledged));
}
