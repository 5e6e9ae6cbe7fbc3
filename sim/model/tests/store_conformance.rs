//! The store model passes the suite that the real store passes, however much a crash keeps.

#![forbid(unsafe_code)]

use outrigger_core::conformance::store::{CASES, Case, Damage, FAULT_CASES, Fault, StoreUnderTest};
use outrigger_core::offset::{Generation, Partition, RequestId};
use outrigger_core::store::{StoreCall, StoreCallKind, StoreEvent, View};
use outrigger_core::topic::Identity;
use outrigger_model::store::{Image, StoreModel};

/// How many of a partition's unflushed steps a crash keeps.
type Keep = fn(Partition, usize) -> usize;

struct Model {
    store: StoreModel,
    keep: Keep,
    /// An interrupted call came as far as it can without having ended, not only to its first step.
    late: bool,
    kept: Image,
}

impl Model {
    fn new(keep: Keep) -> Model {
        Model { store: StoreModel::default(), keep, late: false, kept: Image::default() }
    }
}

impl StoreUnderTest for Model {
    fn call(&mut self, call: StoreCall) -> StoreEvent {
        self.store.handle(call)
    }

    fn view(&self, generation: Generation) -> Option<Box<dyn View>> {
        let view = self.store.view(generation)?;
        Some(Box::new(view))
    }

    fn pinned(&self, pin: RequestId) -> Option<Box<dyn View>> {
        let view = self.store.pinned(pin)?;
        Some(Box::new(view))
    }

    fn crash(&mut self) {
        let keep = self.keep;
        self.store.crash(|_, partition, steps| keep(partition, steps));
    }

    fn stop(&mut self) {
        self.store.crash(|_, _, _| 0);
    }

    fn crash_during(&mut self, call: StoreCall) {
        let steps = match (&call, self.late) {
            (StoreCall::Activate { .. }, false) => 0,
            (_, false) | (StoreCall::Activate { .. }, true) => 1,
            (_, true) => 2,
        };
        let keep = self.keep;
        self.store.crash_during(call, steps, |_, partition, steps| keep(partition, steps));
    }

    fn keep_volume(&mut self) {
        self.kept = self.store.image();
    }

    fn mount_kept_volume(&mut self) {
        self.store.mount(self.kept.clone());
    }

    fn place_fetched(&mut self, generation: Generation, from: Generation, identity: Identity) {
        let checkpoint = self.store.checkpoint(from).expect("its volume has an IDENTITY");
        self.store.place_fetched(generation, checkpoint.of_another(identity));
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
        (case.run)(&mut Model::new(keep));
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
fn the_model_conforms_when_a_crash_comes_late_in_a_call() {
    for case in CASES {
        println!("{}", case.name);
        (case.run)(&mut Model { late: true, ..Model::new(|_, _| 0) });
    }
}

#[test]
fn the_model_conforms_when_a_refused_call_was_done_in_part() {
    for call in [
        StoreCallKind::Adopt,
        StoreCallKind::Quarantine,
        StoreCallKind::Remove,
        StoreCallKind::Open,
    ] {
        for steps in 0..4 {
            for case in FAULT_CASES {
                let mut model = Model::new(|_, _| 0);
                model.store.tear_next(call, steps);
                (case.run)(&mut model);
            }
        }
    }
}

#[test]
fn the_model_conforms_when_its_disk_refuses() {
    run(FAULT_CASES, |_, _| 0);
}

#[test]
fn the_model_conforms_when_a_failed_flush_was_done_in_part() {
    for partitions in 0..4 {
        for case in FAULT_CASES {
            let mut model = Model::new(|_, _| 0);
            model.store.tear_next_flush(partitions);
            (case.run)(&mut model);
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

        fn pinned(&self, pin: RequestId) -> Option<Box<dyn View>> {
            self.0.pinned(pin)
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

        fn keep_volume(&mut self) {
            self.0.keep_volume();
        }

        fn mount_kept_volume(&mut self) {
            self.0.mount_kept_volume();
        }

        fn place_fetched(&mut self, generation: Generation, from: Generation, is: Identity) {
            self.0.place_fetched(generation, from, is);
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
        run(&mut FlushesAtClose(Model::new(|_, _| 0)));
    });
    assert!(caught.is_err());
}
