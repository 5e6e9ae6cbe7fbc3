//! RESEED: how far a copy was written into a new topic, in plain text beside the copy.
//!
//! It has exactly these lines, each ended by a line feed; it is replaced as a whole, and removed with the copy:
//! ```text
//! format = 1
//! generation = g3
//! positions = 120 4207
//! cluster = 5L6g3nShT-eMCtK--X86sw
//! topic = 07070707070707070707070707070707
//! partitions = 3
//! rows = 1000
//! after = user/17
//! ```
//! `generation` and `positions` say which copy is written, for a node that ran meanwhile has another; `cluster`,
//! `topic` and `partitions` say into what. The first `rows` rows in key order are acknowledged, up to the key `after`,
//! which is in the form of `outrigger scan`.

use std::path::Path;

use outrigger_core::offset::{Generation, Offset};
use outrigger_core::store::StoreError;
use outrigger_core::topic::Identity;

use super::data_dir::DataDir;
use super::directory::StoreDirectory;
use super::error::{io, refused};
use super::files;
use crate::escape::{escape, unescape};

const FORMAT: &str = "1";

/// Which copy is written, into what, and how much of it has been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub generation: Generation,
    /// Positions of the copy, indexed by partition.
    pub positions: Vec<Offset>,
    /// The topic that is written; its store is the copy's.
    pub target: Identity,
    pub rows: u64,
    /// Key of the last of `rows`.
    pub after: Vec<u8>,
}

impl Progress {
    /// The key behind which writing resumes; none at the beginning.
    pub fn written_to(&self) -> Option<&[u8]> {
        (self.rows > 0).then_some(&self.after[..])
    }

    /// The progress of a reseed; none when no reseed of this store's copies has begun.
    pub fn load(data: &DataDir, store: &str) -> Result<Option<Progress>, StoreError> {
        let path = StoreDirectory::new(data.path(), store).progress();
        let bytes = files::read(&path).map_err(|error| io("read", &path, &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        decode(&bytes, store).map(Some).ok_or_else(|| damaged(&path))
    }

    /// Writes it down; it is durable when this returns.
    pub fn save(&self, data: &DataDir) -> Result<(), StoreError> {
        let path = StoreDirectory::new(data.path(), &self.target.store).progress();
        let saved = files::replace(&path, encode(self).as_bytes());
        saved.map_err(|error| io("write", &path, &error))
    }
}

fn damaged(path: &Path) -> StoreError {
    refused(format!(
        "{} cannot be read: delete it, and begin again with another topic that is new and empty",
        path.display()
    ))
}

fn encode(progress: &Progress) -> String {
    let Progress { generation, positions, target, rows, after } = progress;
    let Identity { cluster, topic, partitions, .. } = target;
    let positions: Vec<String> = positions.iter().map(Offset::to_string).collect();
    format!(
        "format = {FORMAT}\ngeneration = {generation}\npositions = {}\ncluster = {cluster}\ntopic = {topic}\n\
         partitions = {partitions}\nrows = {rows}\nafter = {}\n",
        positions.join(" "),
        escape(after)
    )
}

fn decode(bytes: &[u8], store: &str) -> Option<Progress> {
    let mut lines = std::str::from_utf8(bytes).ok()?.split_inclusive('\n');
    let mut value =
        |name: &str| lines.next()?.strip_suffix('\n')?.strip_prefix(name)?.strip_prefix(" = ");
    if value("format")? != FORMAT {
        return None;
    }
    let generation = value("generation")?.parse().ok()?;
    let positions = value("positions")?.split(' ').map(|number| number.parse().ok().map(Offset));
    let positions = positions.collect::<Option<Vec<_>>>()?;
    let cluster = value("cluster")?.to_owned();
    let topic = value("topic")?.parse().ok()?;
    let partitions = value("partitions")?.parse().ok()?;
    let rows = value("rows")?.parse().ok()?;
    let after = unescape(value("after")?.as_bytes()).ok()?;
    let target = Identity { store: store.to_owned(), cluster, topic, partitions };
    let progress = Progress { generation, positions, target, rows, after };
    // What is not spelt as it would be written was written by nobody.
    (encode(&progress).as_bytes() == bytes).then_some(progress)
}

#[cfg(test)]
mod tests {
    use outrigger_core::topic::TopicId;
    use proptest::prelude::*;

    use super::*;
    use crate::mutation::{mutated, mutations};

    fn progress(rows: u64, after: &[u8]) -> Progress {
        let (store, cluster) = ("notes".to_owned(), "c".to_owned());
        let target = Identity { store, cluster, topic: TopicId([7; 16]), partitions: 3 };
        let positions = vec![Offset(120), Offset(4_207)];
        Progress { generation: Generation(3), positions, target, rows, after: after.to_vec() }
    }

    #[test]
    fn the_text_is_what_an_interrupted_reseed_left() {
        let text = "format = 1\ngeneration = g3\npositions = 120 4207\ncluster = c\n\
            topic = 07070707070707070707070707070707\npartitions = 3\nrows = 2\nafter = a\\xff\n";
        assert_eq!(encode(&progress(2, b"a\xff")), text);
        assert_eq!(decode(text.as_bytes(), "notes"), Some(progress(2, b"a\xff")));
        assert_eq!(decode(&text.as_bytes()[..text.len() - 1], "notes"), None);
        assert_eq!(decode(text.replace("= 1\n", "= 2\n").as_bytes(), "notes"), None);
    }

    #[test]
    fn nothing_written_is_told_from_the_empty_key() {
        assert_eq!(progress(0, b"").written_to(), None);
        assert_eq!(progress(1, b"").written_to(), Some(&b""[..]));
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        assert_eq!(Progress::load(&data, "notes").unwrap(), None);
        std::fs::create_dir(dir.path().join("notes")).unwrap();
        progress(2, b"k").save(&data).unwrap();
        assert_eq!(Progress::load(&data, "notes").unwrap(), Some(progress(2, b"k")));
        std::fs::write(dir.path().join("notes/RESEED"), "mine").unwrap();
        let error = Progress::load(&data, "notes").unwrap_err();
        assert!(error.detail.contains("delete it"), "{error}");
    }

    proptest! {
        #[test]
        fn every_key_comes_back(after: Vec<u8>) {
            let progress = progress(1, &after);
            prop_assert_eq!(decode(encode(&progress).as_bytes(), "notes"), Some(progress));
        }

        #[test]
        fn what_became_of_it_is_refused_or_is_exactly_what_another_would_have(
            after: Vec<u8>, mutations in mutations(),
        ) {
            let text = mutated(encode(&progress(7, &after)).as_bytes(), &mutations);
            if let Some(other) = decode(&text, "notes") {
                prop_assert_eq!(encode(&other).into_bytes(), text);
            }
        }
    }
}
