//! The binary `outrigger`: signals, a runtime, a command, an exit code.

use std::process::ExitCode;

use outrigger::cli::{Cli, Failure};
use outrigger::exit::Exit;

// librdkafka and RocksDB allocate through it as well; with glibc's a restore is half as fast.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    keep_files_private();
    ignore_file_size_signal();
    allow_all_open_files();
    let exit = match Cli::read(std::env::args_os()) {
        Ok(cli) => run(cli).unwrap_or_else(|failure| {
            failure.report();
            failure.exit()
        }),
        Err(exit) => exit,
    };
    exit.into()
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Start)?;
    let outcome = runtime.block_on(cli.run());
    // A read of standard input cannot be cancelled, and must not keep a finished command alive.
    runtime.shutdown_background();
    outcome
}

/// Keeps files private. RocksDB gives its files the mode that it gets: what is in a copy is for this user alone.
fn keep_files_private() {
    // SAFETY: it changes a number of this process, and no other thread runs yet that could make a file.
    unsafe { libc::umask(0o077) };
}

/// Ignores the signal: a file-size limit must surface as a failed write, which is handled, and not end the process.
fn ignore_file_size_signal() {
    // SAFETY: no thread runs yet, and SIG_IGN installs no code that could run in a signal's context.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Raises the limit of open files. RocksDB keeps every file of a copy open, one per 64 MiB or so; the usual soft limit
/// of 1,024 is not meant for that. Where raising it fails the limit stays, and a copy too large for it fails by name.
fn allow_all_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read and write the struct, which outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
