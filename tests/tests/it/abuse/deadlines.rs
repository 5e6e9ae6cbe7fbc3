//! A call's own deadline, as a plain client of another language tells it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_proto::v1::{ErrorDetail, PutRequest, Reason};
use outrigger_tests::kafka::{Cluster, TopicSpec};
use outrigger_tests::node::Node;
use tempfile::TempDir;
use tonic::{Code, Request};

use super::{in_time, rows, run};

#[test]
fn a_write_that_is_late_says_that_it_may_have_happened() -> Result<()> {
    run(async {
        let mut cluster = Cluster::start(1, &[])?;
        let topic = cluster.topic("late-write", TopicSpec::store())?;
        let dir = TempDir::new()?;
        let mut node = Node::new(dir.path(), "one", &cluster.bootstrap(), topic.name())?;
        node.start().await?;
        node.until_ready().await?;
        let mut rows = rows(&node).await?;
        cluster.pause(1)?;
        let put = PutRequest { key: "k".into(), value: "1".into(), ..PutRequest::default() };
        let mut request = Request::new(put);
        request.set_timeout(Duration::from_secs(2));
        let status = in_time("an answer", rows.put(request)).await?.expect_err("no broker answers");
        cluster.resume(1)?;
        let detail = ErrorDetail::from_status(&status).with_context(|| format!("{status:?}"))?;
        ensure!(detail.reason() == Reason::WriteUnknown, "{detail:?}");
        ensure!(detail.may_have_happened && !detail.what_to_do.is_empty(), "{detail:?}");
        ensure!(status.code() == Code::Unknown, "{status:?}");
        Ok(())
    })
}
