//! What a peer announces, checked before anything of it is used: a peer that lies must not write elsewhere, nor more.

use std::collections::BTreeSet;

use outrigger_core::topic::{Identity, TopicId};
use outrigger_proto::limits::{CHECKPOINT_FILES_MAX, CHECKPOINT_NAME_BYTES_MAX};
use outrigger_proto::peer::v1::{self, CheckpointHeader, CopyIdentity};

use crate::escape::escape;
use crate::rocks::{CheckpointFile, FORMAT};

/// Bytes of a name that a peer says, in what is told of it.
const TOLD_BYTES_MAX: usize = 256;

/// A checkpoint of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Whose id it is: another peer may have the same id.
    pub(super) peer: String,
    pub(super) checkpoint: String,
    pub(super) files: Vec<CheckpointFile>,
    /// Smallest `delete.retention.ms` that its giver told of; `u64::MAX`: it told of none.
    pub(super) delete_retention_ms_min: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("its copy belongs to {is}, not to {wanted}")]
    Foreign { is: String, wanted: String },
    #[error("its copy has format {0}, and this version knows {FORMAT} only")]
    Format(u32),
    #[error("it announces {0} files, and a copy has 1 to {CHECKPOINT_FILES_MAX}")]
    Files(usize),
    #[error("it announces a file {}, which is no name of a copy's file", told(.0))]
    Name(String),
    #[error("it announces the file {0:?} twice")]
    Twice(String),
    #[error("it announces more bytes than there can be")]
    Bytes,
    #[error("its checkpoint has no fitting id")]
    Id,
}

/// What a peer said, made short enough, and without what moves a cursor.
pub(crate) fn told(said: &str) -> String {
    let end = said.floor_char_boundary(TOLD_BYTES_MAX);
    escape(&said.as_bytes()[..end])
}

impl Manifest {
    pub(super) fn check(
        peer: &str,
        header: CheckpointHeader,
        wanted: &Identity,
    ) -> Result<Manifest, ManifestError> {
        let identity = identity(header.identity.unwrap_or_default());
        if identity.as_ref() != Some(wanted) {
            let is = identity.map_or("nothing that can be named".to_owned(), |is| is.to_string());
            return Err(ManifestError::Foreign { is, wanted: wanted.to_string() });
        }
        if header.format != FORMAT {
            return Err(ManifestError::Format(header.format));
        }
        if !is_id(&header.checkpoint) {
            return Err(ManifestError::Id);
        }
        let (peer, checkpoint) = (peer.to_owned(), header.checkpoint);
        let files = files(header.files)?;
        let delete_retention_ms_min = header.delete_retention_ms_min.unwrap_or(u64::MAX);
        Ok(Manifest { peer, checkpoint, files, delete_retention_ms_min })
    }

    /// The manifest as it was written down here; none where a name or a size is no longer one that would be accepted.
    pub(super) fn kept(
        peer: String,
        checkpoint: String,
        kept: Vec<(String, u64)>,
        delete_retention_ms_min: u64,
    ) -> Option<Manifest> {
        let file = |(name, bytes)| v1::CheckpointFile { name, bytes };
        let files = files(kept.into_iter().map(file).collect()).ok()?;
        let manifest = Manifest { peer, checkpoint, files, delete_retention_ms_min };
        is_id(&manifest.checkpoint).then_some(manifest)
    }

