//! A real Kafka until ctrl-c. `./x kafka`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use outrigger_tests::kafka::starter::{Asked, Signals, run};

/// As in the sidecar: librdkafka allocates through it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match kafka() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("kafka: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn kafka() -> Result<u8> {
    let asked = Asked::of(|variable| std::env::var_os(variable))?;
    run(&asked, &Signals::listen()?)
}
