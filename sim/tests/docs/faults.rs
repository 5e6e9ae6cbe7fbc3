//! `docs/faults.md` names what exists, and all that the simulator can play.

use std::collections::BTreeSet;

use super::{cells, files, quoted, read, root, stem};

const PAGE: &str = "docs/faults.md";

#[test]
fn every_name_of_the_page_exists() {
    let page = read(PAGE);
    let names: BTreeSet<_> = page.lines().flat_map(quoted).filter_map(split).collect();
    assert!(names.len() > 150, "{names:?}");
    let missing: Vec<_> = names.into_iter().filter(|(kind, name)| !exists(kind, name)).collect();
    assert!(missing.is_empty(), "{PAGE} names what does not exist: {missing:?}");
}

#[test]
fn every_fault_scene_and_regression_plan_is_on_the_page() {
    let page = read(PAGE);
    for (kind, names) in
        [("plan", plan_faults()), ("scene", scenes()), ("regression", regressions())]
    {
        for name in names {
            assert!(page.contains(&format!("`{kind}:{name}`")), "{PAGE} lacks {kind}:{name}");
        }
    }
}

#[test]
fn every_id_that_a_plan_or_a_canary_gives_has_a_row() {
    let page = read(PAGE);
    let rows = page.lines().filter_map(cells);
    let known: BTreeSet<String> =
        rows.flat_map(|row| row[0].split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let source = read("sim/src/plan/faults.rs");
    let given = source.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut given: BTreeSet<String> = given.map(str::to_owned).collect();
    for canary in files("sim/canaries", ".patch") {
        let header = read(&canary);
        let faults = header.lines().find_map(|line| line.strip_prefix("# faults: "));
        let faults = faults.expect("every canary names its faults").split(' ');
        given.extend(faults.filter(|id| *id != "none").map(str::to_owned));
    }
    let missing: Vec<_> = given.difference(&known).collect();
    assert!(missing.is_empty(), "{PAGE} has no row for {missing:?}");
}

/// The two parts of `kind:name`, as the page has them.
fn split(quoted: &str) -> Option<(&str, &str)> {
    let (kind, name) = quoted.split_once(':')?;
    (!name.is_empty() && !name.starts_with(':')).then_some((kind, name))
}

fn exists(kind: &str, name: &str) -> bool {
    let patch = |folder: &str| root().join(folder).join(format!("{name}.patch")).is_file();
    match kind {
        "plan" => plan_faults().contains(name),
        "act" => acts().contains(name),
        "setting" => read("sim/src/plan/setting.rs").contains(&format!("pub {name}: ")),
        "scene" => scenes().contains(name),
        "regression" => regressions().contains(name),
        "canary" => patch("sim/canaries"),
        "shell" => patch("tests/canaries"),
        "case" => has_case(name),
        "it" => is_a_test(name),
        _ => false,
    }
}

fn plan_faults() -> BTreeSet<String> {
    variants("sim/src/plan/faults.rs", "pub enum FaultKind {")
}

fn acts() -> BTreeSet<String> {
    let path = "sim/src/plan/operations.rs";
    let mut acts = variants(path, "pub enum Act {");
    acts.extend(variants(path, "pub enum ForeignKey {"));
    acts
}

/// The variants of an enum, as a plan spells them.
fn variants(path: &str, begin: &str) -> BTreeSet<String> {
    let source = read(path);
    let (_, body) = source.split_once(begin).expect("the enum is there");
    let (body, _) = body.split_once("\n}").expect("and ends");
    let name = |line: &str| {
        let line = line.strip_prefix("    ")?;
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|first: char| first.is_ascii_uppercase()).then(|| snake(&name))
    };
    body.lines().filter_map(name).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The scenes, as `file::function`.
fn scenes() -> BTreeSet<String> {
    let mut scenes = BTreeSet::new();
    for path in files("sim/src/plan/scenes", ".rs") {
        let source = read(&path);
        let functions = source.split("\npub(super) fn ").skip(1);
        let names =
            functions.filter_map(|rest| rest.split_once("(scene: &mut")).map(|(name, _)| name);
        scenes.extend(names.map(|name| format!("{}::{name}", stem(&path))));
    }
    scenes
}

fn regressions() -> BTreeSet<String> {
    files("sim/plans", ".json").iter().map(|path| stem(path).to_owned()).collect()
}

fn has_case(name: &str) -> bool {
    let folders = ["log", "store"].map(|suite| format!("sidecar/core/src/conformance/{suite}"));
    let mut sources = folders.iter().flat_map(|folder| files(folder, ".rs"));
    sources.any(|path| read(path).contains(&format!("fn {name}(")))
}

/// Whether `module::module::function` is one of the tests on real processes.
fn is_a_test(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else { return false };
    let module = module.replace("::", "/");
    let places = [format!("{module}.rs"), format!("{module}/mod.rs")];
    let mut files = places.map(|place| root().join("tests/tests/it").join(place)).into_iter();
    files.any(|path| path.is_file() && read(path).contains(&format!("fn {function}(")))
}