    /// Whether both are of the same checkpoint: what came of one is a part of the other.
    pub(super) fn is_of_the_same(&self, other: &Manifest) -> bool {
        let Manifest { peer, checkpoint, files, delete_retention_ms_min: _ } = other;
        (&self.peer, &self.checkpoint, &self.files) == (peer, checkpoint, files)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// None where a name is longer than any may be: it would be told.
fn identity(copy: CopyIdentity) -> Option<Identity> {
    let topic = TopicId(copy.topic_id.as_ref().try_into().ok()?);
    let CopyIdentity { store, cluster_id, partitions, .. } = copy;
    let short = [&store, &cluster_id].into_iter().all(|name| name.len() <= TOLD_BYTES_MAX);
    short.then_some(Identity { store, cluster: cluster_id, topic, partitions })
}

fn files(announced: Vec<v1::CheckpointFile>) -> Result<Vec<CheckpointFile>, ManifestError> {
    if !(1..=CHECKPOINT_FILES_MAX).contains(&announced.len()) {
        return Err(ManifestError::Files(announced.len()));
    }
    let (mut names, mut total) = (BTreeSet::new(), 0_u64);
    let mut files = Vec::with_capacity(announced.len());
    for v1::CheckpointFile { name, bytes } in announced {
        if !is_of_a_copy(&name) {
            return Err(ManifestError::Name(name));
        }
        if !names.insert(name.clone()) {
            return Err(ManifestError::Twice(name));
        }
        total = total.checked_add(bytes).ok_or(ManifestError::Bytes)?;
        files.push(CheckpointFile { name, bytes });
    }
    Ok(files)
}

fn is_id(id: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=CHECKPOINT_NAME_BYTES_MAX).contains(&id.len()) && id.bytes().all(legal)
}

/// Whether a copy may have such a file: what RocksDB makes, and FORMAT. Any other could mean something where it is
/// written to.
fn is_of_a_copy(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered =
        |(kind, text): (&str, &str)| ["MANIFEST", "OPTIONS"].contains(&kind) && number(text);
    let data = |(text, kind): (&str, &str)| ["sst", "blob", "log"].contains(&kind) && number(text);
    name.len() <= CHECKPOINT_NAME_BYTES_MAX
        && (["CURRENT", "FORMAT", "IDENTITY"].contains(&name)
            || name.split_once('-').is_some_and(numbered)
            || name.split_once('.').is_some_and(data))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::mutation::{mutated, mutations};

    pub(in crate::peer) fn wanted() -> Identity {
        let topic = TopicId([7; 16]);
        Identity { store: "notes".into(), cluster: "c".into(), topic, partitions: 1 }
    }

    pub(in crate::peer) fn header(files: &[(&str, u64)]) -> CheckpointHeader {
        let file = |(name, bytes): &(&str, u64)| v1::CheckpointFile {
            name: (*name).to_owned(),
            bytes: *bytes,
        };
        CheckpointHeader {
            checkpoint: "1-0".to_owned(),
            identity: Some(CopyIdentity {
                store: "notes".to_owned(),
                cluster_id: "c".to_owned(),
                topic_id: vec![7; 16].into(),
                partitions: 1,
            }),
            format: FORMAT,
            files: files.iter().map(file).collect(),
            delete_retention_ms_min: Some(604_800_000),
        }
    }

    fn check(header: CheckpointHeader) -> Result<Manifest, ManifestError> {
        Manifest::check("http://b:1", header, &wanted())
    }

    #[test]
    fn the_files_of_a_database_are_taken() {
        let names = [
            "000012.sst",
            "000013.blob",
            "000011.log",
            "CURRENT",
            "FORMAT",
            "IDENTITY",
            "MANIFEST-000005",
            "OPTIONS-000007",
        ];
        let files: Vec<_> = names.into_iter().map(|name| (name, 5)).collect();
        let manifest = check(header(&files)).unwrap();
        assert_eq!((manifest.files.len(), manifest.bytes()), (8, 40));
    }

    #[test]
    fn no_file_is_written_outside_of_its_directory_or_over_our_own() {
        let long = format!("{}.sst", "1".repeat(61));
        for name in [
            "",
            "..",
            ".",
            "../x",
            "../1.sst",
            "/1.sst",
            "a/1.sst",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "a\0b",
            "ä",
            ".x",
            "TRANSFER",
            "POSITION.new",
            "OWNER",
            "WHY",
            "LOCK",
            "CURRENT.new",
            ".sst",
            "1.sst.sst",
            "1.txt",
            "MANIFEST-",
            "MANIFEST-1-2",
            &long,
        ] {
            let refused = check(header(&[(name, 1)]));
            assert_eq!(refused, Err(ManifestError::Name(name.to_owned())));
        }
        let twice = check(header(&[("1.sst", 1), ("1.sst", 1)]));
        assert_eq!(twice, Err(ManifestError::Twice("1.sst".to_owned())));
        assert_eq!(check(header(&[("1.sst", u64::MAX), ("2.sst", 1)])), Err(ManifestError::Bytes));
        assert_eq!(check(header(&[])), Err(ManifestError::Files(0)));
    }

    #[test]
    fn a_copy_of_anything_else_is_refused_by_both_names() {
        let mut other = header(&[("1.sst", 1)]);
        other.identity.as_mut().unwrap().cluster_id = "d".to_owned();
        let text = check(other).unwrap_err().to_string();
        assert!(text.contains("cluster \"d\"") && text.contains("cluster \"c\""), "{text}");
        let nameless = CheckpointHeader { identity: None, ..header(&[("1.sst", 1)]) };
        assert!(matches!(check(nameless), Err(ManifestError::Foreign { .. })));
        let mut endless = header(&[("1.sst", 1)]);
        endless.identity.as_mut().unwrap().store = "x".repeat(1 << 20);
        let text = check(endless).unwrap_err().to_string();
        assert!(text.contains("nothing that can be named") && text.len() < 1_000, "{}", text.len());
        let newer = CheckpointHeader { format: FORMAT + 1, ..header(&[("1.sst", 1)]) };
        assert_eq!(check(newer), Err(ManifestError::Format(FORMAT + 1)));
    }

    #[test]
    fn what_a_peer_says_is_told_short_and_on_one_line() {
        assert_eq!(told("a\nb\u{1b}[2J"), "a\\nb\\x1b[2J");
        assert_eq!(told(&"\u{e4}".repeat(1_000)), "\u{e4}".repeat(128));
        let mut nameless = header(&[("1.sst", 1)]);
        nameless.checkpoint = "../1".to_owned();
        assert_eq!(check(nameless), Err(ManifestError::Id));
    }

    fn names() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "..", ".", "/", "\\", "\0", "-", "1", "000012", "sst", "log", "CURRENT", "MANIFEST",
            "OWNER", "TRANSFER", "POSITION", "new", "WHY", "LOCK", "FORMAT",
        ]);
        prop_oneof![
            prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat()),
            "[0-9]{1,6}\\.(sst|blob|log)",
            any::<String>(),
        ]
    }

    /// Asserts that only what may be is written to: a name in its directory, which is none of ours.
    fn assert_harmless(manifest: &Manifest) {
        let mut seen = BTreeSet::new();
        for CheckpointFile { name, .. } in &manifest.files {
            let components: Vec<_> = Path::new(name).components().collect();
            assert!(matches!(components[..], [Component::Normal(_)]), "{name:?}");
            assert!(name.len() <= CHECKPOINT_NAME_BYTES_MAX && seen.insert(name), "{name:?}");
            let ours = ["TRANSFER", "POSITION", "OWNER", "WHY", "LOCK", "CURRENT.new"];
            assert!(!ours.contains(&name.as_str()), "{name:?}");
        }
        let bytes = manifest.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.bytes));
        assert_eq!(bytes, Some(manifest.bytes()));
    }

    proptest! {
        #[test]
        fn whatever_is_announced_is_refused_in_a_line_or_harmless(
            files in prop::collection::vec((names(), any::<u64>()), 0..4), mutations in mutations(),
        ) {
            let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
            let announced = header(&files);
            let bytes = mutated(&announced.encode_to_vec(), &mutations);
            for header in [Some(announced), CheckpointHeader::decode(&bytes[..]).ok()] {
                match header.map(check) {
                    Some(Ok(manifest)) => {
                        assert_harmless(&manifest);
                        let Manifest { peer, checkpoint, files, delete_retention_ms_min: told } =
                            manifest.clone();
                        let kept = files.into_iter().map(|file| (file.name, file.bytes)).collect();
                        prop_assert_eq!(Manifest::kept(peer, checkpoint, kept, told), Some(manifest));
                    }
                    Some(Err(error)) => {
                        let told = error.to_string();
                        prop_assert!(told.len() < 2_000 && !told.contains(char::is_control), "{told:?}");
                    }
                    None => {}
                }
            }
        }
    }
}
