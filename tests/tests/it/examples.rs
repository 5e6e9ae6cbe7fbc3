//! The programs of `examples`, on real nodes, and killed where it hurts.

mod queue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::{Node, binary};
use outrigger_tests::process::Process;
use outrigger_tests::writers::{Writers, rows};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::e2e::{MINUTE, Place, run};

const POLL: Duration = Duration::from_millis(20);

/// The SQLite database of a mirror, as its readers see it.
struct Database(PathBuf);

impl Database {
    fn mirror(&self, node: &Node) -> Result<Process> {
        let mut command = Command::new(example("mirror")?);
        command.args(["--server", &node.url()]).arg(&self.0);
        Process::start(command)
    }

    fn open(&self) -> Result<Connection> {
        Ok(Connection::open_with_flags(&self.0, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    }

    fn rows(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let database = self.open()?;
        let mut read = database.prepare("SELECT key, value FROM rows")?;
        let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// None: there is none yet.
    fn point(&self) -> Option<Vec<u8>> {
        let read = |database: Connection| {
            database.query_row("SELECT point FROM point", [], |row| row.get(0))
        };
        read(self.open().ok()?).ok()
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Database) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + MINUTE;
        while !wanted(self)? {
            ensure!(Instant::now() < deadline, "{what}: not in time");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

fn example(name: &str) -> Result<PathBuf> {
    let path = binary().parent().map(Path::to_owned).context("a directory")?.join(name);
    ensure!(path.is_file(), "{name} is not built: cargo build --release, or ./x test");
    Ok(path)
}

#[test]
fn a_mirror_that_is_killed_again_and_again_has_what_the_store_has() -> Result<()> {
    run(async {
        let place = Place::new("mirror", TopicSpec::store().partitions(3))?;
        let mut one = place.ready_node("one").await?;
        let other = place.ready_node("other").await?;
        let directory = TempDir::new()?;
        let database = Database(directory.path().join("state.db"));
        let writers = Writers::start(vec![other.url()], 40);
        for round in 0..6 {
            let before = database.point();
            let mirror = database.mirror(if round % 2 == 0 { &one } else { &other })?;
            database.until("it goes on", |now| Ok(now.point() != before)).await?;
            goes_on_from_its_point(mirror)?;
            if round == 3 {
                one.kill()?;
                one.wipe()?;
                one.start().await?;
                one.until_ready().await?;
            }
        }
        writers.stop().await?;
        let store = one.store().await?;
        store.put("last", "of all").await?;
        let expected = rows(&one).await?;
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(key, row)| (key, row.value)).collect();
        let mirror = database.mirror(&one)?;
        database.until("what the store has", |now| Ok(now.rows()? == expected)).await?;
        goes_on_from_its_point(mirror)
    })
}

/// Kills a mirror that was not told the state again.
fn goes_on_from_its_point(mirror: Process) -> Result<()> {
    let said = mirror.kill_and_hear()?;
    ensure!(!said.contains("told again"), "{said}");
    Ok(())
}
