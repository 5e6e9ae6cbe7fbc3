//! `outrigger wait`, as a script uses it.

use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Result, ensure};
use outrigger_core::offset::Partition;
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::binary;

use super::{MINUTE, Place, run};

fn wait(url: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary());
    command.args(["wait", "--server", url]).args(arguments).stdin(Stdio::null());
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_wait_that_began_before_its_node_ends_when_that_is_ready() -> Result<()> {
    run(async {
        let place = Place::new("wait", TopicSpec::store())?;
        let mut node = place.node("one")?;
        let url = node.url();
        let waiting = thread::spawn(move || wait(&url, &[]));
        node.start().await?;
        let waited = waiting.join().expect("the thread does not panic")?;
        ensure!(waited.status.success(), "{waited:?}");
        let ready = format!("{}  {} is READY\n", node.url(), outrigger_tests::node::STORE);
        ensure!(String::from_utf8_lossy(&waited.stdout) == ready, "{waited:?}");
        ensure!(node.store().await?.put("k", "v").await.is_ok(), "it takes writes");
        let unknown = wait(&node.url(), &["--store", "nobodys"])?;
        ensure!(unknown.status.code() == Some(65), "no time makes it: {unknown:?}");
        Ok(())
    })
}

#[test]
fn a_wait_names_what_keeps_it_and_a_refusal_ends_it() -> Result<()> {
    run(async {
        let place = Place::new("wait-long", TopicSpec::store())?;
        let value = [b'v'; 1_000];
        let keys: Vec<_> = (0..2_000).map(|number| format!("{number:06}")).collect();
        tokio::task::block_in_place(|| {
            let rows = keys.iter().map(|key| (Partition(0), key.as_bytes(), Some(&value[..])));
            place.topic.put_all(rows)
        })?;
        let mut node = place.node("one")?.with_args(&["--restore-rate", "16KiB"]);
        node.start().await?;
        let restoring = wait(&node.url(), &["--for", "restoring"])?;
        ensure!(restoring.status.success(), "{restoring:?}");
        let late = wait(&node.url(), &["--timeout", "5s"])?;
        ensure!(late.status.code() == Some(75), "{late:?}");
        ensure!(said(&late).contains("is RESTORING (nothing on disk)"), "{late:?}");
        ensure!(node.ask("cancel", &[])?.status.success());
        let refused = wait(&node.url(), &[])?;
        ensure!(refused.status.code() == Some(65), "{refused:?}");
        ensure!(said(&refused).contains("outrigger continue"), "what to do: {refused:?}");
        ensure!(wait(&node.url(), &["--for", "refused"])?.status.success());
        ensure!(node.ask("continue", &[])?.status.success());
        ensure!(node.ask("throttle", &["off"])?.status.success());
        let ready = wait(&node.url(), &["--timeout", &format!("{}s", MINUTE.as_secs())])?;
        ensure!(ready.status.success(), "{ready:?}");
        Ok(())
    })
}
