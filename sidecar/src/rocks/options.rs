//! Every option of RocksDB that we depend on, with its reason, and what all databases share.
//!
//! Memory of all databases together: the block cache, plus per open generation what was applied since
//! its last flush (core flushes at `Limits::flush_bytes_max`; a record costs about 50 bytes more in a
//! memtable than its key and value), plus one such set while closed generations are still read.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ChecksumType, ColumnFamilyDescriptor,
    DBCompressionType, FlushOptions, LogLevel, LruCacheOptions, Options, ReadOptions, WriteOptions,
};

use super::writers::Writers;

/// Far larger than what is ever applied between two flushes. A memtable that fills up is flushed by RocksDB itself, and
/// rows would be durable before the topic's id was confirmed, perhaps another topic's. It is a bound, not a
/// reservation: memory is taken in blocks of [`ARENA_BLOCK_BYTES`].
const WRITE_BUFFER_BYTES: usize = 2 * 1024 * MIB;

/// Unit in which a memtable takes memory: a column family that holds a few rows costs that.
const ARENA_BLOCK_BYTES: usize = 256 * KIB;

/// 16 parts, each with a lock of its own: few enough that none is too small for what is read often.
const CACHE_SHARD_BITS: i32 = 4;

/// With 64 MiB per file, a copy of a terabyte has 16,000 of them.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Reads,
    /// CURRENT does not name it: nobody reads what is applied.
    Load,
}

impl Use {
    /// Files of level 0 that begin a compaction. Reads look into every one, so there are few. What nobody reads is
    /// merged when it is put into use, all at once, and earlier only where it is much.
    fn level_0_trigger(self) -> i32 {
        match self {
            Use::Reads => 4,
            Use::Load => 256,
        }
    }

    /// Bytes of the first level below 0.
    fn level_bytes(self) -> u64 {
        match self {
            Use::Reads => 4 * FILE_BYTES,
            Use::Load => LOAD_LEVEL_BYTES,
        }
    }

    fn back_pressure(self) -> BackPressure {
        match self {
            Use::Reads => BackPressure::USUAL,
            Use::Load => BackPressure::NONE,
        }
    }
}

/// At how many files of level 0 RocksDB slows writes down and stops them, and at how many bytes that compaction is
/// behind by; 0 bytes are no limit.
struct BackPressure {
    files: [u64; 2],
    bytes: [u64; 2],
}

impl BackPressure {
    /// What is written faster than it is compacted must not pile up.
    const USUAL: BackPressure =
        BackPressure { files: [LEVEL_0_SLOWDOWN, 36], bytes: [64 << 30, 256 << 30] };
    /// A load needs none, for it waits by itself.
    const NONE: BackPressure = BackPressure { files: [1 << 20; 2], bytes: [0; 2] };

    /// `left`: files of level 0 that are no reason to hold writes up, for a load has left them.
    fn beside(left: u64) -> BackPressure {
        let usual = BackPressure::USUAL;
        match left {
            0 => usual,
            _ => BackPressure { files: usual.files.map(|files| files + left), bytes: [0; 2] },
        }
    }
}

pub(super) const LEVEL_0_SLOWDOWN: u64 = 20;

/// With this many files of level 0 or fewer, compaction has caught up after a load.
pub(super) const LEVEL_0_SETTLED: u64 = 10;

/// Bytes of levels below 0 while nobody reads: level 0 is not merged for its bytes, either.
const LOAD_LEVEL_BYTES: u64 = 1 << 50;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a process gives to all its stores together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    pub block_cache_bytes: usize,
    /// What restores hold in memory before it is on disk.
    pub load_bytes: usize,
    /// Threads that flush and compact, at least 2: one of each. As many more write the runs of restores.
    pub background_threads: u8,
}

/// Shared by all databases of the process.
pub struct Shared {
    block_cache: Cache,
    background_threads: u8,
    writers: Writers,
}

impl Shared {
    pub fn new(resources: Resources) -> Shared {
        let Resources { block_cache_bytes, load_bytes, background_threads } = resources;
        assert!(background_threads >= 2, "one thread flushes while another compacts");
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(block_cache_bytes);
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        let writers = Writers::new(usize::from(background_threads), load_bytes);
        Shared { block_cache: Cache::new_lru_cache_opts(&cache), background_threads, writers }
    }

    pub(super) fn writers(&self) -> &Writers {
        &self.writers
    }

    /// Bytes of memory that blocks, indexes and filters take.
    pub fn block_cache_used_bytes(&self) -> usize {
        self.block_cache.get_usage()
    }

    pub(super) fn database(&self) -> Result<Options, rocksdb::Error> {
        // Neither option has a setter of its own. Closing must not make durable what was not confirmed. After a failed
        // flush RocksDB would flush on its own as soon as there is space; here a generation that failed takes no more
        // writes until it is opened again.
        let strings = "avoid_flush_during_shutdown=true;max_bgerror_resume_count=0";
        let mut options = Options::default().get_options_from_string(strings)?;
        // Databases are made by `Create`, on purpose, and in one place.
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        // Damage is an error at once, not a surprise later.
        options.set_paranoid_checks(true);
        // All files stay open. A reader that outlives its generation reads on after the files were
        // unlinked, a missing file is found at open, and no read pays for a lookup of its file.
        options.set_max_open_files(-1);
        options.set_max_background_jobs(i32::from(self.background_threads));
        // Each file that a compaction reads takes it: after a load, hundreds do.
        options.set_compaction_readahead_size(128 * KIB);
        // One compaction must not take every core of the application's machine.
        options.set_max_subcompactions(1);
        // Data and lineage of a partition are in one column family: no flush needs to span several.
        options.set_atomic_flush(false);
        // A bound over all memtables would flush at times that nobody here chose.
        options.set_db_write_buffer_size(0);
        // Written data reaches the disk steadily: no stall when a large file is synced at its end.
        options.set_bytes_per_sync(1024 * 1024);
        // A generation's manifest is small, and so is a full disk's last space.
        options.set_manifest_preallocation_size(64 * KIB);
        // The time to open must not grow with the number of files.
        options.set_skip_stats_update_on_db_open(true);
        // RocksDB's own log: warnings only, bounded, no periodic dumps.
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(MIB);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        Ok(options)
    }

