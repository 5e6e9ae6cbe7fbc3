//! Scenes: faults and operations that only do harm together, at the right distance from each other.
//!
//! Independent draws hardly ever take a node away for just as long as a tombstone lives, or let a log grow
//! again past what a stopped node had read. A scene draws such a course of events, with everything in it that
//! may vary still drawn; whatever else the seed draws goes on around it.

mod away;
mod busy;
mod given;
mod leaders;
mod lost;

use super::faults::{Fault, FaultKind};
use super::operations::{Act, ForeignKey, Level, Operation};
use super::setting::Setting;
use super::{License, Plan};
use crate::dice::Dice;

/// Keys that scenes write: few, so that records supersede each other, and beside the ones of other
/// operations, which would hide what became of them.
const KEYS: std::ops::Range<u32> = 50..56;
/// Enough keys for a rebuild that takes its time.
const MANY: std::ops::Range<u32> = 60..100;

type Kind = fn(&mut Scene<'_>);

/// Adds up to three scenes to a plan that knows its setting and its end, and now and then a rare one.
pub(super) fn add(plan: &mut Plan) {
    let mut dice = Dice::at(plan.seed, "scenes", 0, 0);
    let kinds = kinds(plan.license);
    for number in 0..dice.below(4) {
        let mut dice = Dice::at(plan.seed, "scene", number, 0);
        let kind = dice.pick(&kinds);
        add_one(plan, kind, dice);
    }
    for (number, (licenses, percent, kind)) in (0..).zip(RARE) {
        let mut dice = Dice::at(plan.seed, "rare scene", number, 0);
        if dice.percent(percent) && licenses.contains(&plan.license) {
            add_one(plan, kind, dice);
        }
    }
    if plan.setting.peers.is_some() {
        for number in 0..Dice::at(plan.seed, "peer scenes", 0, 0).below(4) {
            let mut dice = Dice::at(plan.seed, "peer scene", number, 0);
            let kind = dice.pick(&GIVEN);
            add_one(plan, kind, dice);
        }
    }
}

fn kinds(license: License) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = vec![
        busy::race,
        busy::race,
        away::horizon,
        away::horizon,
        away::horizon,
        busy::commotion,
        away::absence,
        away::incomplete,
        lost::succession,
        busy::hurry,
        busy::farewell,
        leaders::marker,
    ];
    match license {
        License::MayLose => kinds.extend([lost::loss as Kind, lost::loss, lost::loss]),
        // Where records are lost no leader is isolated (sim/README.md, "What bounds it").
        License::NoLoss | License::MayDiverge => {
            kinds.extend([leaders::stale as Kind, leaders::deposed])
        }
    }
    kinds
}

/// Scenes for one canary each, with the licenses that they need and the percentage of its runs that have them.
/// Each is drawn at a place of its own: a new one changes no other run.
const RARE: [(&[License], u64, Kind); 11] = [
    (&[License::NoLoss, License::MayLose, License::MayDiverge], 15, away::raised),
    (&[License::MayLose], 15, lost::unfinished),
    (&[License::MayLose], 30, lost::overtaken),
    (&[License::NoLoss, License::MayDiverge], 15, leaders::beyond),
    (&[License::MayLose], 20, lost::hopeless),
    (&[License::NoLoss, License::MayLose, License::MayDiverge], 12, busy::cancelled),
    (&[License::NoLoss, License::MayDiverge], 12, away::asleep),
    (&[License::NoLoss, License::MayDiverge], 25, away::unprotected),
    (&[License::NoLoss, License::MayDiverge], 15, away::forgotten),
    (&[License::NoLoss, License::MayDiverge], 40, leaders::confirmed),
    (&[License::NoLoss, License::MayLose, License::MayDiverge], 10, busy::indebted),
];

/// Where nodes give each other copies.
const GIVEN: [Kind; 6] =
    [given::lost, given::lost, given::outdated, given::shortened, given::helpless, given::ahead];

