//! Commands that the documents name are there.

use std::collections::BTreeSet;

use super::{links, quoted, read};

/// Words of a made-up command line.
const PLACEHOLDERS: [&str; 3] = ["NAME", "<name>", "[COMMAND]"];

#[test]
fn every_command_of_the_front_door_that_a_page_names_is_one() {
    let script = read("x");
    let (_, cases) =
        script.split_once("\ncase \"$command\" in\n  demo").expect("x takes a command");
    let words = cases.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    let mut known: BTreeSet<&str> = words.collect();
    known.insert("demo");
    assert_known("./x ", &known);
}

#[test]
fn every_figure_that_a_page_names_is_measured() {
    let source = read("tests/src/bench/figure.rs");
    let names = source.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next());
    let known: BTreeSet<&str> = names.chain(["help"]).collect();
    assert_known("./x bench ", &known);
}

#[test]
fn every_command_of_the_binary_that_a_page_names_is_one() {
    let source = read("sidecar/src/cli/mod.rs");
    let (_, commands) = source.split_once("enum Command {").expect("the commands are there");
    let (commands, _) = commands.split_once("\n}").expect("and end");
    let variants = commands.lines().filter_map(|line| line.trim().split_once('('));
    let variants = variants.filter(|(name, _)| name.chars().all(char::is_alphanumeric));
    let known: BTreeSet<String> = variants.map(|(name, _)| kebab(name)).collect();
    let mut known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    known.insert("help");
    assert!(known.contains("drop-quarantine"), "{known:?}");
    assert_known("outrigger ", &known);
}

/// Asserts that what follows `command` between backticks on any page is one of these.
fn assert_known(command: &str, known: &BTreeSet<&str>) {
    for page in links::pages() {
        let text = read(&page);
        for named in text.lines().flat_map(quoted).filter_map(|text| text.strip_prefix(command)) {
            let name = named.split_whitespace().next().unwrap_or_default();
            let known = known.contains(name) || PLACEHOLDERS.contains(&name);
            assert!(known, "{}: `{command}{named}` is no command", page.display());
        }
    }
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
