//! IDENTITY: what the copies of a store belong to, in plain text for people with an editor.
//!
//! It has exactly these lines, each ended by a line feed; it is written once, never changed:
//! ```text
//! format = 1
//! store = orders
//! cluster = 5L6g3nShT-eMCtK--X86sw
//! topic = 07070707070707070707070707070707
//! partitions = 3
//! ```

use outrigger_core::topic::Identity;

const FORMAT: &str = "1";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("it has format {0}, and this version knows {FORMAT} only")]
    Format(String),
    #[error("its line {0:?} is not what it should be")]
    Line(&'static str),
    #[error("it is not spelt as it was written")]
    Spelling,
    #[error("a line break is in the name of {0}")]
    LineBreak(&'static str),
}

pub(super) fn encode(identity: &Identity) -> Result<String, IdentityError> {
    let Identity { store, cluster, topic, partitions } = identity;
    for (name, value) in [("store", store), ("cluster", cluster)] {
        if value.contains(char::is_control) {
            return Err(IdentityError::LineBreak(name));
        }
    }
    Ok(format!(
        "format = {FORMAT}\nstore = {store}\ncluster = {cluster}\ntopic = {topic}\npartitions = {partitions}\n"
    ))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
    let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Line("format"))?;
    let mut lines = text.split_inclusive('\n');
    let format = value(lines.next(), "format")?;
    if format != FORMAT {
        return Err(IdentityError::Format(format.to_owned()));
    }
    let store = value(lines.next(), "store")?.to_owned();
    let cluster = value(lines.next(), "cluster")?.to_owned();
    let topic = value(lines.next(), "topic")?.parse().map_err(|_| IdentityError::Line("topic"))?;
    let partitions = value(lines.next(), "partitions")?
        .parse()
        .map_err(|_| IdentityError::Line("partitions"))?;
    if lines.next().is_some() {
        return Err(IdentityError::Line("after partitions"));
    }
    let identity = Identity { store, cluster, topic, partitions };
    // A number with a sign or zeros before it, or a digit in upper case, was written by nobody.
    if encode(&identity)? == text { Ok(identity) } else { Err(IdentityError::Spelling) }
}

fn value<'a>(line: Option<&'a str>, name: &'static str) -> Result<&'a str, IdentityError> {
    line.and_then(|line| line.strip_suffix('\n')?.strip_prefix(name)?.strip_prefix(" = "))
        .ok_or(IdentityError::Line(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{mutated, mutations};
    use outrigger_core::topic::TopicId;
    use proptest::prelude::*;

    const GOLDEN: &str = "format = 1\nstore = orders\ncluster = 5L6g3nShT-eMCtK--X86sw\n\
        topic = 07070707070707070707070707070707\npartitions = 3\n";

    fn identity() -> Identity {
        let cluster = "5L6g3nShT-eMCtK--X86sw".to_owned();
        Identity { store: "orders".into(), cluster, topic: TopicId([7; 16]), partitions: 3 }
    }

    #[test]
    fn the_text_is_the_one_that_older_copies_have() {
        assert_eq!(encode(&identity()).unwrap(), GOLDEN);
        assert_eq!(decode(GOLDEN.as_bytes()).unwrap(), identity());
    }

    #[test]
    fn names_with_spaces_and_signs_come_back() {
        let odd = Identity { store: " a = b ".into(), cluster: "".into(), ..identity() };
        assert_eq!(decode(encode(&odd).unwrap().as_bytes()).unwrap(), odd);
        let broken = Identity { store: "a\nb".into(), ..identity() };
        assert_eq!(encode(&broken), Err(IdentityError::LineBreak("store")));
    }

    #[test]
    fn what_nobody_would_write_is_refused_even_if_it_could_be_read() {
        for (written, other) in [
            ("partitions = 3", "partitions = +3"),
            ("partitions = 3", "partitions = 03"),
            ("topic = 07", "topic = 0A"),
            ("store = orders", "store = orders\r"),
        ] {
            let text = GOLDEN.replace(written, other);
            assert!(decode(text.as_bytes()).is_err(), "{other:?}");
        }
    }

    #[test]
    fn another_format_and_every_cut_are_refused() {
        let newer = GOLDEN.replace("format = 1", "format = 2");
        assert_eq!(decode(newer.as_bytes()), Err(IdentityError::Format("2".into())));
        for cut in 0..GOLDEN.len() {
            assert!(decode(&GOLDEN.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode(format!("{GOLDEN}more = 1\n").as_bytes()).is_err());
    }

    fn identities() -> impl Strategy<Value = Identity> {
        ("\\PC{0,12}", "\\PC{0,30}", any::<[u8; 16]>(), any::<u32>()).prop_map(
            |(store, cluster, topic, partitions)| Identity {
                store,
                cluster,
                topic: TopicId(topic),
                partitions,
            },
        )
    }

    proptest! {
        #[test]
        fn what_became_of_it_is_refused_or_is_exactly_what_another_would_have(
            identity in identities(), mutations in mutations(),
        ) {
            let text = encode(&identity).unwrap();
            prop_assert_eq!(decode(text.as_bytes()), Ok(identity));
            let text = mutated(text.as_bytes(), &mutations);
            if let Ok(other) = decode(&text) {
                prop_assert_eq!(encode(&other).map(String::into_bytes), Ok(text));
            }
        }
    }
}
