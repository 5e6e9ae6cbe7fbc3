//! What happens next: a function of the seed and of how much has happened.

use std::time::Duration;

use outrigger_sim::dice::Dice;

use crate::weather::Weather;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The weather at a place, for this long.
    Weather(Place, Weather, Duration),
    /// The node is killed (SIGKILL) and started.
    Kill(Restarted),
    /// The node is ended with SIGTERM and started.
    Stop(Restarted),
    /// The node is killed, loses its disk, and is started.
    Wipe(Restarted),
    /// The broker that leads is suspended until another one does.
    ChangeLeader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Brokers,
    Callers,
    Peers,
}

/// A node that is restarted: the first one never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restarted {
    Second,
    Third,
}

impl Restarted {
    pub(super) fn number(self) -> usize {
        match self {
            Restarted::Second => 1,
            Restarted::Third => 2,
        }
    }
}

impl Event {
    pub(super) fn draw(seed: u64, number: u64) -> Event {
        let mut dice = Dice::at(seed, "soak", number, 0);
        let node = [Restarted::Second, Restarted::Third][dice.index(2)];
        match dice.below(8) {
            0 => Event::Kill(node),
            1 => Event::Stop(node),
            2 => Event::Wipe(node),
            3 => Event::ChangeLeader,
            _ => {
                let place = [Place::Brokers, Place::Callers, Place::Peers][dice.index(3)];
                let lasts = Duration::from_secs(dice.between(2, 20));
                Event::Weather(place, weather(&mut dice), lasts)
            }
        }
    }
}

fn weather(dice: &mut Dice) -> Weather {
    match dice.below(10) {
        0 => Weather::Delay(Duration::from_millis(dice.between(5, 400))),
        1 => Weather::Throttle { bytes_per_second: 200_000 + dice.small(2_000_000) },
        2 => Weather::Hold,
        3 => Weather::Vanish,
        4 => Weather::LoseAnswers,
        5 => Weather::HalfOpen,
        6 => Weather::Reset,
        7 => Weather::Refuse,
        8 => Weather::Blackhole { after_bytes: dice.between(100, 3_000_000) },
        _ => Weather::Forget { idle: Duration::from_millis(dice.between(500, 5_000)) },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Event;

    #[test]
    fn a_seed_is_a_sequence_in_which_everything_happens() {
        let events = |seed| (0..500).map(move |number| Event::draw(seed, number));
        assert!(events(7).eq(events(7)));
        let words = events(7).map(|event| {
            let text = format!("{event:?}");
            text.split(['{', '(', ')']).take(2).collect::<Vec<_>>().join(" ")
        });
        let kinds: BTreeSet<String> = words.collect();
        assert!(kinds.len() >= 8, "{kinds:?}");
    }
}
