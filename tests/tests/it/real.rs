//! A handful of simulated plans on real processes; `./x test-real` plays dozens. Another test shows that a cut is one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_sim::plan::{self, Plan};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::left_out::left_out;
use outrigger_tests::real::bed::Bed;
use outrigger_tests::real::script::Script;
use outrigger_tests::real::suite::{self, Named};

/// For each of these the first plan is played that has all of it, whatever else it has.
const WANTED: [&[&str]; 4] = [
    &["wiped disk", "kill -9 of a node"],
    &["old disk"],
    &["pause of a node"],
    &["kill -9 of a broker", ISOLATED],
];

/// It is done where there is a network to cut.
const ISOLATED: &str = "isolated leader";

const P0: Partition = Partition(0);
const MOVED_MAX: Duration = Duration::from_secs(30);

#[test]
fn plans_of_the_simulator_hold_on_real_brokers_processes_and_disks() -> Result<()> {
    let failures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../failures");
    let plans = WANTED.map(first_with).to_vec();
    let report = tokio::runtime::Runtime::new()?.block_on(async {
        let played = async move { suite::play_all(plans, 3, &failures).await };
        tokio::spawn(played).await.context("the suite panicked")?
    })?;
    ensure!(report.passed(), "some plan failed: see above");
    for name in WANTED.concat().into_iter().filter(|name| *name != ISOLATED) {
        ensure!(report.done(name) > 0, "{name}: it did not take place");
    }
    Ok(())
}

/// The first plan that has all of these. Plans that break brokers are slow: one is taken only where brokers must break.
fn first_with(names: &[&str]) -> Named {
    let breaks = names.contains(&ISOLATED);
    let has_all = |plan: &Plan| {
        let script = Script::of(plan, true);
        let has = |name: &&str| script.troubles.iter().any(|trouble| trouble.deed.name() == *name);
        script.breaks_brokers() == breaks && names.iter().all(has)
    };
    let mut plans = (1_u64..).map(|seed| (seed.to_string(), Arc::new(plan::draw(seed))));
    plans.find(|(_, plan)| has_all(plan)).expect("every fault is drawn again and again")
}

#[test]
fn an_isolated_leader_is_replaced_and_does_not_know_it_until_the_cut_is_mended() -> Result<()> {
    let bed = Bed::make(0)?;
    if let Err(why) = bed.network() {
        return left_out(format!("there is no network to cut: {why}"));
    }
    let topic = bed.topic("isolated", TopicSpec::store())?;
    topic.await_in_sync(P0, 3)?;
    let old = topic.leader(P0)?;
    let another = old % 3 + 1;
    let seen_from = |broker| bed.leader_seen_from(broker, &topic, P0);
    let cut = bed.isolate_leader(&topic, P0, &[])?;
    // Without a leader, between the two, kcat names -1.
    until("a new leader", || seen_from(another).is_ok_and(|leader| leader != old))?;
    ensure!(seen_from(old)? == old, "the old leader has heard of the new one");
    bed.mend(cut)?;
    until("the old leader knows", || seen_from(old).is_ok_and(|leader| leader != old))?;
    topic.await_in_sync(P0, 3)
}

fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + MOVED_MAX;
    while !done() {
        ensure!(Instant::now() < deadline, "not within {MOVED_MAX:?}: {what}");
    }
    Ok(())
}
