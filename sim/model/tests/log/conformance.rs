//! Every case of the suite, with both of librdkafka's ways of telling the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use outrigger_core::conformance::log::CASES;

use crate::world::World;

#[test]
fn the_log_model_conforms() {
    for case in CASES {
        for end_with_records in [false, true] {
            let mut world = World::shaped(case.shape, end_with_records);
            let passed = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut world))).is_ok();
            assert!(passed, "case {}, end with records: {end_with_records}", case.name);
        }
    }
}
