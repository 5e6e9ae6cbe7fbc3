//! Keyed randomness: what is drawn at one place does not depend on what was drawn elsewhere.
//!
//! A [`Dice`] is a function of seed, site and two numbers, so removing one operation from a plan shifts no
//! other draw. The mixing function is splitmix64's finalizer (Steele, Lea, Flood 2014).

use std::time::Duration;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The draws of one place.
#[derive(Clone, Debug)]
pub struct Dice {
    key: u64,
    drawn: u64,
}

impl Dice {
    pub fn at(seed: u64, site: &str, a: u64, b: u64) -> Dice {
        let site =
            site.bytes().fold(seed, |key, byte| mix(key ^ u64::from(byte)).wrapping_add(GOLDEN));
        Dice { key: mix(mix(site ^ a).wrapping_add(GOLDEN) ^ b), drawn: 0 }
    }

    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)))
    }

    /// A number in `0..end`; 0 when that range is empty.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Whether it happens, once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    pub fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).expect("lengths fit 64 bits");
        usize::try_from(self.below(len)).expect("below a usize")
    }

    pub fn small(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).expect("below a u32")
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// A number in `from..=to`, of which every order of magnitude is as likely as another; `from` is above 0.
    pub fn scaled(&mut self, from: u64, to: u64) -> u64 {
        let octaves = u64::from((to / from).max(1).ilog2());
        let low = from << self.below(octaves + 1);
        self.between(low, (low * 2 - 1).min(to))
    }

    /// A duration in `0..=up_to`, in whole microseconds.
    pub fn latency(&mut self, up_to: Duration) -> Duration {
        let micros = u64::try_from(up_to.as_micros()).expect("a latency is short");
        Duration::from_micros(self.below(micros + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_draws_the_same_whatever_was_drawn_elsewhere() {
        let mut here = Dice::at(7, "here", 1, 2);
        let first = [here.draw(), here.draw()];
        Dice::at(7, "elsewhere", 1, 2).draw();
        let mut again = Dice::at(7, "here", 1, 2);
        assert_eq!(first, [again.draw(), again.draw()]);
    }

    #[test]
    fn seed_site_and_numbers_all_matter() {
        let draws = [
            Dice::at(7, "here", 1, 2).draw(),
            Dice::at(8, "here", 1, 2).draw(),
            Dice::at(7, "there", 1, 2).draw(),
            Dice::at(7, "here", 2, 2).draw(),
            Dice::at(7, "here", 1, 1).draw(),
        ];
        let distinct: std::collections::BTreeSet<_> = draws.iter().collect();
        assert_eq!(distinct.len(), draws.len());
    }

    #[test]
    fn scaled_draws_stay_in_range_and_reach_every_magnitude() {
        let mut dice = Dice::at(1, "scaled", 0, 0);
        let draws: Vec<u64> = (0..1_000).map(|_| dice.scaled(5, 50_000)).collect();
        assert!(draws.iter().all(|draw| (5..=50_000).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 20) && draws.iter().any(|draw| *draw > 20_000));
    }
}
