//! Names of stores and topics: legal by construction.
//!
//! A store's name is also the name of its directory, and follows the rule of Kafka's topics.

use std::fmt;

/// Kafka's bound (`Topic.MAX_NAME_LENGTH`); a directory name may have 255 bytes.
const NAME_BYTES_MAX: usize = 249;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreName(String);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it has {length} bytes, {NAME_BYTES_MAX} are allowed")]
    TooLong { length: usize },
    #[error("`.` and `..` are not allowed")]
    Dots,
    #[error("`{character}` is not allowed: use letters, digits, `.`, `_` and `-` of ASCII")]
    Character { character: char },
}

impl StoreName {
    pub fn parse(name: &str) -> Result<StoreName, NameError> {
        check(name).map(|()| StoreName(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicName {
    pub fn parse(name: &str) -> Result<TopicName, NameError> {
        check(name).map(|()| TopicName(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { length: name.len() });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    match name.chars().find(|&character| !legal(character)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_legal_names_are_accepted() {
        for name in ["a", "Orders.v2_eu-1", "...", &"x".repeat(249)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_name_that_kafka_or_the_file_system_would_refuse_is_refused_here() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(&"x".repeat(250)), Err(NameError::TooLong { length: 250 }));
        assert_eq!(check("."), Err(NameError::Dots));
        assert_eq!(check(".."), Err(NameError::Dots));
        for (name, character) in [("a/b", '/'), ("a b", ' '), ("käse", 'ä'), ("a\n", '\n')] {
            assert_eq!(check(name), Err(NameError::Character { character }), "{name:?}");
        }
    }
}
