//! One plan from its topic to its verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use outrigger_core::offset::Partition;
use outrigger_sim::history::{History, Told};
use outrigger_sim::plan::{Act, Plan};
use tokio::task::{JoinSet, block_in_place};

use super::bed::{BROKERS, Bed};
use super::book::Book;
use super::brokers::Cut;
use super::callers::Callers;
use super::nodes::Nodes;
use super::others::Others;
use super::script::{self, Deed, LeftOut, Script, Trouble};
use super::{failure, verdict};
use crate::host::Host;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Played {
    pub name: String,
    pub nodes: usize,
    pub partitions: u32,
    /// How many answers there were, by what the caller was told.
    pub answers: Answers,
    /// Faults that took place, by name.
    pub done: BTreeMap<&'static str, usize>,
    pub left_out: LeftOut,
    /// Acknowledged records that were in the log and that the cleaner has removed.
    pub cleaned: usize,
    pub lost_sessions: usize,
    pub took: Duration,
    pub failure: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    pub done: usize,
    pub refused: usize,
    pub unknown: usize,
    /// Operations of the plan that found no process to ask.
    pub unasked: usize,
}

struct Play {
    bed: Arc<Bed>,
    plan: Arc<Plan>,
    script: Script,
    book: Arc<Book>,
    nodes: Nodes,
    callers: Callers,
    others: Arc<Others>,
    /// Guards counters; the lock is held for one addition.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    done: BTreeMap<&'static str, usize>,
    missed: LeftOut,
    unasked: usize,
}

/// Plays the plan on one place of the bed; a failure is kept in `failures`.
pub async fn play(
    bed: &Arc<Bed>,
    place: usize,
    (name, plan): (&str, Arc<Plan>),
    failures: &Path,
) -> Played {
    let began = Instant::now();
    let mut played = Played { name: name.to_owned(), ..Played::default() };
    let made = Play::make(Arc::clone(bed), place, name, plan).await;
    let outcome = match made {
        Ok(play) => play.run(&mut played, failures).await,
        Err(error) => Err(error),
    };
    played.failure = outcome.err().map(|error| format!("{error:#}"));
    played.took = began.elapsed();
    played
}

impl Play {
    async fn make(bed: Arc<Bed>, place: usize, name: &str, plan: Arc<Plan>) -> Result<Arc<Play>> {
        let script = Script::of(&plan, bed.network().is_ok());
        let spec = script::topic(&plan, script.breaks_brokers());
        let topic = block_in_place(|| bed.topic(&format!("real-{name}"), spec))?;
        let nodes = Nodes::make(&bed, place, plan.setting.nodes, topic.name())?;
        nodes.start_all().await?;
        for node in 0..nodes.count() {
            nodes.lock(node).await.until_ready().await.context("before anything was done")?;
        }
        let book = Arc::new(Book::begin());
        let callers = Callers::new(Arc::clone(&book), plan.setting.partitions, nodes.urls().await);
        let others = Others { topic, book: Arc::clone(&book), node: nodes.count() };
        let (others, counts) = (Arc::new(others), Mutex::default());
        Ok(Arc::new(Play { bed, plan, script, book, nodes, callers, others, counts }))
    }

    async fn run(self: Arc<Self>, played: &mut Played, failures: &Path) -> Result<()> {
        let outcome = self.disturb_and_judge().await;
        let (history, numbers) = self.book.close();
        self.fill_in(played, &history);
        match outcome {
            Ok(cleaned) => {
                played.cleaned = cleaned;
                block_in_place(|| self.others.topic.delete()).context("removing the plan's topic")
            }
            Err(error) => {
                let what = format!("{error:#}");
                let kept = failures.join(format!("real-{}", played.name));
                failure::keep(
                    &kept,
                    &self.plan,
                    (&history, &numbers),
                    self.nodes.directory(),
                    &what,
                )
                .with_context(|| format!("keeping the failure, which is: {what}"))?;
                Err(anyhow!("{what}\n{}", failure::again(&kept)))
            }
        }
    }

    /// Plays everything. Returns how many records the cleaner has removed.
    async fn disturb_and_judge(self: &Arc<Self>) -> Result<usize> {
        let mut operations = JoinSet::new();
        for &(at, index) in &self.script.operations {
            operations.spawn(Arc::clone(self).operate(at, index));
        }
        let mut troubles = JoinSet::new();
        for index in 0..self.script.troubles.len() {
            troubles.spawn(Arc::clone(self).trouble(index));
        }
        let troubled = all(troubles).await;
        if self.script.breaks_brokers() {
            block_in_place(|| self.bed.heal()).context("healing the brokers")?;
        }
        troubled?;
        self.nodes.start_all().await?;
        all(operations).await?;
        verdict::judge(&self.nodes, &self.others, &self.book).await
    }

    async fn operate(self: Arc<Self>, at: Duration, index: usize) -> Result<()> {
        tokio::time::sleep_until(self.book.at(at)).await;
        let operation = &self.plan.operations[index];
        let (id, others) = (operation.id, Arc::clone(&self.others));
        match operation.act.clone() {
            Act::Foreign { records } => {
                let write = move || others.write(id, &records);
                tokio::task::spawn_blocking(write).await.context("another tool panicked")
            }
            Act::Transaction { keys, commit, lasts_ms } => {
                let lasts = script::pressed(&self.plan, lasts_ms);
                let transact = move || others.transact(id, &keys, commit, lasts);
                let ended = tokio::task::spawn_blocking(transact).await;
                if ended.context("another tool panicked")?.is_err() {
                    self.missed("transaction that could not begin or end".to_owned());
                }
                Ok(())
            }
            Act::Put { .. }
            | Act::Delete { .. }
            | Act::Batch { .. }
            | Act::Get { .. }
            | Act::Scan { .. } => {
                if !self.callers.operate(operation).await {
                    self.counts().unasked += 1;
                }
                Ok(())
            }
        }
    }

