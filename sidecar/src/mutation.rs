//! For tests: bytes as they were written, and what may have become of them since.

use proptest::prelude::*;
use proptest::sample::Index;

/// What happens to bytes on a disk, on a network, or in somebody's editor.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    /// A part comes a second time.
    Repeat(Index, usize),
}

/// The configuration of cases that wait for a disk: an eighth of what others play.
pub(crate) fn fewer() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(8), max_shrink_iters: 100, ..usual }
}

/// Makes one to three mutations.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let one = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        at().prop_map(Mutation::Cut),
        (at(), 1..20_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (at(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), 1..40_usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ];
    prop::collection::vec(one, 1..4)
}

pub(crate) fn mutated(bytes: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        mutation.happen(&mut bytes);
    }
    bytes
}

impl Mutation {
    fn happen(&self, bytes: &mut Vec<u8>) {
        let (Mutation::Set(at, _)
        | Mutation::Flip(at, _)
        | Mutation::Cut(at)
        | Mutation::Remove(at, _)
        | Mutation::Insert(at, _)
        | Mutation::Repeat(at, _)) = self;
        let at = at.index(bytes.len() + 1);
        let up_to = |length: usize| (at + length).min(bytes.len());
        match self {
            Mutation::Set(_, byte) => {
                if let Some(is) = bytes.get_mut(at) {
                    *is = *byte;
                }
            }
            Mutation::Flip(_, bit) => {
                if let Some(is) = bytes.get_mut(at) {
                    *is ^= 1 << bit;
                }
            }
            Mutation::Cut(_) => bytes.truncate(at),
            Mutation::Remove(_, length) => drop(bytes.drain(at..up_to(*length))),
            Mutation::Insert(_, inserted) => drop(bytes.splice(at..at, inserted.iter().copied())),
            Mutation::Repeat(_, length) => {
                let again = bytes[at..up_to(*length)].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}