fn add_one(plan: &mut Plan, kind: Kind, dice: Dice) {
    let next_id = plan.operations.iter().map(|operation| operation.id + 1).max().unwrap_or(0);
    let Plan { setting, operations, faults, heal_ms, .. } = plan;
    let (retention_ms, heal_ms) = (setting.policy.delete_retention_ms, *heal_ms);
    let mut scene =
        Scene { dice, setting, retention_ms, at_ms: 0, heal_ms, next_id, operations, faults };
    kind(&mut scene);
    setting.policy.delete_retention_ms = scene.retention_ms;
}

struct Scene<'a> {
    dice: Dice,
    setting: &'a Setting,
    /// The least that the plan's `delete_retention_ms` must be.
    retention_ms: u64,
    at_ms: u64,
    heal_ms: u64,
    next_id: u32,
    operations: &'a mut Vec<Operation>,
    faults: &'a mut Vec<Fault>,
}

impl Scene<'_> {
    fn node(&mut self) -> usize {
        self.dice.index(self.setting.nodes)
    }

    /// Draws the begin of a scene that lasts this long, before the heal if that is possible.
    fn lasts(&mut self, ms: u64) {
        self.at_ms = self.dice.below(self.heal_ms.saturating_sub(ms) + 1);
    }

    /// Tombstones live for at least this long, in the whole plan.
    fn tombstones_live(&mut self, ms: u64) {
        self.retention_ms = self.retention_ms.max(ms);
    }

    fn nodes(&self) -> std::ops::Range<usize> {
        0..self.setting.nodes
    }

    /// Adds a fault at `after_ms` after the scene's begin; what would come after the heal is left out.
    fn fault(&mut self, after_ms: u64, lasts_ms: u64, what: FaultKind) {
        let at_ms = self.at_ms + after_ms;
        if at_ms < self.heal_ms {
            self.faults.push(Fault { at_ms, lasts_ms, what });
        }
    }

    fn act(&mut self, after_ms: u64, client: u32, act: Act) {
        let at_ms = self.at_ms + after_ms;
        if at_ms < self.heal_ms {
            self.operations.push(Operation { id: self.next_id, at_ms, client, act });
            self.next_id += 1;
        }
    }

    fn puts(&mut self, after_ms: u64, keys: impl IntoIterator<Item = u32>) {
        self.act(
            after_ms,
            0,
            Act::Foreign { records: keys.into_iter().map(ForeignKey::Put).collect() },
        );
    }

    fn deletes(&mut self, after_ms: u64, keys: impl IntoIterator<Item = u32>) {
        self.act(
            after_ms,
            0,
            Act::Foreign { records: keys.into_iter().map(ForeignKey::Delete).collect() },
        );
    }

    /// Keys are deleted that somebody who is `gone` has, and their tombstones too: the first pass of the cleaner,
    /// when all of it is `cleaned`, starts their clock, the second finds them `expired`.
    fn tombstones_go(&mut self, [gone, deleted, cleaned, expired]: [u64; 4]) {
        self.puts(gone + 10, [KEYS.end]);
        self.deletes(deleted, KEYS.skip(2));
        self.fault(cleaned, 0, FaultKind::Clean);
        self.puts(cleaned + 5, [KEYS.end]);
        self.fault(expired, 0, FaultKind::Clean);
        self.puts(expired + 10, [KEYS.end]);
    }

    fn key(&mut self) -> u32 {
        self.dice.pick(&[50, 51, 52, 53, 54, 55])
    }

    /// Every caller reads at every node, at or after what its session has seen.
    fn everybody_reads(&mut self, after_ms: u64, level: Level) {
        for node in self.nodes() {
            for client in 0..3 {
                let (key, wait_ms) = (self.key(), self.dice.pick(&[50, 1_000, 10_000]));
                self.act(after_ms, client, Act::get(node, key, level, wait_ms));
            }
        }
    }
}
