//! `docs/disk-format.md` has the names, magics and versions that the code has.

use std::collections::BTreeSet;
use std::path::Path;

use super::{cells, files, name, read, root};

/// Folders with constants that are written to the disk as text, or are names there: the page must have all of them.
const FOLDERS: [&str; 4] = [
    "sidecar/src/rocks",
    "sidecar/src/rocks/directory",
    "sidecar/src/embedded",
    "sidecar/src/peer",
];

/// Texts for people, and what goes over the network.
const NOT_ON_DISK: [(&str, &str); 4] = [
    ("sidecar/src/rocks/error.rs", "OPEN_FILES"),
    ("sidecar/src/rocks/error.rs", "OPEN_HERE"),
    ("sidecar/src/rocks/error.rs", "MORE_FILES"),
    ("sidecar/src/peer/secret.rs", "SCHEME"),
];

#[test]
fn every_constant_of_the_page_is_the_one_in_the_code() {
    for (file, constant, value) in documented() {
        let begins = format!("const {constant}: ");
        let ends = format!(" = {value};");
        let source = read(&file);
        let is_so = |line: &str| line.contains(&begins) && line.ends_with(&ends);
        assert!(source.lines().any(is_so), "{file} has no constant {constant} of {value}");
    }
}

#[test]
fn every_text_of_the_code_that_is_on_disk_is_on_the_page() {
    let documented: BTreeSet<_> =
        documented().into_iter().map(|(file, constant, _)| (file, constant)).collect();
    for path in FOLDERS.into_iter().flat_map(|folder| files(folder, ".rs")) {
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        for constant in texts(&path) {
            let known = documented.contains(&(file.clone(), constant.clone()))
                || NOT_ON_DISK.contains(&(&file, &constant));
            assert!(known, "docs/disk-format.md has no row for {constant} of {file}");
        }
    }
}

/// File, name and value.
fn documented() -> Vec<(String, String, String)> {
    let page = read("docs/disk-format.md");
    let (_, section) = page.split_once("\n## Constants\n").expect("the page has its constants");
    let rows = section.lines().filter_map(cells);
    let bare = |cell: &str| cell.trim_matches('`').to_owned();
    let rows: Vec<_> = rows.skip(1).map(|row| (bare(row[2]), bare(row[0]), bare(row[1]))).collect();
    assert!(rows.len() > 30, "{rows:?}");
    rows
}

/// The names of a file's constants that are texts or bytes, those of its tests left out.
fn texts(path: &Path) -> Vec<String> {
    if name(path).ends_with("tests.rs") {
        return Vec::new();
    }
    let source = read(path);
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
    let text = |line: &str| {
        let (_, constant) = line.split_once("const ")?;
        let (constant, of) = constant.split_once(": ")?;
        (of.starts_with("&str =") || of.starts_with("&[u8")).then(|| constant.to_owned())
    };
    source.lines().filter_map(text).filter(|constant| constant != "END").collect()
}
