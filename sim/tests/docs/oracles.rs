//! The table of promises and oracles in `docs/design.md` names every oracle of the program, with the files that judge it.

use outrigger_sim::oracle::OracleId;

use super::{cells, files, quoted, read, root, stem};

const FOLDER: &str = "sim/src";

/// Number of the oracle, and the files that its row names.
fn rows() -> Vec<(String, Vec<String>)> {
    let page = read("docs/design.md");
    let rows = page.lines().filter_map(cells).filter(|row| row.len() == 5);
    let oracles = rows.filter(|row| row[1].starts_with('O') && row[1] != "oracle");
    oracles.map(|row| (row[1].to_owned(), quoted(row[4]).map(str::to_owned).collect())).collect()
}

#[test]
fn every_file_of_the_table_exists() {
    let rows = rows();
    assert!(rows.len() > 15, "{rows:?}");
    for (oracle, files) in rows {
        assert!(!files.is_empty(), "{oracle} has no file");
        for file in files {
            assert!(root().join(FOLDER).join(&file).is_file(), "{oracle}: there is no {file}");
        }
    }
}

#[test]
fn every_file_that_judges_is_in_the_row_of_its_oracle() {
    let rows = rows();
    for folder in ["oracle", "history"] {
        for path in files(&format!("{FOLDER}/{folder}"), ".rs") {
            let source = read(&path);
            let Some((oracle, _)) =
                source.strip_prefix("//! ").and_then(|doc| doc.split_once([':', ',']))
            else {
                continue;
            };
            let Some((_, files)) = rows.iter().find(|(row, _)| row == oracle) else { continue };
            let file = format!("{folder}/{}.rs", stem(&path));
            assert!(files.contains(&file), "the row of {oracle} lacks {file}");
        }
    }
}

/// The row is in the words of the program, and has the class that decides the exit code.
#[test]
fn every_oracle_has_a_row() {
    let page = read("docs/design.md");
    for oracle in OracleId::ALL {
        let row = format!("| {oracle} | {} | {} |", oracle.meaning(), oracle.class().name());
        assert!(page.contains(&row), "docs/design.md lacks: {row}");
    }
    assert_eq!(rows().len(), OracleId::ALL.len());
}

/// The promises are the same word for word, in the same order.
#[test]
fn the_first_page_promises_what_the_design_keeps() {
    let [first, design] = ["README.md", "docs/design.md"].map(|page| promises(&read(page)));
    assert_eq!(first, design);
    assert_eq!(first.len(), 11, "{first:?}");
}

fn promises(page: &str) -> Vec<String> {
    let numbered =
        |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
    let (_, section) = page.split_once("\n1. An acknowledged write").expect("it promises");
    let section = format!("1. An acknowledged write{section}");
    section.lines().take_while(numbered).map(str::to_owned).collect()
}
