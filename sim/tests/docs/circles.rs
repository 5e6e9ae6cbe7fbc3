//! No circle of files inside core: what stands side by side is read one after the other.
//!
//! The rule holds in core and in each of its folders, where a folder counts as one module: of the modules side by side none
//! needs itself by way of others. A module is needed by whoever names a path into it, also through a folder that only
//! hands its names on. Two things are no circle:
//! - A folder's own file (`mod.rs`) and the files beside it may name each other. So a type's methods may lie in several
//!   files, and what belongs together is one folder.
//! - A method is called without a path, so that a circle of calls alone is not seen.
//!
//! Tests may need whatever they like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use super::{read, root};

const CORE: &str = "sidecar/core/src";

/// From the crate down; the crate itself is empty.
type Module = Vec<String>;

/// The paths that each module names, as they are written.
type Named = BTreeMap<Module, Vec<Vec<String>>>;

#[test]
fn no_modules_of_core_need_each_other_in_a_circle() {
    let core = core();
    assert!(core.len() > 50, "{:?}", core.keys());
    let found = circles(&core);
    assert!(found.is_empty(), "{CORE} has circles:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_named_and_a_folder_with_its_own_files_is_none() {
    let named = |files: &[(&str, &str)]| -> Named {
        files.iter().map(|(path, text)| (module(Path::new(path)), paths(text))).collect()
    };
    let folder = [
        ("lib.rs", "pub mod log; mod node;"),
        ("log.rs", "//! Not `crate::node::Node`.\npub struct Log;"),
        ("node/mod.rs", "mod a; mod b; use a::A; use b::{B, C}; use crate::log::Log;"),
        ("node/a.rs", "use super::Node; impl Node {}"),
        ("node/b.rs", "fn b(a: crate::node::a::A) {}"),
    ];
    assert_eq!(circles(&named(&folder)), Vec::<String>::new());
    let back = ("node/a.rs", "use super::{Node, B};");
    let handed_on = [&folder[..3], &[back], &folder[4..]].concat();
    assert_eq!(circles(&named(&handed_on)), ["node: a -> b -> a"]);
    let up = ("log.rs", "use crate::{log, node::{self as machine}};");
    let across = [&folder[..1], &[up], &folder[2..]].concat();
    assert_eq!(circles(&named(&across)), ["the crate: log -> node -> log"]);
}

/// Core's files without their tests.
fn core() -> Named {
    let mut named = Named::new();
    let mut folders = vec![root().join(CORE)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("its entries can be read").path();
            let module = module(path.strip_prefix(root().join(CORE)).expect("it is below"));
            if module.iter().any(|name| name == "tests" || name == "fixtures") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let source = read(&path);
                let (code, _) =
                    source.split_once("#[cfg(test)]\nmod tests {").unwrap_or((&source, ""));
                named.insert(module, paths(code));
            }
        }
    }
    named
}

fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    let names = names.iter().map(|name| name.to_str().expect("names of the repository are UTF-8"));
    names.filter(|name| !["lib", "mod"].contains(name)).map(str::to_owned).collect()
}

/// One circle of each folder that has any.
fn circles(named: &Named) -> Vec<String> {
    let mut needs: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, paths) in named {
        for to in paths.iter().filter_map(|path| find(named, from, path)) {
            let level = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            if let (Some(one), Some(other)) = (from.get(level), to.get(level)) {
                let beside = needs.entry(from[..level].to_vec()).or_default();
                beside.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    let named = |(folder, needs): (&Module, &BTreeMap<String, BTreeSet<String>>)| {
        let folder = if folder.is_empty() { "the crate".to_owned() } else { folder.join("/") };
        let circle = needs.keys().find_map(|start| circle(needs, start))?;
        Some(format!("{folder}: {}", circle.join(" -> ")))
    };
    needs.iter().filter_map(named).collect()
}

/// The shortest way from `start` back to it.
fn circle<'a>(
    needs: &'a BTreeMap<String, BTreeSet<String>>,
    start: &'a str,
) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in needs.get(*way.last()?).into_iter().flatten() {
            let way = [&way[..], &[next]].concat();
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back(way);
            }
        }
    }
    None
}

/// The module in which a path ends that is written in `from`, past a folder that only hands the name on.
fn find(named: &Named, from: &Module, path: &[String]) -> Option<Module> {
    let mut at = from.clone();
    let mut names = path;
    match names.first()?.as_str() {
        "crate" => (at, names) = (Module::new(), &names[1..]),
        "self" => names = &names[1..],
        _ => {}
    }
    while let ["super", ..] = names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        at.pop();
        names = &names[1..];
    }
    for name in names {
        let below = [&at[..], std::slice::from_ref(name)].concat();
        if !named.contains_key(&below) {
            return Some(handed_on(named, from, &at, name).unwrap_or(at));
        }
        at = below;
    }
    Some(at)
}

/// The module of `folder` that has `name`, which the folder's own file names for others.
fn handed_on(named: &Named, from: &Module, folder: &Module, name: &String) -> Option<Module> {
    if from == folder {
        return None;
    }
    let outside = ["crate", "super", "self"];
    let by_name = named[folder].iter().filter(|path| path.last() == Some(name));
    let below = by_name.filter(|path| !outside.contains(&path[0].as_str()));
    below.filter_map(|path| find(named, folder, path)).find(|module| module != folder)
}

/// Every path of a source with two names at least, groups taken apart; comments have none.
fn paths(source: &str) -> Vec<Vec<String>> {
    let code: Vec<&str> =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let tokens = tokens(&code.join("\n"));
    let mut paths = Vec::new();
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        rest = one_path(rest, &[], &mut paths);
    }
    paths
}

/// Takes the path that `tokens` begin with, or one token.
fn one_path<'a>(
    tokens: &'a [String],
    prefix: &[String],
    paths: &mut Vec<Vec<String>>,
) -> &'a [String] {
    let mut path = prefix.to_vec();
    let mut rest = tokens;
    loop {
        match rest {
            [name, more @ ..] if is_name(name) => {
                path.push(name.clone());
                rest = more;
            }
            [open, more @ ..] if open == "{" && !path.is_empty() => {
                rest = more;
                while rest.first().is_some_and(|token| token != "}") {
                    rest = one_path(rest, &path, paths);
                }
                return rest.get(1..).unwrap_or_default();
            }
            _ => break,
        }
        match rest {
            [colons, more @ ..] if colons == "::" => rest = more,
            _ => break,
        }
    }
    path.dedup_by(|name, _| name == "self");
    if path.len() > prefix.len() && path.len() > 1 {
        paths.push(path);
    }
    if rest.len() == tokens.len() { &rest[1..] } else { rest }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut before = ' ';
    for letter in code.chars() {
        let word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let goes_on = word(before) && word(letter) || (before, letter) == (':', ':');
        match tokens.last_mut() {
            Some(token) if goes_on && token != "::" => token.push(letter),
            Some(_) | None if letter.is_whitespace() => {}
            Some(_) | None => tokens.push(letter.to_string()),
        }
        before = letter;
    }
    tokens
}
