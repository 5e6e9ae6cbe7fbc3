//! The built programs as a shell meets them, without any node or Kafka.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use outrigger_tests::node::{binary, free_port};
use tempfile::TempDir;

fn outrigger(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null());
    command.output().with_context(|| format!("starting outrigger {arguments:?}"))
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn help_version_pages_and_completions_are_commands() -> Result<()> {
    let cases: [(&[&str], &str); 7] = [
        (&["help"], "Exit codes:"),
        (&["help", "get"], "--at-least"),
        (&["version"], "librdkafka"),
        (&["man"], ".TH outrigger"),
        (&["man", "wait"], ".TH outrigger\\-wait"),
        (&["completions", "zsh"], "#compdef outrigger"),
        (&["completions", "fish"], "complete -c outrigger"),
    ];
    for (arguments, part) in cases {
        let output = outrigger(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).replace("\\-", "-");
        let part = part.replace("\\-", "-");
        ensure!(output.status.success() && text.contains(&part), "{arguments:?}: {output:?}");
    }
    let unknown = outrigger(&["man", "fly"])?;
    ensure!(unknown.status.code() == Some(64), "{unknown:?}");
    ensure!(said(&unknown).contains("outrigger help"), "{unknown:?}");
    Ok(())
}

#[test]
fn bash_takes_its_completions() -> Result<()> {
    let script = outrigger(&["completions", "bash"])?.stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn()?;
    bash.stdin.take().context("bash has a stdin")?.write_all(&script)?;
    ensure!(bash.wait()?.success() && !script.is_empty());
    Ok(())
}

#[test]
fn a_wait_for_nobody_ends_when_its_time_is_up_and_says_for_whom() -> Result<()> {
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let waited = outrigger(&["wait", "--server", &url, "--timeout", "300ms"])?;
    ensure!(waited.status.code() == Some(69), "{waited:?}");
    ensure!(said(&waited).contains(&format!("waiting for {url}")), "{waited:?}");
    ensure!(said(&waited).contains("has not answered within 300ms"), "{waited:?}");
    let wrong = outrigger(&["wait", "--server", "127.0.0.1:7400"])?;
    ensure!(wrong.status.code() == Some(64), "no time makes an address of it: {wrong:?}");
    Ok(())
}

/// A port of something else takes the connection and does not understand.
#[test]
fn another_servers_port_is_called_so() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for command in [&["get", "k"][..], &["status"], &["status", "--follow"]] {
        let output = outrigger(&[command, &["--server", &url, "--timeout", "5s"]].concat())?;
        ensure!(output.status.code() == Some(69), "{command:?}: {output:?}");
        ensure!(said(&output).contains("such as Kafka's"), "{command:?}: {output:?}");
    }
    Ok(())
}

/// A command that would apply what a watch tells is not started for nothing.
#[test]
fn a_watch_that_cannot_begin_starts_no_command() -> Result<()> {
    let dir = TempDir::new()?;
    let (url, file) = (format!("http://127.0.0.1:{}", free_port()?), dir.path().join("started"));
    let command = format!("touch '{}'", file.display());
    let output = outrigger(&["watch", "--server", &url, "--exec", &command])?;
    ensure!(output.status.code() == Some(69) && !file.exists(), "{output:?}");
    Ok(())
}

#[test]
fn what_works_on_a_disk_says_that_there_is_nothing_instead_of_nothing() -> Result<()> {
    let dir = TempDir::new()?;
    let data = dir.path().to_str().context("a path of this test is text")?;
    for command in ["drop-quarantine", "reset"] {
        for data in [data, "/nonexistent"] {
            let output = outrigger(&[command, "--data", data, "--store", "notes"])?;
            ensure!(output.status.code() == Some(64), "{command}: {output:?}");
            ensure!(said(&output).contains("store notes"), "{command}: {output:?}");
        }
    }
    Ok(())
}

/// Somebody set the variable, perhaps long ago and elsewhere.
#[test]
fn what_the_environment_says_wrong_is_told_with_its_variable_and_no_secret() -> Result<()> {
    let dir = TempDir::new()?;
    let mut serve = Command::new(binary());
    serve.args(["serve", "--store", "s", "--bootstrap", "b:1"]).stdin(Stdio::null());
    serve.arg("--data").arg(dir.path().join("data"));
    serve.env("OUTRIGGER_LISTEN", "here").env("OUTRIGGER_MEMORY", "7");
    serve.env("OUTRIGGER_KAFKA", "client.id=me\nsasl.passwrd=hunter2");
    let wrong = serve.output()?;
    ensure!(wrong.status.code() == Some(78), "{wrong:?}");
    for part in [
        "(OUTRIGGER_LISTEN)",
        "(OUTRIGGER_MEMORY)",
        "did you mean `sasl.password`? (line 2 of OUTRIGGER_KAFKA)",
    ] {
        ensure!(said(&wrong).contains(part), "{part}: {wrong:?}");
    }
    ensure!(!said(&wrong).contains("hunter2"), "{wrong:?}");

    let number = serve.env("OUTRIGGER_PARTITIONS", "many").output()?;
    ensure!(number.status.code() == Some(64), "{number:?}");
    ensure!(said(&number).contains("of the variable OUTRIGGER_PARTITIONS"), "{number:?}");
    Ok(())
}

/// Commands beside `serve` take its settings.
#[test]
fn what_works_on_a_disk_takes_the_file_of_the_node() -> Result<()> {
    let dir = TempDir::new()?;
    let file = dir.path().join("o.toml");
    std::fs::write(&file, format!("data = {:?}\n[[store]]\nname = 'notes'\n", dir.path()))?;
    let file = file.to_str().context("a path of this test is text")?;
    for command in ["drop-quarantine", "reset"] {
        let output = outrigger(&[command, "--config", file])?;
        ensure!(output.status.code() == Some(64), "{command}: {output:?}");
        ensure!(said(&output).contains("store notes"), "{command}: {output:?}");
        let nothing = outrigger(&[command])?;
        ensure!(nothing.status.code() == Some(78), "{command}: {nothing:?}");
        for flag in ["--data", "--store"] {
            ensure!(said(&nothing).contains(flag), "{command}: {nothing:?}");
        }
    }
    Ok(())
}

#[test]
fn the_front_door_takes_no_argument_that_nobody_reads() -> Result<()> {
    let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("../x");
    for command in ["kafka", "check", "test", "fmt", "contract", "help"] {
        let output = Command::new(&door).args([command, "foo"]).output()?;
        ensure!(output.status.code() == Some(1), "{command}: {output:?}");
        ensure!(said(&output).contains("takes no arguments, not `foo`"), "{output:?}");
    }
    Ok(())
}
