//! What a fault does when it begins, and what undoes it.

use std::time::Duration;

use outrigger_core::conformance::store::{Damage, Fault as DiskFault};
use outrigger_core::log::{KafkaError, LogEvent};
use outrigger_core::node::{Command, Event};
use outrigger_core::offset::{Offset, Partition};
use outrigger_core::store::{StoreCallKind, StoreErrorKind};
use outrigger_core::topic::{Identity, TopicId};
use outrigger_model::log::{AppendFate, BrokerId, Failure, Landing, Outage, Role, Stop};
use outrigger_model::store::Image;

use super::{Due, Run};
use crate::dice::Dice;
use crate::plan::{Ambiguity, Disk, FaultKind, PeerFault, Reach, Rot};
use crate::trace::{Lane, Line};
use crate::world::{PeerTrouble, client};

/// A fault that lasts.
#[derive(Debug)]
pub(super) struct Active {
    line: Line,
    /// The disk that is put back when the fault ends.
    keeps: Option<Image>,
    broker: Option<BrokerId>,
}

impl Run<'_> {
    pub(super) fn begin_fault(&mut self, index: usize) {
        let fault = &self.plan.faults[index];
        let what = fault.what.clone();
        if self.is_no_promise(index) {
            return;
        }
        let phase = match what.node().filter(|node| self.world.is_running(*node)) {
            Some(node) => self.world.node(node).gate().phase.name(),
            None => "any",
        };
        *self.counts.entry((what.id(), phase)).or_default() += 1;
        let line = self.note_fault(index);
        let mut active = Active { line, keeps: None, broker: None };
        let lasts = Duration::from_millis(fault.lasts_ms);
        self.apply(index, &what, lasts, &mut active);
        if fault.lasts_ms > 0 {
            self.active.insert(index, active);
            self.later(lasts, Due::Lift(index));
        }
        self.world.settle();
    }

    fn note_fault(&self, index: usize) -> Line {
        let fault = &self.plan.faults[index];
        let at = self.world.elapsed();
        let lane = match (fault.what.node(), fault.what.broker()) {
            (Some(node), _) if fault.what.id().starts_with('D') && fault.what.id() > "D3" => {
                Lane::Disk(node)
            }
            (Some(node), _) => Lane::Node(node),
            (None, Some(broker)) => Lane::Broker(broker),
            (None, None) => Lane::Log,
        };
        self.world.trace.note_with(at, Line::NONE, lane, "fault", || {
            let mut more = serde_json::json!({ "fault": fault.what.id() });
            if fault.lasts_ms > 0 {
                more["until_us"] = ((fault.at_ms + fault.lasts_ms) * 1_000).into();
            }
            (format!("{:?}", fault.what), more)
        })
    }

    fn apply(&mut self, index: usize, what: &FaultKind, lasts: Duration, active: &mut Active) {
        match what {
            FaultKind::SlowLog { node, up_to_ms } => {
                self.world.sim_node(*node).slow_log = Duration::from_millis(*up_to_ms);
            }
            FaultKind::CutOff { node } => self.world.log.cut_off(client(*node), true),
            FaultKind::LoseReplies { node } => {
                self.lossy.insert(*node);
            }
            FaultKind::StopBroker { broker, clean, unflushed_lost } => {
                let batches = usize::try_from(*unflushed_lost).expect("usize holds 32 bits");
                let stop = match (batches, clean) {
                    (0, true) => Stop::Clean,
                    (0, false) => Stop::Crash,
                    (batches, _) => Stop::PowerLoss { batches },
                };
                self.world.log.stop_broker(BrokerId(*broker), stop);
            }
            FaultKind::Elect { partition } => self.world.log.elect(Partition(*partition)),
            FaultKind::IsolateBroker { broker, nodes, reach } => {
                self.losses.stale_leader(self.clock);
                let roles = self.roles(*reach);
                let clients = nodes.iter().flat_map(|node| roles.iter().map(|role| (*node, *role)));
                self.world.log.isolate_broker_from(BrokerId(*broker), clients);
            }
            FaultKind::LagBroker { broker } => self.world.log.lag_replica(BrokerId(*broker), true),
            FaultKind::ElectUnclean { partition } => {
                let partition = Partition(*partition);
                active.broker = self.world.log.leader(partition);
                if let Some(leader) = active.broker {
                    self.world.log.stop_broker(leader, Stop::Crash);
                }
                self.world.log.elect_unclean(partition);
            }
            FaultKind::Truncate { partition, records } => {
                let partition = Partition(*partition);
                let end = self.world.log.state(partition).log_end.0.saturating_sub(*records);
                let start = self.world.log.state(partition).log_start;
                self.world.truncate(partition, Offset(end).max(start));
            }
            FaultKind::Ambiguous { appends, how } => {
                let fates = (0..*appends).map(|_| AppendFate::Fails(failure(*how)));
                self.world.log.next_appends(fates.collect::<Vec<_>>());
            }
            FaultKind::Clean => {
                self.roll_all();
                self.world.log.clean(self.world.now);
            }
            FaultKind::CleanReplica { broker } => {
                self.roll_all();
                self.world.log.clean_replica(self.world.now, BrokerId(*broker));
            }
            FaultKind::DeleteRecords { partition, percent } => {
                self.delete_records(Partition(*partition), *percent)
            }
            FaultKind::Recreate => self.recreate(),
            FaultKind::AddPartition => self.world.log.add_partitions(1),
            FaultKind::Cleanup { .. }
            | FaultKind::Retention { .. }
            | FaultKind::Protection { .. } => self.set_policy(Some(what)),
            FaultKind::OldTimestamps { behind_ms } => {
                self.world.log.set_others_behind(Duration::from_millis(*behind_ms));
            }
            FaultKind::StallFetches { node } => self.world.log.stall_fetches(client(*node), true),
            FaultKind::Outage => {
                self.world.log.set_outage(Some(Outage::unreachable()));
            }
            FaultKind::Poison { node } => self.poison(*node),
            FaultKind::Crash { node, effects, keep_permille: _ } => {
                self.begin_crash(index, *node, *effects)
            }
            FaultKind::Pause { node } => self.world.pause(*node),
            FaultKind::Clock { node, jump_ms } => {
                self.world.sim_node(*node).wall_offset_ms += jump_ms
            }
            FaultKind::OldDisk { node } => active.keeps = Some(self.world.disk(*node).image()),
            FaultKind::WipeDisk { node } => {
                self.stop_node(*node, 1_000);
                self.world.wipe(*node);
                self.later(lasts.max(Duration::from_millis(1)), Due::Restart(*node));
            }
            FaultKind::ForeignDisk { node } => {
                self.stop_node(*node, 1_000);
                let image = self.world.disk(*node).image();
                active.keeps = Some(image.clone());
                let foreign = image.of_another(somebody_else(self.plan.setting.partitions));
                self.world.mount(*node, foreign, "somebody else's disk");
                self.world.start(*node);
            }
            FaultKind::DiskFull { node } => self.world.sim_node(*node).disk.arm(DiskFault::Full),
            FaultKind::Denied { code } => {
                let error =
                    KafkaError { code: *code, name: "denied".to_owned(), not_persisted: false };
                let append = Failure::not_persisted();
                self.world.log.set_outage(Some(Outage { error, append }));
            }
            FaultKind::DiskError { node, call, corrupt } => {
                let kind = if *corrupt { StoreErrorKind::Corrupt } else { StoreErrorKind::Io };
                let fails = DiskFault::Next(call_kind(*call), kind);
                self.world.sim_node(*node).disk.arm(fails);
            }
            FaultKind::Rot { node, what } => self.rot(*node, *what),
            FaultKind::TornFlush { node, partitions } => {
                let disk = &mut self.world.sim_node(*node).disk;
                disk.tear_next_flush(*partitions);
                disk.arm(DiskFault::Next(StoreCallKind::Flush, StoreErrorKind::Io));
            }
            FaultKind::SlowDisk { node, up_to_ms, answers_ms } => {
                let sim = self.world.sim_node(*node);
                sim.slow_disk = Duration::from_millis(*up_to_ms);
                sim.late_disk = Duration::from_millis(*answers_ms);
            }
            FaultKind::HungDisk { node } => self.world.hang_disk(*node, true),
            FaultKind::RestoreRate { node, bytes_per_second } => {
                self.world.set_restore_rate(*node, Some(*bytes_per_second));
            }
            FaultKind::CrashLoop { .. } => self.later(Duration::ZERO, Due::CrashAgain(index)),
            FaultKind::Drain { node } => {
                if self.world.is_running(*node) && !self.world.is_paused(*node) {
                    self.world.command_from(*node, Command::Drain, active.line);
                }
            }
            FaultKind::Cancel { node } => self.order(*node, Command::Cancel, active.line),
            FaultKind::Peer { node, how } => self.trouble_peers(*node, *how),
        }
    }

    pub(super) fn lift(&mut self, index: usize) {
        let Some(active) = self.active.remove(&index) else {
            return;
        };
        let what = self.plan.faults[index].what.clone();
        self.world.note(active.line, Lane::World, "lifted", || what.id().to_owned());
        match &what {
            FaultKind::SlowLog { node, .. } => self.world.sim_node(*node).slow_log = Duration::ZERO,
            FaultKind::CutOff { node } => self.world.log.cut_off(client(*node), false),
            FaultKind::LoseReplies { node } => {
                self.lossy.remove(node);
            }
            FaultKind::StopBroker { broker, .. } => self.world.log.start_broker(BrokerId(*broker)),
            FaultKind::IsolateBroker { broker, .. } => {
                self.world.log.rejoin_broker(BrokerId(*broker));
                self.losses.rejoined(self.clock);
            }
            FaultKind::LagBroker { broker } => self.world.log.lag_replica(BrokerId(*broker), false),
            FaultKind::ElectUnclean { .. } => {
                if let Some(broker) = active.broker {
                    self.world.log.start_broker(broker);
                }
            }
            FaultKind::Cleanup { .. }
            | FaultKind::Retention { .. }
            | FaultKind::Protection { .. } => self.set_policy(None),
            FaultKind::StallFetches { node } | FaultKind::Poison { node } => {
                self.world.log.stall_fetches(client(*node), false);
            }
            FaultKind::Outage | FaultKind::Denied { .. } => self.world.log.set_outage(None),
            FaultKind::OldTimestamps { .. } => self.world.log.set_others_behind(Duration::ZERO),
            FaultKind::AddPartition => self.recreate(),
            FaultKind::Pause { node } => self.world.resume(*node),
            FaultKind::Clock { node, jump_ms } => {
                self.world.sim_node(*node).wall_offset_ms -= jump_ms
            }
            FaultKind::OldDisk { node } | FaultKind::ForeignDisk { node } => {
                self.stop_node(*node, 1_000);
                if let Some(disk) = active.keeps {
                    self.world.mount(*node, disk, "an earlier disk");
                }
                self.restart(*node);
            }
            FaultKind::DiskFull { node } => self.world.sim_node(*node).disk.arm(DiskFault::Free),
            FaultKind::SlowDisk { node, .. } => {
                let sim = self.world.sim_node(*node);
                (sim.slow_disk, sim.late_disk) = (Duration::ZERO, Duration::ZERO);
            }
            FaultKind::HungDisk { node } => self.world.hang_disk(*node, false),
            FaultKind::RestoreRate { node, .. } => self.world.set_restore_rate(*node, None),
            FaultKind::Cancel { node } => self.order(*node, Command::Continue, active.line),
            FaultKind::Drain { node } | FaultKind::CrashLoop { node, .. } => {
                self.stop_node(*node, 1_000);
                self.restart(*node);
            }
            FaultKind::Peer { node, .. } => self.world.trouble_peers(*node, None),
            FaultKind::Elect { .. }
            | FaultKind::Truncate { .. }
            | FaultKind::Ambiguous { .. }
            | FaultKind::Clean
            | FaultKind::CleanReplica { .. }
            | FaultKind::DeleteRecords { .. }
            | FaultKind::Recreate
            | FaultKind::Crash { .. }
            | FaultKind::WipeDisk { .. }
            | FaultKind::DiskError { .. }
            | FaultKind::Rot { .. }
            | FaultKind::TornFlush { .. } => {}
        }
        self.world.settle();
    }

    /// Gives the command to a process that is there; one that sleeps hears of it when it wakes.
    fn order(&mut self, node: usize, command: Command, cause: Line) {
        if self.world.is_running(node) {
            self.world.command_from(node, command, cause);
        }
    }

    /// Ends everything that still lasts.
    pub(super) fn lift_all(&mut self) {
        while let Some(index) = self.active.keys().next().copied() {
            self.lift(index);
        }
    }

    fn recreate(&mut self) {
        self.end_topic();
        self.topics += 1;
        self.world.log.recreate(TopicId([self.topics; 16]));
        self.world.settle();
        self.note_losses();
        self.losses.of_another_topic();
    }

    /// Sets the topic's configuration as every change that lasts makes it, `newest` among them.
    fn set_policy(&mut self, newest: Option<&FaultKind>) {
        let mut policy = self.plan.setting.policy.policy();
        for change in self.actives().chain(newest) {
            if let FaultKind::Cleanup { policy: cleanup } = change {
                policy.cleanup.clone_from(cleanup);
            }
            if let FaultKind::Retention { delete_retention_ms } = change {
                policy.delete_retention_ms = *delete_retention_ms;
            }
            if let FaultKind::Protection { min_compaction_lag_ms, log_append_time } = change {
                policy.min_compaction_lag_ms = *min_compaction_lag_ms;
                policy.log_append_time = *log_append_time;
            }
        }
        self.world.log.set_policy(policy);
    }

    fn roll_all(&mut self) {
        for partition in Partition::all(self.plan.setting.partitions) {
            self.world.log.roll(partition);
        }
    }

    fn delete_records(&mut self, partition: Partition, percent: u64) {
        let state = self.world.log.state(partition);
        let end = self.world.log.high_watermark(partition);
        let before = state.log_start.0 + end.since(state.log_start) * percent.min(100) / 100;
        self.world.log.delete_records(partition, Offset(before));
    }

    fn poison(&mut self, node: usize) {
        self.world.log.stall_fetches(client(node), true);
        if self.world.is_running(node) {
            let error =
                KafkaError { code: 2, name: "CORRUPT_MESSAGE".to_owned(), not_persisted: false };
            self.world.event(node, Event::Log(LogEvent::Trouble(error)));
        }
    }

    fn trouble_peers(&mut self, node: usize, how: PeerFault) {
        let trouble = match how {
            PeerFault::Gone => Some(PeerTrouble::Gone),
            PeerFault::Breaks => Some(PeerTrouble::Breaks),
            PeerFault::Silent => Some(PeerTrouble::Silent),
            PeerFault::Damages(rot) => Some(PeerTrouble::Damages(rot)),
            PeerFault::OfAnother => Some(PeerTrouble::OfAnother),
            PeerFault::Old => {
                let copy = self.world.copy_of_another(node);
                copy.map(|copy| PeerTrouble::Old(Box::new(copy)))
            }
        };
        self.world.trouble_peers(node, trouble);
    }

    fn begin_crash(&mut self, index: usize, node: usize, effects: u32) {
        if !self.world.is_running(node) {
            return;
        }
        match effects {
            0 => self.crash(index, node),
            effects => {
                self.crashing.insert(node, index);
                self.world.crash_after(node, effects);
            }
        }
    }

    /// The effects that were left to the process are done.
    pub(super) fn crash_as_planned(&mut self, node: usize) {
        match self.crashing.remove(&node) {
            Some(index) => self.crash(index, node),
            None => self.stop_node(node, 0),
        }
    }

    fn crash(&mut self, index: usize, node: usize) {
        let fault = &self.plan.faults[index];
        let FaultKind::Crash { keep_permille, .. } = fault.what else {
            return;
        };
        let lasts = Duration::from_millis(fault.lasts_ms.max(1));
        self.stop_node(node, keep_permille);
        self.later(lasts, Due::Restart(node));
    }

    /// The process ends; this share of a partition's unflushed steps reached the disk.
    pub(super) fn stop_node(&mut self, node: usize, keep_permille: u32) {
        self.hear();
        self.crashing.remove(&node);
        let starts = self.world.sim_node(node).starts();
        let seed = self.plan.seed;
        self.world.crash(node, |partition, steps| {
            let kept = usize::try_from(keep_permille).expect("at most 1000") * steps / 1_000;
            // Partitions keep different shares: nothing orders them.
            let place = u64::from(partition.0);
            let more = Dice::at(seed, "kept", u64::from(starts), place).index(3);
            if keep_permille == 0 { 0 } else { (kept + more).min(steps) }
        });
        self.hang_up(node);
    }

    pub(super) fn restart(&mut self, node: usize) {
        if !self.world.is_running(node) {
            self.world.start(node);
        }
    }

    /// One round of a crash loop, until the fault is lifted.
    pub(super) fn crash_again(&mut self, index: usize) {
        let FaultKind::CrashLoop { node, every_ms } = self.plan.faults[index].what else {
            return;
        };
        if !self.active.contains_key(&index) {
            return;
        }
        self.stop_node(node, 500);
        self.restart(node);
        self.later(Duration::from_millis(every_ms.max(1)), Due::CrashAgain(index));
    }

    fn roles(&self, reach: Reach) -> Vec<Role> {
        let its: &[Role] = match reach {
            Reach::Whole => &[Role::Reads, Role::Asks, Role::Writes],
            Reach::Reads => &[Role::Reads],
            Reach::Asks => &[Role::Asks],
            Reach::Writes => &[Role::Writes],
        };
        let watches = self.plan.watches.as_ref();
        let beside = watches.filter(|watches| watches.readers_deposed).map(|_| Role::ReadsBeside);
        its.iter().copied().chain(beside).collect()
    }

    fn rot(&mut self, node: usize, what: Rot) {
        let disk = &mut self.world.sim_node(node).disk;
        let Some(generation) = disk.generations().map(|stored| stored.generation).last() else {
            return;
        };
        disk.damage(match what {
            Rot::Identity => Damage::Identity,
            Rot::Format => Damage::Format(generation),
            Rot::Index => Damage::Index(generation),
            Rot::MissingFile => Damage::MissingFile(generation),
            Rot::Rows => Damage::Rows(generation),
        });
    }
}

