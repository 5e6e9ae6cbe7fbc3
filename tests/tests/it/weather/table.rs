//! Each weather at each place: what must work in it, what must have a name meanwhile, and what must be true afterwards.
//!
//! Three nodes and a log, and callers that write and read all the time. In the weather a node is killed and started
//! again and another one loses its disk. When it clears everything comes back by itself, and the history oracles judge
//! what callers were told, against copies that equal the log. With `--nocapture` a line for each cell tells what it
//! took.

use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_tests::kafka::Cluster;
use outrigger_tests::weather::Weather;

use self::Played::{Always, Seldom};
use super::run;
use super::scene::Expected::{self, Stalls, Works};
use super::scene::{Place, play};

// Weather, what is to be expected while it lasts between a node and its brokers, between a caller and its node, and how
// often it is played. Between peers everything works in any weather: a copy that does not come from a peer comes from
// the log.
const TABLE: [Row; 10] = [
    row(Weather::Delay(Duration::from_millis(100)), Works, Works, Always),
    row(Weather::Throttle { bytes_per_second: 2_000_000 }, Works, Works, Always),
    row(Weather::Hold, Stalls, Stalls, Seldom),
    row(Weather::Vanish, Stalls, Stalls, Always),
    row(Weather::LoseAnswers, Stalls, Stalls, Always),
    row(Weather::HalfOpen, Works, Works, Always),
    row(Weather::Reset, Stalls, Stalls, Always),
    row(Weather::Refuse, Stalls, Stalls, Always),
    row(Weather::Blackhole { after_bytes: 4_000_000 }, Works, Works, Seldom),
    row(Weather::Forget { idle: Duration::from_secs(2) }, Works, Works, Always),
];

/// The rows that are played while a leader changes.
const ELECTIONS: [usize; 3] = [4, 5, 9];

struct Row {
    weather: Weather,
    at_brokers: Expected,
    at_callers: Expected,
    played: Played,
}

/// In which rounds a row is played.
enum Played {
    /// It is played in `./x test`.
    Always,
    /// It is played in `./x weather`.
    Seldom,
}

const fn row(weather: Weather, at_brokers: Expected, at_callers: Expected, played: Played) -> Row {
    Row { weather, at_brokers, at_callers, played }
}

impl Row {
    /// Whether it is played: `OUTRIGGER_WEATHER` names those that are, by how their names begin, or is `all`.
    fn is_asked_for(&self) -> bool {
        let name = format!("{:?}", self.weather);
        match (std::env::var("OUTRIGGER_WEATHER").as_deref(), &self.played) {
            (Ok("all"), _) | (Err(_), Played::Always) => true,
            (Ok(begin), _) => name.starts_with(begin),
            (Err(_), Played::Seldom) => false,
        }
    }
}

#[test]
fn between_nodes_and_brokers() -> Result<()> {
    let cluster = Cluster::start_behind_proxies(1, &[])?;
    each(&cluster, Place::Brokers, |row| row.at_brokers)
}

#[test]
fn between_callers_and_a_node() -> Result<()> {
    each(Cluster::shared()?, Place::Callers, |row| row.at_callers)
}

#[test]
fn between_peers() -> Result<()> {
    each(Cluster::shared()?, Place::Peers, |_| Expected::Works)
}

/// There are three brokers, and in each weather the leader of a partition changes.
#[test]
fn between_nodes_and_brokers_while_a_leader_changes() -> Result<()> {
    let cluster = Cluster::start_behind_proxies(3, &[])?;
    let rows = ELECTIONS.map(|number| &TABLE[number]);
    play_all(&cluster, Place::Brokers, rows, |row| row.at_brokers)
}

fn each(cluster: &Cluster, place: Place, expected: impl Fn(&Row) -> Expected) -> Result<()> {
    play_all(cluster, place, TABLE.iter(), expected)
}

fn play_all<'a>(
    cluster: &Cluster,
    place: Place,
    rows: impl IntoIterator<Item = &'a Row>,
    expected: impl Fn(&Row) -> Expected,
) -> Result<()> {
    for row in rows.into_iter().filter(|row| row.is_asked_for()) {
        run(async { play(cluster, place, row.weather, expected(row)).await })
            .with_context(|| format!("{:?} at {place:?}", row.weather))?;
    }
    Ok(())
}
