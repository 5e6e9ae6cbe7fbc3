//! Nobody reads the log, or not fast enough.

use std::io::PipeReader;

use anyhow::{Result, ensure};
use outrigger_tests::kafka::{Cluster, Topic, TopicSpec};
use outrigger_tests::node::{Node, free_port};
use tempfile::TempDir;

use super::{in_time, run, until_metric};

/// This many writes fill a pipe of 64 KiB many times, at the level that logs every frame.
const WRITES: usize = 500;

struct Told {
    node: Node,
    metrics: u16,
    _topic: Topic,
    _dir: TempDir,
}

impl Told {
    /// A READY node that logs everything into a pipe.
    async fn start(name: &str) -> Result<(Told, PipeReader)> {
        let cluster = Cluster::shared()?;
        let topic = cluster.topic(name, TopicSpec::store())?;
        let (dir, metrics) = (TempDir::new()?, free_port()?);
        let node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        let mut node =
            node.with_args(&["--metrics", &format!("127.0.0.1:{metrics}"), "--log", "trace"]);
        let (reader, writer) = std::io::pipe()?;
        node.log_into(writer.into());
        node.start().await?;
        Ok((Told { node, metrics, _topic: topic, _dir: dir }, reader))
    }

    async fn writes_go_on(mut self) -> Result<()> {
        self.node.until_ready().await?;
        let store = self.node.store().await?;
        for number in 0..WRITES {
            in_time("a write", store.put(format!("{number}"), "1")).await??;
        }
        let dropped = "outrigger_log_lines_dropped_total";
        until_metric(self.metrics, dropped, |lines| lines > 0.0).await?;
        ensure!(self.node.stop()?.success(), "it ends in order");
        Ok(())
    }
}

#[test]
fn a_log_that_nobody_reads_holds_no_write_up() -> Result<()> {
    run(async {
        let (told, unread) = Told::start("unread-log").await?;
        told.writes_go_on().await?;
        drop(unread);
        Ok(())
    })
}

#[test]
fn a_log_whose_reader_is_gone_ends_nothing() -> Result<()> {
    run(async {
        let (told, gone) = Told::start("broken-log").await?;
        drop(gone);
        told.writes_go_on().await
    })
}
