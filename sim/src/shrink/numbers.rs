//! Plainer numbers everywhere: a reader should wonder only about those that matter.
//!
//! It goes over a plan as JSON, so that a fault or setting that is new is shrunk too. Times are not its matter.

use serde_json::Value;

use super::trial::Trial;
use crate::plan::Plan;

/// `times` moves some of these, the others name things.
const LEFT_ALONE: [&str; 6] = ["id", "at_ms", "lasts_ms", "heal_ms", "seed", "format"];

/// Paces: small ones make a run slow, and 0 may mean never.
const ROUNDED: [&str; 1] = ["every_ms"];

/// The numbers of the operations and faults.
pub(super) fn plain(trial: &mut Trial<'_>) {
    for part in ["/operations", "/faults"] {
        for place in places(&json(trial.best()), part) {
            if ROUNDED.iter().any(|name| place.ends_with(name)) {
                set(trial, &place, rounder)
            } else {
                set(trial, &place, plainer)
            }
        }
    }
}

/// Tries these numbers instead of the one at a place of the plan.
pub(super) fn set(trial: &mut Trial<'_>, place: &str, instead_of: fn(u64) -> Vec<u64>) {
    let all = json(trial.best());
    let Some(number) = all.pointer(place).and_then(Value::as_i64) else {
        return;
    };
    let sign = number.signum();
    let others = instead_of(number.unsigned_abs()).into_iter();
    let others = others.filter_map(|other| i64::try_from(other).ok());
    trial.take_first(others.filter_map(|other| with(&all, place, (sign * other).into())));
}

pub(super) fn json(plan: &Plan) -> Value {
    serde_json::to_value(plan).expect("a plan has string keys only")
}

/// None: it is no plan any more.
pub(super) fn with(all: &Value, place: &str, value: Value) -> Option<Plan> {
    let mut all = all.clone();
    *all.pointer_mut(place)? = value;
    serde_json::from_value(all).ok()
}

/// Where numbers are.
fn places(all: &Value, under: &str) -> Vec<String> {
    match all.pointer(under) {
        Some(Value::Number(_)) => vec![under.to_owned()],
        Some(Value::Array(items)) => {
            (0..items.len()).flat_map(|index| places(all, &format!("{under}/{index}"))).collect()
        }
        Some(Value::Object(fields)) => {
            let names = fields.keys().filter(|name| !LEFT_ALONE.contains(&name.as_str()));
            names.flat_map(|name| places(all, &format!("{under}/{name}"))).collect()
        }
        Some(Value::Null | Value::Bool(_) | Value::String(_)) | None => Vec::new(),
    }
}

/// 0 and the powers of ten below it first, then rounded. Each is plainer than the number, so that shrinking
/// ends.
fn plainer(number: u64) -> Vec<u64> {
    let zero = if number == 0 { None } else { Some(0) };
    zero.into_iter().chain(powers_below(number)).chain(rounder(number)).collect()
}

/// Numbers below and above this one with fewer digits that are not 0.
pub(super) fn rounder(number: u64) -> Vec<u64> {
    let powers: Vec<u64> = powers_below(number).collect();
    let rounded = powers.iter().rev().flat_map(|unit| {
        let down = number / unit * unit;
        [Some(down), down.checked_add(*unit)]
    });
    let digits = significant(number);
    rounded.flatten().filter(|round| significant(*round) < digits).collect()
}

fn powers_below(number: u64) -> impl Iterator<Item = u64> {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    powers.take_while(move |power| *power < number)
}

/// How many digits there are up to the last that is not 0.
fn significant(number: u64) -> usize {
    number.to_string().trim_end_matches('0').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_come_first_and_rounded_ones_follow() {
        assert_eq!(plainer(0), [] as [u64; 0]);
        assert_eq!(plainer(1), [0]);
        assert_eq!(plainer(5_000), [0, 1, 10, 100, 1_000]);
        assert_eq!(plainer(523), [0, 1, 10, 100, 500, 600, 520, 530]);
    }

    #[test]
    fn numbers_are_found_wherever_they_are() {
        let all = serde_json::json!({"operations": [
            {"id": 7, "at_ms": 5, "act": "batch", "node": 1, "changes": [[3, true]]},
        ]});
        let places = places(&all, "/operations");
        assert_eq!(places, ["/operations/0/changes/0/0", "/operations/0/node"]);
    }
}
