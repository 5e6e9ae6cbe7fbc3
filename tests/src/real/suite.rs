//! Many plans on one bed: those that break no broker side by side, then the others one by one.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use outrigger_sim::plan::Plan;
use tokio::task::JoinSet;

use super::bed::Bed;
use super::play::{self, Played};
use super::report::Report;
use super::script::Script;

/// A plan and what to call it.
pub type Named = (String, Arc<Plan>);

/// Plays all of them and prints as it goes.
pub async fn play_all(plans: Vec<Named>, side_by_side: usize, failures: &Path) -> Result<Report> {
    let began = Instant::now();
    let bed = Arc::new(tokio::task::block_in_place(|| Bed::make(side_by_side))?);
    if let Err(why) = bed.network() {
        println!("no network to cut, so no leader is isolated: {why}");
    }
    let cuts = bed.network().is_ok();
    let (breaking, calm): (Vec<Named>, Vec<Named>) =
        plans.into_iter().partition(|(_, plan)| Script::of(plan, cuts).breaks_brokers());
    let report = Arc::new(Mutex::new(Report::default()));
    let waiting = Arc::new(Mutex::new(VecDeque::from(calm)));
    let mut places = JoinSet::new();
    for place in 0..bed.places() {
        let (bed, waiting, report) = (Arc::clone(&bed), Arc::clone(&waiting), Arc::clone(&report));
        let failures = failures.to_owned();
        places.spawn(async move {
            while let Some(next) = take(&waiting) {
                note(&report, &play::play(&bed, place, (&next.0, next.1), &failures).await);
            }
        });
    }
    while let Some(ended) = places.join_next().await {
        ended.context("a place of the bed panicked")?;
    }
    for (name, plan) in breaking {
        note(&report, &play::play(&bed, 0, (&name, plan), failures).await);
    }
    let report = std::mem::take(&mut *report.lock().unwrap_or_else(PoisonError::into_inner));
    report.print(began.elapsed());
    Ok(report)
}

fn take(waiting: &Mutex<VecDeque<Named>>) -> Option<Named> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn note(report: &Mutex<Report>, played: &Played) {
    println!("{played}");
    report.lock().unwrap_or_else(PoisonError::into_inner).add(played);
}
