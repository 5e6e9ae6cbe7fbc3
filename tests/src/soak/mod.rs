//! Hours of a site in minutes: three nodes, callers that never stop, restarts, lost disks, elections and changing
//! weather, drawn from a seed. It is judged by the history oracles, by copies that equal the log, and by what the node
//! that never restarts takes of its machine, which must be flat at the end. `./x soak` runs it.

mod events;
mod flat;
mod site;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use self::events::Event;
use self::site::Site;
use crate::writers::Writes;

pub const USAGE: &str = "Usage: ./x soak [MINUTES] [--seed N]
  MINUTES   2 to 1440 (default 30)
  --seed N  the same restarts and weather again";

const MINUTES: u64 = 30;
const MINUTES_MAX: u64 = 1_440;

/// In a shorter run there are no quarters to compare.
const MINUTES_MIN: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub minutes: u64,
    pub seed: u64,
}

impl Asked {
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
        let mut asked = Asked { minutes: MINUTES, seed: now };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seed" => asked.seed = args.next().context(USAGE)?.parse().context(USAGE)?,
                minutes => asked.minutes = minutes.parse().context(USAGE)?,
            }
        }
        ensure!((MINUTES_MIN..=MINUTES_MAX).contains(&asked.minutes), "{USAGE}");
        Ok(asked)
    }
}

pub async fn run(Asked { minutes, seed }: Asked) -> Result<()> {
    println!("soak of {minutes} minutes, seed {seed}");
    let mut site = Site::open().await?;
    let (writers, began) = (site.writers(), Instant::now());
    let lasts = Duration::from_secs(60 * minutes);
    let mut number = 0;
    while began.elapsed() < lasts {
        let event = Event::draw(seed, number);
        number += 1;
        let outcome = site.meet(event).await;
        let at = began.elapsed();
        let back = outcome.with_context(|| format!("{event:?} at {at:.0?}, seed {seed}"))?;
        println!("{:>6.0} s  {event:?}: all are back after {back:.1?}", at.as_secs_f64());
    }
    let history = writers.stop().await?;
    let writes = Writes::of(&history);
    println!("{number} events; {writes:?}");
    site.judge(&history).await.with_context(|| format!("seed {seed}"))?;
    println!("copies, log and what callers were told agree");
    site.flat()
}

#[cfg(test)]
mod tests {
    use super::Asked;

    fn parse(line: &str) -> anyhow::Result<Asked> {
        Asked::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn minutes_and_seed_are_all_that_is_asked() {
        assert_eq!(parse("").unwrap().minutes, 30);
        assert_eq!(parse("5 --seed 7").unwrap(), Asked { minutes: 5, seed: 7 });
        for line in ["1", "2000", "five", "--seed", "--seed x", "-h"] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains("Usage"), "{line}: {error}");
        }
    }
}
