//! Callers that watch the store: slow ones, ones that stop, and ones that go on elsewhere from a point that they have kept.

use serde::{Deserialize, Serialize};

use super::Plan;
use super::faults::FaultKind;
use super::setting::Setting;
use crate::dice::Dice;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watches {
    /// What each node keeps for whoever watches it.
    pub ring_bytes: usize,
    /// A broker that is isolated answers those that read the log for watches, whomever else it answers.
    #[serde(default)]
    pub readers_deposed: bool,
    pub watches: Vec<Watch>,
}

/// One caller and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    pub at_ms: u64,
    pub node: usize,
    /// Any of them; none: all keys.
    pub keys: Vec<Selected>,
    /// It wants the state first.
    pub state: bool,
    /// What cannot be proven complete ends it, and the caller asks for the state.
    pub fails: bool,
    /// It takes up to this many messages, and this often.
    pub messages: u32,
    pub every_ms: u64,
    pub progress_ms: u64,
    pub wait_ms: u64,
    /// Ascending by time.
    pub turns: Vec<Turn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    pub at_ms: u64,
    pub what: Turning,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Turning {
    /// It takes nothing for this long.
    Stop { lasts_ms: u64 },
    /// It hangs up, and goes on there after a while, from the point that it was given this many points before its last one.
    Move { node: usize, back: usize, after_ms: u64 },
}

/// Keys by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selected {
    Key(u32),
    /// All whose names begin as this one's.
    Prefix(u32),
    /// By their names, `start` to before `end`.
    Range {
        start: u32,
        end: u32,
    },
}

/// Points that a caller keeps.
pub const KEPT_MAX: usize = 64;

/// One plan in this many has watches.
const SHARE: u64 = 3;

/// The largest numbers that a plan may have: a run takes as long as its callers pull.
const WATCHES_MAX: usize = 16;
const PACE_MS_MIN: u64 = 10;

impl Watches {
    pub(super) fn check(&self, setting: &Setting) -> Result<(), String> {
        if self.watches.len() > WATCHES_MAX {
            return Err(format!("{} watches, at most {WATCHES_MAX}", self.watches.len()));
        }
        self.watches.iter().enumerate().try_for_each(|(number, watch)| {
            watch.check(setting).map_err(|what| format!("watch {number}: {what}"))
        })
    }
}

impl Watch {
    fn check(&self, setting: &Setting) -> Result<(), String> {
        let moves = self.turns.iter().filter_map(|turn| match turn.what {
            Turning::Move { node, .. } => Some(node),
            Turning::Stop { .. } => None,
        });
        if let Some(node) = moves.chain([self.node]).find(|node| *node >= setting.nodes) {
            return Err(format!("there is no node {node}"));
        }
        if self.every_ms < PACE_MS_MIN || self.messages == 0 {
            return Err(format!("it takes nothing, or more often than every {PACE_MS_MIN} ms"));
        }
        if self.keys.len() > outrigger_core::watch::selection::SELECTED_MAX {
            return Err("it selects too many keys".to_owned());
        }
        if self.turns.is_sorted_by_key(|turn| turn.at_ms) {
            Ok(())
        } else {
            Err("turns do not ascend by at_ms".to_owned())
        }
    }
}

impl Selected {
    /// Whether it selects the key, told from their names alone.
    pub fn selects(&self, key: &[u8]) -> bool {
        let name = |number: &u32| format!("k{number}").into_bytes();
        match self {
            Selected::Key(number) => key == name(number),
            Selected::Prefix(number) => key.starts_with(&name(number)),
            Selected::Range { start, end } => {
                name(start).as_slice() <= key && key < name(end).as_slice()
            }
        }
    }
}

/// Whether any of `keys` selects the key; where there is none, all keys are selected.
pub fn selects(keys: &[Selected], key: &[u8]) -> bool {
    keys.is_empty() || keys.iter().any(|selected| selected.selects(key))
}

/// The draws have places of their own: whether a plan has watches changes nothing else in it. Where a clock is wrong, dates
/// of points prove nothing.
pub(super) fn draw(plan: &Plan) -> Option<Watches> {
    let mut dice = Dice::at(plan.seed, "watches", 0, 0);
    let clocks = plan.faults.iter().any(|fault| matches!(fault.what, FaultKind::Clock { .. }));
    if clocks || plan.operations.is_empty() || !dice.once_in(SHARE) {
        return None;
    }
    let ring_bytes = dice.pick(&[400, 2_000, 20_000, 1 << 20, 1 << 20]);
    let watches = (0..dice.between(1, 6)).map(|number| watch(plan, number)).collect();
    let readers_deposed = dice.once_in(2);
    Some(Watches { ring_bytes, readers_deposed, watches })
}

fn watch(plan: &Plan, number: u64) -> Watch {
    let Plan { seed, ref setting, heal_ms, .. } = *plan;
    let mut dice = Dice::at(seed, "watch", number, 0);
    let keys = match dice.below(3) {
        0 => Vec::new(),
        _ => (0..dice.between(1, 4)).map(|_| selected(&mut dice)).collect(),
    };
    let at_ms = if dice.once_in(3) { 0 } else { dice.below(heal_ms) };
    let mut turns: Vec<Turn> =
        (0..dice.below(8)).map(|turn| self::turn(plan, number, turn, at_ms)).collect();
    turns.sort_by_key(|turn| turn.at_ms);
    Watch {
        at_ms,
        node: dice.index(setting.nodes),
        keys,
        state: !dice.once_in(4),
        fails: dice.once_in(3),
        messages: dice.pick(&[1, 2, 10, 1_000]),
        every_ms: dice.scaled(20, 4_000),
        progress_ms: dice.scaled(100, 5_000),
        wait_ms: dice.scaled(50, 10_000),
        turns,
    }
}

fn selected(dice: &mut Dice) -> Selected {
    match dice.below(4) {
        0 => Selected::Prefix(dice.small(10)),
        1 => {
            let start = dice.small(40);
            Selected::Range { start, end: start + dice.small(10) }
        }
        _ => Selected::Key(dice.small(20)),
    }
}

/// Most come while something is written, or soon after a node begins to suffer.
fn turn(plan: &Plan, watch: u64, number: u64, from_ms: u64) -> Turn {
    let mut dice = Dice::at(plan.seed, "watch turns", watch, number);
    let Plan { ref setting, ref operations, ref faults, heal_ms, .. } = *plan;
    let around = match dice.below(3) {
        0 if !faults.is_empty() => faults[dice.index(faults.len())].at_ms,
        _ => operations[dice.index(operations.len())].at_ms,
    };
    let at_ms = (around + dice.below(2_000)).clamp(from_ms, heal_ms - 1);
    let what = if dice.once_in(3) {
        Turning::Stop { lasts_ms: dice.scaled(500, heal_ms.max(1_000)) }
    } else {
        let after_ms = match dice.below(3) {
            0 => 0,
            1 => dice.scaled(10, 2_000),
            _ => dice.scaled(100, 2 * setting.policy.delete_retention_ms),
        };
        let back = dice.pick(&[0, 0, 0, 1, 3, 20, KEPT_MAX]);
        Turning::Move { node: dice.index(setting.nodes), back, after_ms }
    };
    Turn { at_ms, what }
}
