//! What is wrong is said before anything is touched: exit code, message, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::node::Node;
use tempfile::TempDir;

use super::{Place, run};

const UNREACHABLE: &str = "127.0.0.1:1";

fn fails(output: &Output, code: i32, says: &str) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "exit {:?} instead of {code}: {stderr}",
        output.status
    );
    ensure!(stderr.contains(says), "{says:?} is not said: {stderr}");
    Ok(())
}

#[test]
fn a_port_in_use_ends_the_start_before_the_data_directory_is_touched() -> Result<()> {
    let dir = TempDir::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let node = Node::new(dir.path(), "one", UNREACHABLE, "topic")?;
    let output = node.with_args(&["--metrics", &address]).run()?;
    fails(&output, 69, &address)
}

#[test]
fn a_data_directory_in_use_is_named() -> Result<()> {
    run(async {
        let place = Place::new("in-use", TopicSpec::store())?;
        let node = place.ready_node("one").await?;
        let second = Node::new(place.dir.path(), "one", &place.bootstrap, place.topic.name())?;
        fails(&second.run()?, 73, "in use")?;
        node.until_ready().await?;
        Ok(())
    })
}

#[test]
fn a_file_where_the_data_directory_should_be_is_named_and_left_alone() -> Result<()> {
    let dir = TempDir::new()?;
    let node = Node::new(dir.path(), "one", UNREACHABLE, "topic")?;
    fs::write(node.data(), "precious")?;
    let output = node.run()?;
    fails(&output, 73, node.data().to_str().context("a printable path")?)?;
    ensure!(fs::read_to_string(node.data())? == "precious");
    Ok(())
}

#[test]
fn a_bad_configuration_lists_everything_wrong_at_once() -> Result<()> {
    let dir = TempDir::new()?;
    let node = Node::new(dir.path(), "one", UNREACHABLE, "not a topic")?;
    let output = node.with_args(&["--kafka", "acks=1", "--metrics", "nowhere"]).run()?;
    fails(&output, 78, "acks")?;
    fails(&output, 78, "not a topic")?;
    fails(&output, 78, "nowhere")
}
