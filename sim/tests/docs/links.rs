//! Every link inside the repository leads somewhere, and every document is one step from the first page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{name, read, root};

/// Folders of builds, and of what a run leaves.
const NOT_OURS: [&str; 3] = ["target", "failures", "node_modules"];

#[test]
fn every_link_inside_the_repository_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for link in links(&text) {
            if !leads_somewhere(&page, link) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_document_is_one_step_from_the_first_page() {
    let first = read("README.md");
    let linked: BTreeSet<PathBuf> = links(&first)
        .into_iter()
        .map(|link| PathBuf::from(link.split('#').next().unwrap_or_default()))
        .collect();
    let missing: Vec<_> =
        pages().into_iter().filter(|page| is_a_document(page) && !linked.contains(page)).collect();
    assert!(missing.is_empty(), "README.md does not lead to {missing:?}");
}

/// Whether the page is a document of the project: pages beside code belong to that code.
fn is_a_document(page: &Path) -> bool {
    let folder = page.parent().unwrap_or(Path::new(""));
    page != Path::new("README.md") && [Path::new(""), Path::new("docs")].contains(&folder)
}

/// All Markdown of the repository, from its top.
pub(super) fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("its entries can be read").path();
            let hidden = name(&path).starts_with('.') || NOT_OURS.contains(&name(&path));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(root()).expect("it is below").to_owned());
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

/// The targets of links, those to other hosts and in blocks of code left out.
fn links(page: &str) -> Vec<&str> {
    let prose = page.split("\n```").step_by(2);
    let targets = prose.flat_map(|prose| prose.split("](").skip(1));
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.to_owned(),
        _ => normal(&page.parent().unwrap_or(Path::new("")).join(path)),
    };
    let exists = root().join(&target).exists();
    exists && (anchor.is_empty() || headings(&read(target)).contains(anchor))
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(normal.pop(), "{} leaves the repository", path.display())
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => normal.push(part),
        }
    }
    normal
}

/// The page's headings, as forges make anchors of them.
fn headings(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let headings = headings.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
