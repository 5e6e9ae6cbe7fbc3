//! The store model passes the suite that the real store passes, however much a crash keeps.

use outrigger_core::conformance::store::{CASES, Case, Damage, FAULT_CASES, Fault, StoreUnderTest};
use outrigger_core::offset::{Generation, Partition};
use outrigger_core::store::{StoreCall, StoreEvent, View};
use outrigger_model::store::StoreModel;

/// How many of a partition's unflushed steps a crash keeps.
type Keep = fn(Partition, usize) -> usize;

struct Model {
    store: StoreModel,
    keep: Keep,
}

impl StoreUnderTest for Model {
    fn call(&mut self, call: StoreCall) -> StoreEvent {
        self.store.handle(call)
    }

    fn view(&self, generation: Generation) -> Option<Box<dyn View>> {
        let view = self.store.view(generation)?;
        Some(Box::new(view))
    }

    fn crash(&mut self) {
        let keep = self.keep;
        self.store.crash(|_, partition, steps| keep(partition, steps));
    }

    fn stop(&mut self) {
        self.store.crash(|_, _, _| 0);
    }

    /// The model's calls are atomic: what is left of a half one is either all of it or nothing, except
    /// that IDENTITY is written before the generation.
    fn crash_during(&mut self, call: StoreCall) {
        self.store.handle(call.clone());
        if let StoreCall::Create { generation, .. } = call {
            self.store.handle(StoreCall::Remove { generation });
        }
        self.crash();
    }

    fn damage(&mut self, damage: Damage) {
        self.store.damage(damage);
    }

    fn arm(&mut self, fault: Fault) {
        self.store.arm(fault);
    }
}

fn run(cases: &[Case], keep: Keep) {
    for case in cases {
        println!("{}", case.name);
        (case.run)(&mut Model { store: StoreModel::default(), keep });
    }
}

#[test]
fn the_model_conforms_when_a_crash_keeps_nothing() {
    run(CASES, |_, _| 0);
}

#[test]
fn the_model_conforms_when_a_crash_keeps_everything() {
    run(CASES, |_, steps| steps);
}

#[test]
fn the_model_conforms_when_a_crash_keeps_another_prefix_of_each_partition() {
    run(CASES, |partition, steps| steps.saturating_sub(partition.index()));
}

#[test]
fn the_model_conforms_when_its_disk_refuses() {
    run(FAULT_CASES, |_, _| 0);
}

#[test]
fn the_model_conforms_when_a_failed_flush_was_done_in_part() {
    for partitions in 0..4 {
        for case in FAULT_CASES {
            let mut store = StoreModel::default();
            store.tear_next_flush(partitions);
            (case.run)(&mut Model { store, keep: |_, _| 0 });
        }
    }
}

#[test]
fn the_suite_notices_a_store_that_flushes_at_close() {
    struct FlushesAtClose(Model);

    impl StoreUnderTest for FlushesAtClose {
        fn call(&mut self, call: StoreCall) -> StoreEvent {
            if let StoreCall::Close { generation } = call {
                self.0.call(StoreCall::Flush { generation });
            }
            self.0.call(call)
        }

        fn view(&self, generation: Generation) -> Option<Box<dyn View>> {
            self.0.view(generation)
        }

        fn crash(&mut self) {
            self.0.crash();
        }

        fn stop(&mut self) {
            self.0.stop();
        }

        fn crash_during(&mut self, call: StoreCall) {
            self.0.crash_during(call);
        }

        fn damage(&mut self, damage: Damage) {
            self.0.damage(damage);
        }

        fn arm(&mut self, fault: Fault) {
            self.0.arm(fault);
        }
    }

    let case = CASES.iter().find(|case| case.name == "close_forgets_what_was_not_flushed");
    let run = case.expect("the case is listed").run;
    let caught = std::panic::catch_unwind(|| {
        run(&mut FlushesAtClose(Model { store: StoreModel::default(), keep: |_, _| 0 }));
    });
    assert!(caught.is_err());
}