    async fn trouble(self: Arc<Self>, index: usize) -> Result<()> {
        let Trouble { at, lasts, deed } = &self.script.troubles[index];
        tokio::time::sleep_until(self.book.at(*at)).await;
        let began = self.book.since();
        let until = tokio::time::Instant::now() + *lasts;
        let Some(remedy) = self.begin(deed, index, until).await.context(deed.name())? else {
            self.missed(format!("{} (nothing to break)", deed.name()));
            return Ok(());
        };
        *self.counts().done.entry(deed.name()).or_default() += 1;
        tokio::time::sleep_until(until).await;
        self.remedy(remedy, began).await.with_context(|| format!("after {}", deed.name()))
    }

    /// Begins a fault. None where there was nothing to break.
    async fn begin(
        &self,
        deed: &Deed,
        index: usize,
        until: tokio::time::Instant,
    ) -> Result<Option<Remedy>> {
        let all: Vec<usize> = (1..=BROKERS).collect();
        let (broke, remedy) = match deed {
            Deed::KillNode { node } => (self.nodes.kill(*node).await?, Remedy::Start(*node)),
            Deed::KillNodeAgain { node, every } => {
                self.nodes.crash_loop(*node, *every, until).await?;
                (true, Remedy::Start(*node))
            }
            Deed::PauseNode { node } => (self.nodes.pause(*node).await?, Remedy::Resume(*node)),
            Deed::DrainNode { node } => (self.nodes.drain(*node).await?, Remedy::Start(*node)),
            Deed::OldDisk { node } => {
                (self.nodes.copy_disk(*node, index).await?, Remedy::MountOld(*node, index))
            }
            Deed::WipeDisk { node } => (self.nodes.wipe(*node).await?, Remedy::Start(*node)),
            Deed::CutOffNode { node } => {
                (true, Remedy::Mend(self.bed.cut_off(self.nodes.host(*node))?, false))
            }
            Deed::Compact => {
                let others = Arc::clone(&self.others);
                let compact = tokio::task::spawn_blocking(move || others.compact());
                (compact.await.context("the compaction panicked")?.is_ok(), Remedy::None)
            }
            Deed::KillBroker { broker } => {
                let broke = block_in_place(|| self.bed.kill_broker(*broker))?;
                (broke, Remedy::StartBroker(*broker))
            }
            Deed::StopBroker { broker } => {
                let broke = block_in_place(|| self.bed.stop_broker(*broker))?;
                (broke, Remedy::StartBroker(*broker))
            }
            Deed::PauseBroker { broker } => {
                (self.bed.pause_brokers(&[*broker])?, Remedy::Wake(vec![*broker]))
            }
            Deed::Outage => (self.bed.pause_brokers(&all)?, Remedy::Wake(all)),
            Deed::IsolateLeader { partition, nodes } => {
                let nodes: Vec<&Host> = nodes.iter().map(|node| self.nodes.host(*node)).collect();
                let topic = &self.others.topic;
                let isolate = || self.bed.isolate_leader(topic, Partition(*partition), &nodes);
                (true, Remedy::Mend(block_in_place(isolate)?, true))
            }
        };
        Ok(broke.then_some(remedy))
    }

    async fn remedy(&self, remedy: Remedy, began: Duration) -> Result<()> {
        match remedy {
            Remedy::None => Ok(()),
            Remedy::Start(node) => self.nodes.start(node).await,
            Remedy::Resume(node) => self.nodes.resume(node).await,
            Remedy::MountOld(node, fault) => self.nodes.mount_old_disk(node, fault).await,
            Remedy::StartBroker(broker) => self.bed.start_broker(broker),
            Remedy::Wake(brokers) => {
                self.bed.resume_brokers(&brokers)?;
                self.book.stale_leader(began);
                Ok(())
            }
            Remedy::Mend(cut, leader) => {
                self.bed.mend(cut)?;
                if leader {
                    self.book.stale_leader(began);
                }
                Ok(())
            }
        }
    }

    fn missed(&self, name: String) {
        *self.counts().missed.entry(name).or_default() += 1;
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill_in(&self, played: &mut Played, history: &History) {
        let counts = self.counts();
        played.nodes = self.nodes.count();
        played.partitions = self.plan.setting.partitions;
        played.done.clone_from(&counts.done);
        played.left_out = self.script.left_out.clone();
        played.left_out.extend(counts.missed.clone());
        played.lost_sessions = self.book.lost_sessions();
        played.answers.unasked = counts.unasked;
        for operation in history.operations() {
            let count = match operation.told {
                Told::Appended { .. } | Told::Aborted | Told::Row { .. } | Told::Rows { .. } => {
                    &mut played.answers.done
                }
                Told::DidNotHappen => &mut played.answers.refused,
                Told::Unknown => &mut played.answers.unknown,
            };
            *count += 1;
        }
    }
}

/// What ends a fault.
enum Remedy {
    None,
    Start(usize),
    Resume(usize),
    MountOld(usize, usize),
    StartBroker(usize),
    Wake(Vec<usize>),
    /// The flag is true when an old leader was behind the cut.
    Mend(Cut, bool),
}

/// Waits for the ends of all of them. Returns the first error.
async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a task of the plan panicked").flatten();
        outcome = outcome.and(ended);
    }
    outcome
}
