//! What a newcomer is told first: where the nodes are, and what to do with them.

use std::env;
use std::fmt::Write as _;
use std::path::Path;

use super::cluster::Cluster;

const INFALLIBLE: &str = "a String takes every text";

/// The address that client commands use when they are told none.
const SERVER_DEFAULT: &str = "http://127.0.0.1:7400";

pub(super) fn text(data: &Path, cluster: &Cluster) -> String {
    let urls: Vec<String> = cluster.numbers().map(|number| cluster.node(number).url()).collect();
    let (first, last) = (&urls[0], &urls[urls.len() - 1]);
    let count = urls.len();
    let mut text = format!(
        "{count} nodes in this process, on one log that stands in for Kafka; both are kept in\n  {}\n\n",
        data.display()
    );
    for (number, url) in cluster.numbers().zip(&urls) {
        writeln!(text, "  node {number}  {url}").expect(INFALLIBLE);
    }
    text.push_str("\nIn another terminal:\n");
    if let Some(alias) = alias() {
        writeln!(text, "  {alias}").expect(INFALLIBLE);
    }
    if first != SERVER_DEFAULT {
        writeln!(text, "  export OUTRIGGER_SERVER={first}").expect(INFALLIBLE);
    }
    let commands = [
        "outrigger put greeting hello".to_owned(),
        format!("outrigger get greeting --level latest --server {last}"),
        "outrigger fill 200000 --overwrites 100000 --deletes 20000".to_owned(),
        "outrigger scan --limit 5".to_owned(),
        "outrigger delete greeting".to_owned(),
        "outrigger watch --from now".to_owned(),
        format!("outrigger status --follow --server {last}"),
    ];
    for command in commands {
        writeln!(text, "  {command}").expect(INFALLIBLE);
    }
    write!(
        text,
        "\nHere: `wipe {count}`, then `start {count}`, while that last one runs; `help` for more.\n"
    )
    .expect(INFALLIBLE);
    text
}

/// Returns the command that lets those above run as they are printed, where this binary is not on the path.
pub(crate) fn alias() -> Option<String> {
    let this = env::current_exe().ok()?.canonicalize().ok()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|directory| directory.join("outrigger"))
        .find(|candidate| candidate.is_file());
    let same = found.and_then(|found| found.canonicalize().ok()).is_some_and(|found| found == this);
    (!same).then(|| format!("alias outrigger='{}'", this.display()))
}