fn failure(how: Ambiguity) -> Failure {
    match how {
        Ambiguity::AcknowledgementLost => Failure::landed_but_unknown(),
        Ambiguity::RequestLost => Failure::lost_but_unknown(),
        Ambiguity::NotPersisted => Failure::not_persisted(),
        Ambiguity::LandsAfterMs(ms) => Failure::lands_late(Duration::from_millis(ms)),
        Ambiguity::NotEnoughReplicasAfterAppend { landed } => {
            let landing = if landed { Landing::Now } else { Landing::Never };
            Failure::not_enough_replicas_after_append(landing)
        }
    }
}

fn call_kind(call: Disk) -> StoreCallKind {
    match call {
        Disk::Open => StoreCallKind::Open,
        Disk::Create => StoreCallKind::Create,
        Disk::Adopt => StoreCallKind::Adopt,
        Disk::Apply => StoreCallKind::Apply,
        Disk::Confirm => StoreCallKind::Confirm,
        Disk::Flush => StoreCallKind::Flush,
        Disk::Activate => StoreCallKind::Activate,
        Disk::Quarantine => StoreCallKind::Quarantine,
        Disk::Remove => StoreCallKind::Remove,
        Disk::Close => StoreCallKind::Close,
    }
}

/// What the data directory of another store of another topic says.
fn somebody_else(partitions: u32) -> Identity {
    Identity {
        cluster: "cluster".to_owned(),
        topic: TopicId([99; 16]),
        partitions,
        store: "another".to_owned(),
    }
}
