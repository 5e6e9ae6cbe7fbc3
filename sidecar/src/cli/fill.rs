//! `fill`: rows that are made up, for whoever wants to see a store with something in it.

use clap::builder::RangedU64ValueParser;

use super::failure::Failure;
use super::send::{self, Source};
use super::target::Target;
use crate::exit::Exit;
use crate::workload::{Change, Mix, Workload};

/// Writes rows that are made up, as fast as the node takes them
#[derive(Debug, clap::Args)]
pub(super) struct FillArgs {
    /// How many keys
    #[arg(value_name = "KEYS", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    keys: u64,
    /// Size of the values
    #[arg(long, value_name = "BYTES", default_value = "100")]
    value_bytes: u32,
    /// Write this many of the keys again, in between
    #[arg(long, value_name = "WRITES", default_value = "0")]
    overwrites: u64,
    /// Delete this many of the keys, in between; some may be written again later
    #[arg(long, value_name = "WRITES", default_value = "0")]
    deletes: u64,
    /// Equal seeds give equal writes
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// At most this many writes a second
    #[arg(long, value_name = "WRITES", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    target: Target,
}

/// The writes, and how many they are in all.
struct MadeUp {
    workload: Workload,
    writes: u64,
}

pub(super) async fn run(args: FillArgs) -> Result<Exit, Failure> {
    let store = args.target.store().await?;
    let mix = Mix {
        keys: args.keys,
        overwrites: args.overwrites,
        deletes: args.deletes,
        value_bytes: usize::try_from(args.value_bytes).expect("usize holds 32 bits"),
    };
    let mut source = MadeUp { writes: mix.writes(), workload: Workload::new(mix, args.seed) };
    send::all(&store, &mut source, args.rate).await
}

impl Source for MadeUp {
    fn writes(&self) -> Option<u64> {
        Some(self.writes)
    }

    async fn next(&mut self) -> Result<Option<Change>, Failure> {
        Ok(self.workload.next())
    }
}