    fn column_family(&self, purpose: Use) -> Options {
        let mut options = Options::default();
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_arena_block_size(ARENA_BLOCK_BYTES);
        // There is one that is written and one that is being flushed.
        options.set_max_write_buffer_number(2);
        options.set_min_write_buffer_number_to_merge(1);
        // A memtable that was flushed is not kept as a cache.
        options.set_max_write_buffer_size_to_maintain(0);
        // Size of the levels follows the data: little space is lost to overwritten rows.
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_bytes_for_level_base(purpose.level_bytes());
        options.set_target_file_size_base(FILE_BYTES);
        options.set_level_zero_file_num_compaction_trigger(purpose.level_0_trigger());
        let BackPressure { files, bytes } = purpose.back_pressure();
        let files = files.map(|files| i32::try_from(files).expect("files fit 31 bits"));
        let bytes = bytes.map(|bytes| usize::try_from(bytes).expect("limits fit 64 bits"));
        options.set_level_zero_slowdown_writes_trigger(files[0]);
        options.set_level_zero_stop_writes_trigger(files[1]);
        options.set_soft_pending_compaction_bytes_limit(bytes[0]);
        options.set_hard_pending_compaction_bytes_limit(bytes[1]);
        // It is fast enough for the disk to be the limit. Better ratios cost the application's CPU.
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&self.tables(purpose));
        options
    }

    /// Options of the files that are written beside a database and taken into it. Compaction compresses them before
    /// long, if they are many; if the writer did, it would take a fifth of a restore's time.
    pub(super) fn runs(&self) -> Options {
        let mut options = self.column_family(Use::Load);
        options.set_compression_type(DBCompressionType::None);
        options
    }

    fn tables(&self, purpose: Use) -> BlockBasedOptions {
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&self.block_cache);
        // Blocks, indexes and filters have one budget. Indexes and filters are cut into small parts under a pinned top:
        // whole ones (600 KiB per file) would push each other out of a small cache at every read.
        tables.set_cache_index_and_filter_blocks(true);
        tables.set_cache_index_and_filter_blocks_with_high_priority(true);
        // A load has hundreds of files there, in each partition: pinned, they would not fit the budget.
        tables.set_pin_l0_filter_and_index_blocks_in_cache(purpose == Use::Reads);
        tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        tables.set_partition_filters(true);
        tables.set_metadata_block_size(8 * KIB);
        tables.set_pin_top_level_index_and_filter(true);
        tables.set_block_size(16 * KIB);
        // 1 % false positives: a Get of an absent key reads no block.
        tables.set_bloom_filter(10.0, false);
        tables.set_whole_key_filtering(true);
        tables.set_optimize_filters_for_memory(true);
        // The version is pinned: a later RocksDB must not change what our files look like. Version 6 also finds a block
        // that is whole but in the wrong place.
        tables.set_format_version(6);
        tables.set_checksum_type(ChecksumType::XXH3);
        tables
    }

    /// One column family per partition, and RocksDB's own, which cannot be left out and stays empty.
    pub(super) fn column_families(
        &self,
        partitions: u32,
        purpose: Use,
    ) -> Vec<ColumnFamilyDescriptor> {
        let options = self.column_family(purpose);
        let own = rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned();
        let names = std::iter::once(own).chain((0..partitions).map(column_family_name));
        names.map(|name| ColumnFamilyDescriptor::new(name, options.clone())).collect()
    }
}

/// Options of an open database, by RocksDB's names.
pub(super) type Changes = Vec<(&'static str, String)>;

/// What changes when a load is put into use.
pub(super) fn for_reads() -> Changes {
    let reads = Use::Reads;
    vec![
        ("level0_file_num_compaction_trigger", reads.level_0_trigger().to_string()),
        ("max_bytes_for_level_base", reads.level_bytes().to_string()),
    ]
}

/// Options that hold writes up. `left`: files of level 0 that are no reason to, for a load has left them.
pub(super) fn back_pressure(left: u64) -> Changes {
    let BackPressure { files, bytes } = BackPressure::beside(left);
    vec![
        ("level0_slowdown_writes_trigger", files[0].to_string()),
        ("level0_stop_writes_trigger", files[1].to_string()),
        ("soft_pending_compaction_bytes_limit", bytes[0].to_string()),
        ("hard_pending_compaction_bytes_limit", bytes[1].to_string()),
    ]
}

pub(super) fn column_family_name(partition: u32) -> String {
    format!("p{partition}")
}

/// Writes bypass RocksDB's write-ahead log: the topic is one.
pub(super) fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

pub(super) fn waiting() -> FlushOptions {
    let mut options = FlushOptions::default();
    // The call returns when everything is on disk.
    options.set_wait(true);
    options
}

pub(super) fn checked_reads() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}
