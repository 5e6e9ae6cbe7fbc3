//! The documents hold: what they name exists, and what must be named is.
//!
//! Whatever can be judged by text alone is judged here. What needs the sidecar's own types (settings, metrics, stalls,
//! exit codes) is judged in its own tests.

#![forbid(unsafe_code)]

mod circles;
mod commands;
mod faults;
mod format;
mod links;
mod oracles;

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in a folder of the workspace")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder, not below it, whose names end so.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("its entries can be read").path());
    let mut files: Vec<_> = files.filter(|path| name(path).ends_with(end)).collect();
    files.sort();
    files
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("names of the repository are UTF-8")
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("names of the repository are UTF-8")
}

/// What stands between backticks on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The cells of a row of a table; none for any other line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").map(str::trim).collect())
}
