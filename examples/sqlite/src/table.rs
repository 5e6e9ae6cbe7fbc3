//! Rows, and the point behind them: both change in the same transaction, so that each is always of the other.

use std::path::Path;

use anyhow::{Context, Result};
use outrigger_client::WatchPoint;
use rusqlite::{Connection, OptionalExtension, params};

const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS point (one INTEGER PRIMARY KEY CHECK (one = 1), point BLOB NOT NULL);
";

pub(crate) struct Table(Connection);

impl Table {
    pub(crate) fn open(path: &Path) -> Result<Table> {
        let database = Connection::open(path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        database.execute_batch(TABLES)?;
        Ok(Table(database))
    }

    /// The point that the rows are of; none: there are no rows yet.
    pub(crate) fn point(&self) -> Result<Option<WatchPoint>> {
        let mut read = self.0.prepare_cached("SELECT point FROM point")?;
        let bytes: Option<Vec<u8>> = read.query_row([], |row| row.get(0)).optional()?;
        let point = bytes.map(|bytes| WatchPoint::from_bytes(&bytes)).transpose();
        point.context("the table `point` has something else")
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.begin()?;
        let mut put = self.0.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?, ?)")?;
        put.execute(params![key, value])?;
        Ok(())
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.begin()?;
        self.0.prepare_cached("DELETE FROM rows WHERE key = ?")?.execute([key])?;
        Ok(())
    }

    /// Readers see the rows that there were until the new ones are whole.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.begin()?;
        self.0.execute_batch("DELETE FROM rows; DELETE FROM point;")?;
        Ok(())
    }

    pub(crate) fn commit(&mut self, point: &WatchPoint) -> Result<()> {
        self.begin()?;
        let mut keep = self.0.prepare_cached("INSERT OR REPLACE INTO point VALUES (1, ?)")?;
        keep.execute([point.to_bytes().as_ref()])?;
        drop(keep);
        Ok(self.0.execute_batch("COMMIT")?)
    }

    fn begin(&mut self) -> Result<()> {
        if self.0.is_autocommit() {
            self.0.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outrigger_client::proto::v1;

    use super::*;

    fn keys(path: &Path) -> Vec<Vec<u8>> {
        let database = Connection::open(path).unwrap();
        let mut read = database.prepare("SELECT key FROM rows ORDER BY key").unwrap();
        let keys = read.query_map([], |row| row.get(0)).unwrap();
        keys.map(Result::unwrap).collect()
    }

    fn point(position: u64) -> WatchPoint {
        let positions = vec![v1::PartitionPosition { position, ..Default::default() }];
        let token = Some(v1::Token { topic_id: vec![7; 16].into(), positions });
        WatchPoint::try_from(v1::WatchPoint { token, confirmed_at_ms: 1 }).unwrap()
    }

    #[test]
    fn what_was_not_committed_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.db");
        let mut table = Table::open(&path).unwrap();
        assert_eq!(table.point().unwrap(), None);
        table.put(b"a", b"1").unwrap();
        table.put(b"b", b"1").unwrap();
        table.commit(&point(2)).unwrap();
        table.delete(b"a").unwrap();
        table.put(b"c", b"1").unwrap();
        drop(table);
        assert_eq!(keys(&path), [b"a", b"b"]);
        assert_eq!(Table::open(&path).unwrap().point().unwrap(), Some(point(2)));
    }

    #[test]
    fn a_new_state_is_seen_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.db");
        let mut table = Table::open(&path).unwrap();
        table.put(b"ghost", b"1").unwrap();
        table.commit(&point(1)).unwrap();
        table.clear().unwrap();
        table.put(b"a", b"1").unwrap();
        assert_eq!(keys(&path), [b"ghost"]);
        table.commit(&point(9)).unwrap();
        assert_eq!(keys(&path), [b"a"]);
    }
}
