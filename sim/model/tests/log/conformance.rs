//! Every case of the suite, on one broker and on three, with both of librdkafka's ways of telling the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use outrigger_core::conformance::log::{Ability, CASES};
use outrigger_model::log::BrokerConfig;

use crate::world::{World, three_brokers};

fn conforms(brokers: BrokerConfig) {
    for case in CASES {
        if brokers.session_timeout.is_zero() && case.needs.contains(&Ability::Brokers) {
            continue;
        }
        for end_with_records in [false, true] {
            let mut world = World::shaped(case.shape, end_with_records, brokers);
            let passed = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut world))).is_ok();
            assert!(passed, "case {}, end with records: {end_with_records}", case.name);
        }
    }
}

#[test]
fn the_log_model_on_one_broker_conforms() {
    conforms(BrokerConfig::single());
}

#[test]
fn the_log_model_on_three_brokers_conforms() {
    conforms(BrokerConfig { count: 3, ..BrokerConfig::single() });
    conforms(three_brokers().brokers);
}
