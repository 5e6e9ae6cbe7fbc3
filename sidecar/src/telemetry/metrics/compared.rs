//! What came of comparing copies with those of peers.

use std::time::{SystemTime, UNIX_EPOCH};

use ::metrics::{counter, gauge};

use super::float;
use super::table::{VERIFIED, VERIFY_DIFFER, VERIFY_EQUAL_AT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Equal,
    Differs,
    /// There was no comparison.
    Failed,
}

impl Compared {
    const ALL: [Compared; 3] = [Compared::Equal, Compared::Differs, Compared::Failed];

    fn label(self) -> &'static str {
        match self {
            Compared::Equal => "equal",
            Compared::Differs => "differs",
            Compared::Failed => "failed",
        }
    }
}

/// A store's copy is going to be compared.
pub fn begin_compared(store: &str) {
    for outcome in Compared::ALL {
        counter!(VERIFIED, "store" => store.to_owned(), "outcome" => outcome.label()).increment(0);
    }
    gauge!(VERIFY_EQUAL_AT, "store" => store.to_owned()).set(f64::NAN);
    gauge!(VERIFY_DIFFER, "store" => store.to_owned()).set(0.0);
}

/// A store's copy was compared. `differ`: how many peers differed when they were last compared with.
pub fn compared(store: &str, outcome: Compared, differ: usize) {
    counter!(VERIFIED, "store" => store.to_owned(), "outcome" => outcome.label()).increment(1);
    if outcome == Compared::Equal {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!(VERIFY_EQUAL_AT, "store" => store.to_owned()).set(now.as_secs_f64());
    }
    let differ = u64::try_from(differ).expect("a count fits 64 bits");
    gauge!(VERIFY_DIFFER, "store" => store.to_owned()).set(float(differ));
}
