//! The table of promises and oracles in `docs/design.md` is that of the program.

use outrigger_sim::oracle::OracleId;

use super::read;

/// In the words of the program, and with the class that decides the exit code.
#[test]
fn every_oracle_has_a_row() {
    let page = read("docs/design.md");
    for oracle in OracleId::ALL {
        let row = format!("| {oracle} | {} | {} |", oracle.meaning(), oracle.class().name());
        assert!(page.contains(&row), "docs/design.md lacks: {row}");
    }
}

/// Word for word, in the same order.
#[test]
fn the_first_page_promises_what_the_design_keeps() {
    let [first, design] = ["README.md", "docs/design.md"].map(|page| promises(&read(page)));
    assert_eq!(first, design);
    assert_eq!(first.len(), 10, "{first:?}");
}

fn promises(page: &str) -> Vec<String> {
    let numbered =
        |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
    let (_, section) = page.split_once("\n1. An acknowledged write").expect("it promises");
    let section = format!("1. An acknowledged write{section}");
    section.lines().take_while(numbered).map(str::to_owned).collect()
}
