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
