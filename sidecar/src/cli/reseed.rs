//! `reseed`: writes a copy into a new topic.

use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use outrigger_core::offset::Generation;

use super::failure::Failure;
use super::output::Output;
use crate::advice;
use crate::config::{OfflineArgs, PARTITIONS_MAX, StoreName, TopicName};
use crate::exit::Exit;
use crate::reseed::{Prepared, Request, Reseeded, Told};
use crate::words::counted;

/// Writes a stopped node's copy into a new, empty topic, for a log that is lost or incomplete. All nodes and writers of
/// the store must be stopped: revisions change, and every node begins again from the new topic. Without --yes it only
/// tells what it would do. Interrupted, the same command goes on
#[derive(Debug, clap::Args)]
pub(super) struct ReseedArgs {
    #[command(flatten)]
    offline: OfflineArgs,
    /// Store
    #[arg(long, env = "OUTRIGGER_STORE", value_name = "NAME", value_parser = StoreName::parse)]
    store: StoreName,
    /// The new topic
    #[arg(long, value_name = "NAME", value_parser = TopicName::parse)]
    topic: TopicName,
    /// Take a copy that was set aside, such as g3, instead of the one in use
    #[arg(long, value_name = "GENERATION")]
    from: Option<Generation>,
    /// Create the topic when it does not exist
    #[arg(long)]
    create: bool,
    /// Number of partitions of a created topic [default: as many as the copy has]
    #[arg(long, value_name = "NUMBER", requires = "create",
        value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(PARTITIONS_MAX)))]
    partitions: Option<u32>,
    /// Do it
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: ReseedArgs) -> Result<Exit, Failure> {
    let ReseedArgs { offline, store, topic, from, create, partitions, yes } = args;
    let (data, kafka) = offline.resolve()?;
    let create = create.then_some(partitions);
    let request = Request { data, store, kafka, topic, from, create };
    let done = tokio::task::spawn_blocking(move || reseed(request, yes)).await;
    done.expect("a reseed does not panic")
}

fn reseed(request: Request, yes: bool) -> Result<Exit, Failure> {
    let topic = request.topic.clone();
    let place = advice::place(&request.data, request.store.as_str());
    let prepared = Prepared::new(request)?;
    Output::open().whole(&prepared.text()).map_err(Failure::Output)?;
    if !yes {
        let text = "nothing was written; stop all nodes and writers of this store, then say --yes to do it\n";
        Output::open().whole(text).map_err(Failure::Output)?;
        return Ok(Exit::Success);
    }
    let bar = bar(prepared.rows());
    let reseeded = prepared.write(&mut |told| match told {
        Told::Written(rows) => bar.set_position(rows),
        Told::ReadBack(rows) => {
            bar.set_prefix("read back");
            bar.set_position(rows);
        }
    });
    bar.finish_and_clear();
    let Reseeded { rows, target } = reseeded?;
    let said = format!(
        "topic {topic} (id {}) has {}, all that the copy has, read back and compared\n\
         next, on every node, with its data directory: stop it, `outrigger reset{place} --yes`, then start it with topic {topic}\n",
        target.topic,
        counted(rows, "row")
    );
    Output::open().whole(&said).map_err(Failure::Output)?;
    Ok(Exit::Success)
}

fn bar(rows: u64) -> ProgressBar {
    let template = "{prefix:9} {bar:32} {human_pos} of {human_len} rows  {per_sec}  ETA {eta}";
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(rows).with_style(style).with_prefix("write")
}
