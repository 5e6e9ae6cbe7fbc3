//! Which keys a call is about.

/// Keys in the order of their unsigned bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys<'a> {
    All,
    One(&'a [u8]),
    /// From `start` to before `end`; without an end to the last key.
    Range {
        start: &'a [u8],
        end: Option<&'a [u8]>,
    },
}

impl Keys<'_> {
    /// Whether all of them begin with `prefix`. Of a range its ends are asked, whatever keys there are between them.
    pub fn begin_with(self, prefix: &[u8]) -> bool {
        if prefix.is_empty() {
            return true;
        }
        match self {
            Keys::All => false,
            Keys::One(key) => key.starts_with(prefix),
            Keys::Range { start, end } => {
                start.starts_with(prefix)
                    && end.is_some_and(|end| end.starts_with(prefix) || follows(end, prefix))
            }
        }
    }
}

/// Whether `end` is the first key behind all that begin with `prefix`.
fn follows(end: &[u8], prefix: &[u8]) -> bool {
    let Some(last) = prefix.iter().rposition(|byte| *byte != u8::MAX) else { return false };
    let (before, raised) = (&prefix[..last], prefix[last] + 1);
    end.strip_prefix(before) == Some(&[raised])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range<'a>(start: &'a [u8], end: Option<&'a [u8]>) -> Keys<'a> {
        Keys::Range { start, end }
    }

    #[test]
    fn a_range_may_end_with_the_prefix_and_not_behind_it() {
        let table = [
            (range(b"user/", Some(b"user0")), true),
            (range(b"user/", Some(b"user/zz")), true),
            (range(b"user/a", Some(b"user/b")), true),
            (range(b"user/", Some(b"user0\0")), false),
            (range(b"user/", Some(b"user1")), false),
            (range(b"user/", None), false),
            (range(b"user", Some(b"user/a")), false),
            (range(b"", Some(b"user0")), false),
            (range(b"zebra", Some(b"zebra")), false),
            (Keys::One(b"user/"), true),
            (Keys::One(b"user"), false),
            (Keys::All, false),
        ];
        for (keys, inside) in table {
            assert_eq!(keys.begin_with(b"user/"), inside, "{keys:?}");
            assert!(keys.begin_with(b""), "{keys:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_of_a_range_that_is_inside_begins_otherwise(
            prefix in proptest::collection::vec(0xfd_u8..=0xff, 1..3),
            start in proptest::collection::vec(0xfc_u8..=0xff, 0..4),
            end in proptest::option::of(proptest::collection::vec(0xfc_u8..=0xff, 0..4)),
            key in proptest::collection::vec(0xfc_u8..=0xff, 0..5),
        ) {
            let keys = Keys::Range { start: &start, end: end.as_deref() };
            let holds = key >= start && end.as_ref().is_none_or(|end| key < *end);
            if keys.begin_with(&prefix) && holds {
                prop_assert!(key.starts_with(&prefix));
            }
        }
    }
}
