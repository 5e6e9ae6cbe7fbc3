//! Tells the metrics how the stores are, even when nothing changes, for ages grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_core::offset::Generation;

use crate::rocks;
use crate::runtime::{StoreHandle, clock};
use crate::telemetry::{self, metrics};
use crate::watchdog::Signs;

/// How often it tells: scrapes are seconds apart.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keys in files with what the log lost, which never change once they are there.
type Counted = BTreeMap<PathBuf, u64>;

/// By store: the bytes that each generation takes that was set aside.
type Measured = BTreeMap<String, BTreeMap<Generation, u64>>;

/// How often the disk is looked at: it changes when a copy is set aside, or when an operator drops one.
const INTERVAL_OF_DISK: Duration = Duration::from_secs(10);

/// Tells how the stores are until it is aborted.
pub(super) async fn run(stores: Vec<StoreHandle>, signs: Signs) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        metrics::log_lines_dropped(telemetry::lines_dropped());
        metrics::process();
        metrics::state_age(signs.core.age(clock::now().mono));
        for store in &stores {
            metrics::status(&store.status(), clock::now());
        }
    }
}

/// Tells how disk and databases are, and what is set aside, until it is aborted.
pub(super) async fn run_on_disk(data: PathBuf, stores: Vec<StoreHandle>) {
    let mut ticks = tokio::time::interval(INTERVAL_OF_DISK);
    let mut known = (Measured::new(), Counted::new());
    loop {
        ticks.tick().await;
        let (data, names) = (data.clone(), stores.clone());
        let looked = tokio::task::spawn_blocking(move || look(&data, &names, known)).await;
        known = looked.expect("looking does not panic");
    }
}

fn look(
    data: &Path,
    stores: &[StoreHandle],
    (mut measured, mut counted): (Measured, Counted),
) -> (Measured, Counted) {
    if let Ok(rocks::Room { free, size }) = rocks::room(data) {
        metrics::disk(free, size);
    }
    for store in stores {
        let name = store.name();
        metrics::vitals(name, &store.vitals());
        if let Ok(bytes) = rocks::size_of(data, name) {
            metrics::store_bytes(name, bytes);
        }
        if let Ok(bytes) = rocks::size_in_use(data, name) {
            metrics::in_use_bytes(name, bytes);
        }
        // What cannot be read now keeps its last value; the store itself tells when its disk fails.
        let of_store = measured.entry(name.to_owned()).or_default();
        if let Ok(bytes) = rocks::set_aside_bytes(data, name, of_store) {
            metrics::set_aside(name, bytes);
        }
        if let Ok(files) = rocks::lost_files(data, name) {
            let rows = files.iter().map(|file| count(file, &mut counted));
            metrics::lost_rows(name, rows.sum());
        }
    }
    (measured, counted)
}

fn count(file: &rocks::LostFile, counted: &mut Counted) -> u64 {
    if let Some(rows) = counted.get(&file.path) {
        return *rows;
    }
    // It was moved away this moment: then it has none here.
    let rows = file.rows().unwrap_or(0);
    counted.insert(file.path.clone(), rows);
    rows
}
