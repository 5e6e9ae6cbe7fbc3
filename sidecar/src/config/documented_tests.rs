//! The settings are those of `docs/operating.md`, in flags, variables and the file.

use clap::{Args as _, Command};

use super::file::Wrong;
use super::settings::{ReadFile, ServeArgs};
use crate::access::Right;
use crate::documented::{assert_rows, page};

/// Settings that are flags only: they say where the file is, and what the only store is without one.
const NOT_IN_THE_FILE: [&str; 6] =
    ["config", "topic", "create", "partitions", "replication", "store"];

/// Returns every flag that `--help` shows, as the file would spell it.
fn flags() -> Vec<(String, Option<String>)> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let flag = |argument: &clap::Arg| {
        let name = argument.get_long()?.replace('-', "_");
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        Some((name, variable))
    };
    shown.filter_map(flag).collect()
}

#[test]
fn every_setting_has_a_row() {
    // Rules are tables of the file.
    let names = flags().into_iter().map(|(name, _)| name).chain(["access".to_owned()]);
    assert_rows("Settings", names);
}

/// The page says this of them all.
#[test]
fn every_flag_is_a_variable_of_the_same_name() {
    for (name, variable) in flags().into_iter().filter(|(name, _)| name != "kafka") {
        assert_eq!(variable, Some(format!("OUTRIGGER_{}", name.to_uppercase())));
    }
}

#[test]
fn every_key_of_the_file_is_a_setting_with_a_row_and_every_other_setting_is_a_key() {
    let file = ReadFile::parse("no_such_setting_at_all = 1\n");
    let known = file.problems.into_iter().find_map(|fault| match fault.wrong {
        Wrong::Unknown { known, .. } => Some(known),
        Wrong::Syntax { .. }
        | Wrong::Type { .. }
        | Wrong::Choice { .. }
        | Wrong::Missing { .. } => None,
    });
    let mut known: Vec<_> = known.expect("it is unknown").into_iter().map(str::to_owned).collect();
    let mut flags: Vec<_> = flags().into_iter().map(|(name, _)| name).collect();
    flags.retain(|name| name == "store" || !NOT_IN_THE_FILE.contains(&name.as_str()));
    // Rules have no flag: they are tables.
    flags.push("access".to_owned());
    known.sort();
    flags.sort();
    assert_eq!(known, flags);
    let page = page();
    for key in ["name", "topic", "create", "partitions", "replication"] {
        assert!(page.contains(&format!("`{key}`")), "docs/operating.md lacks {key} of [[store]]");
    }
    for key in ["who", "store", "prefix", "may"] {
        assert!(page.contains(&format!("`{key}`")), "docs/operating.md lacks {key} of [[access]]");
    }
    for right in Right::ALL {
        assert!(page.contains(&format!("`{right}`")), "docs/operating.md lacks the right {right}");
    }
}
