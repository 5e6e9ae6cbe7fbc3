//! Words of every text for people.

use indicatif::HumanCount;

/// What makes another tool's writes arrive; Java's clients do so by themselves.
pub(crate) const MURMUR2: &str = "have it use Java's partitioner, `partitioner=murmur2_random` for all of librdkafka \
                                  (kcat: -X topic.partitioner=murmur2_random), and write those keys again";

/// Returns a count with its noun: `1 record`, `2 records`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", HumanCount(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_everything_else_plural() {
        let told = [0, 1, 2, 1_000].map(|count| counted(count, "row"));
        assert_eq!(told, ["0 rows", "1 row", "2 rows", "1,000 rows"]);
    }
}
