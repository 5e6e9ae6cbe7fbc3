//! Plans as somebody else's text: whatever is in the file, it is refused in words or it can be played.

use std::fs;
use std::path::Path;

use outrigger_sim::plan::Plan;
use outrigger_sim::run::run;
use outrigger_sim::trace::Trace;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Only texts below this size are played: one that is played costs a hundred times as much as others.
const PLAYED_BYTES_MAX: usize = 20_000;

fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let paths = fs::read_dir(folder).expect("there are plans");
    let paths = paths.map(|entry| entry.expect("it can be listed").path());
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).expect("a plan is text")).collect()
}

/// What stands somewhere in a plan instead of what should.
fn wrong() -> impl Strategy<Value = Value> {
    let near = prop::sample::select(vec![0_u64, 1, 2, 3, 5, 7, 16, 17, 99, 100, 101, 1_000]);
    let far = prop::sample::select(vec![
        1_u64 << 31,
        1 << 32,
        86_400_000,
        1 << 53,
        u64::MAX / 1_000,
        u64::MAX - 1,
        u64::MAX,
    ]);
    prop_oneof![
        4 => near.prop_map(Value::from),
        3 => far.prop_map(Value::from),
        1 => Just(json!(-1)),
        1 => Just(json!(1.5)),
        1 => Just(json!(null)),
        1 => Just(json!("")),
        1 => Just(json!("compact,delete")),
        1 => Just(json!(true)),
        1 => Just(json!([])),
        1 => Just(json!([u32::MAX])),
        1 => Just(json!({})),
    ]
}

/// All places of a value, each by the way to it.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), into);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                pointers(field, &format!("{at}/{key}"), into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn put(text: &str, mut change: impl FnMut(&mut Value, &[String])) -> String {
    let mut plan: Value = serde_json::from_str(text).expect("a kept plan is JSON");
    let mut places = Vec::new();
    pointers(&plan, "", &mut places);
    change(&mut plan, &places);
    plan.to_string()
}

proptest! {
    #[test]
    fn bytes_that_fell_over_are_refused_or_are_another_plan(
        which: Index, changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4), cut: Option<Index>,
    ) {
        let texts = texts();
        let mut bytes = which.get::<String>(&texts).clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
        if let Ok(plan) = Plan::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(Plan::parse(&plan.to_json()).unwrap(), plan);
        }
    }
}

proptest! {
    #[test]
    fn a_plan_that_is_accepted_can_be_played(
        which: Index, changes in prop::collection::vec((any::<Index>(), wrong()), 1..3),
    ) {
        let texts: Vec<_> = texts().into_iter().filter(|text| text.len() < PLAYED_BYTES_MAX).collect();
        let text = put(which.get::<String>(&texts), |plan, places| {
            for (at, wrong) in &changes {
                // An earlier change may have taken the place away.
                if let Some(place) = plan.pointer_mut(at.get::<String>(places)) {
                    *place = wrong.clone();
                }
            }
        });
        if let Ok(plan) = Plan::parse(&text) {
            let violation = run(&plan, &Trace::default()).violation;
            let violation = violation.map(|violation| violation.to_string()).unwrap_or_default();
            prop_assert!(!violation.contains("panic at sim/src"), "{violation}");
        }
    }
}
