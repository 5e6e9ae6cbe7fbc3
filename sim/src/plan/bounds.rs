//! What numbers a plan may have: a run reckons with sums of them, and somebody waits for its end.

use serde_json::Value;

use super::Plan;

/// When something may begin, and when everything is healed: an hour of simulated time.
const BEGINS_MS_MAX: u64 = 3_600_000;
/// The largest of all other numbers; some 35 years of milliseconds.
const NUMBER_MAX: u64 = 1 << 40;

/// The error names the first that is too large.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    let mut plan = serde_json::to_value(plan).expect("a plan has string keys only");
    // It is only hashed.
    plan["seed"] = Value::Null;
    within("plan", &plan, NUMBER_MAX)
}

fn within(place: &str, value: &Value, max: u64) -> Result<(), String> {
    match value {
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_some_and(|size| size <= max) {
                Ok(())
            } else {
                Err(format!("{place} is {number}, it must be within {max} of 0"))
            }
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| within(&format!("{place}[{index}]"), item, max))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            let max = match name.as_str() {
                "at_ms" | "heal_ms" => BEGINS_MS_MAX,
                _ => max,
            };
            within(&format!("{place}.{name}"), field, max)
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}
