//! What RocksDB alone does with the rows that a restore leaves: they are sorted already, in one file, which is taken in
//! as it is.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, IngestExternalFileOptions, IteratorMode, Options,
    SstFileWriter,
};

use super::records::Records;

/// The rows, in memory, in the order and the form in which the sidecar stores them.
pub(super) struct Rows(Vec<(Vec<u8>, Vec<u8>)>);

impl Rows {
    pub(super) fn prepare(records: u64, keys: u64) -> Result<Rows> {
        let newest = Records { keys }.newest(records)?;
        let row = |(number, offset): (u64, Option<u64>)| {
            let offset = offset?;
            let key = [b"\x01", Records::key(number).as_bytes()].concat();
            Some((key, [&offset.to_be_bytes()[..], &Records::value(offset)].concat()))
        };
        Ok(Rows((0..).zip(newest).filter_map(row).collect()))
    }

    pub(super) fn ingest(&self, directory: &Path) -> Result<(Duration, DB)> {
        let began = Instant::now();
        let options = options();
        let database = DB::open(&options, directory.join("database"))?;
        let file = directory.join("rows.sst");
        let mut writer = SstFileWriter::create(&options);
        writer.open(&file)?;
        for (key, value) in &self.0 {
            writer.put(key, value)?;
        }
        writer.finish()?;
        let mut moving = IngestExternalFileOptions::default();
        moving.set_move_files(true);
        database.ingest_external_file_opts(&moving, vec![file])?;
        Ok((began.elapsed(), database))
    }

    pub(super) fn check(&self, database: &DB) -> Result<()> {
        let mut count = 0;
        for row in database.iterator(IteratorMode::Start) {
            row?;
            count += 1;
        }
        ensure!(count == self.0.len(), "{count} of {} rows were taken in", self.0.len());
        Ok(())
    }
}

/// Those settings of the sidecar that cost time while a file is written.
fn options() -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_size(16 * 1_024);
    tables.set_bloom_filter(10.0, false);
    tables.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&tables);
    options
}
