//! Copies that are compared while everything goes on: the nodes keep them as they are at one position.

use serde::{Deserialize, Serialize};

use super::operations::Operation;
use super::setting::Setting;
use crate::dice::Dice;

/// All READY nodes are asked to pin their copies at the same position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    pub at_ms: u64,
    /// Offsets beyond where the foremost node is, in each partition.
    pub ahead: u64,
    pub wait_ms: u64,
    /// How long they are wanted, from when they were asked for.
    pub wanted_ms: u64,
}

/// One plan in this many has pins.
const SHARE: u64 = 5;

/// The draws have a place of their own: whether a plan has pins changes nothing else in it.
pub(super) fn draw(
    seed: u64,
    setting: &Setting,
    operations: &[Operation],
    heal_ms: u64,
) -> Vec<Pins> {
    let mut dice = Dice::at(seed, "pins", 0, 0);
    if setting.nodes < 2 || operations.is_empty() || !dice.once_in(SHARE) {
        return Vec::new();
    }
    let count = dice.between(4, 40);
    let mut pins: Vec<Pins> = (0..count)
        .map(|number| {
            let mut dice = Dice::at(seed, "pin", number, 0);
            // They come mostly while something is written.
            let around = operations[dice.index(operations.len())].at_ms;
            Pins {
                at_ms: (around + dice.below(100)).min(heal_ms - 1),
                ahead: dice.pick(&[0, 0, 0, 1, 2, 5, 20]),
                wait_ms: dice.pick(&[0, 200, 2_000, 20_000]),
                wanted_ms: dice.pick(&[0, 100, 5_000, 1_000_000]),
            }
        })
        .collect();
    pins.sort_by_key(|pins| pins.at_ms);
    pins
}
