//! The journal's file: a header, then frames, each synced before the next one is begun.
//!
//! ```text
//! header  "ORLOG", version u8, topic id 16, partitions u32, cluster (length u32, UTF-8), xxh3 u64
//! frame   length u32, the lower half of xxh3 of those four bytes u32, xxh3 of the payload u64, payload (entries)
//! ```
//! A frame that does not check and reaches the file's end was cut off by a crash before anything in
//! it was acknowledged: it is dropped. With bytes behind it, it was acknowledged once: damage. So a length is only
//! believed by its own checksum: with a wrong one all frames behind it would be taken for one that was cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use outrigger_core::topic::TopicId;
use xxhash_rust::xxh3::xxh3_64;

use super::entry::{Entry, decode_all};

const MAGIC: &[u8; 5] = b"ORLOG";
const VERSION: u8 = 2;
const HEADER_BYTES_MAX: u64 = 1_024;
const FRAME_HEAD: usize = 16;
/// Payload bytes of a frame of a rewritten journal.
const FRAME_BYTES: usize = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: String,
    pub(super) topic: TopicId,
    pub(super) partitions: u32,
}

pub(super) struct Journal {
    path: PathBuf,
    header: Header,
    file: File,
    bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenJournalError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("not a journal of this version")]
    Foreign,
    #[error("damaged at byte {at}")]
    Damaged { at: u64 },
    #[error("made with {found} partitions")]
    Partitions { found: u32 },
}

impl Journal {
    /// Opens the journal that is there, or begins a new one with new ids. `replay` comes next.
    pub(super) fn open(path: &Path, partitions: u32) -> Result<Journal, OpenJournalError> {
        if !path.try_exists()? {
            begin(path, partitions)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(HEADER_BYTES_MAX).read_to_end(&mut start)?;
        let (header, bytes) = Header::decode(&start).ok_or(OpenJournalError::Foreign)?;
        if header.partitions != partitions {
            return Err(OpenJournalError::Partitions { found: header.partitions });
        }
        Ok(Journal { path: path.to_owned(), header, file, bytes: wide(bytes) })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Hands out everything that was appended, in order; a frame that a crash cut off is dropped from the file.
    pub(super) fn replay(&mut self, mut entry: impl FnMut(Entry)) -> Result<(), OpenJournalError> {
        let end = self.file.metadata()?.len();
        self.file.seek(SeekFrom::Start(self.bytes))?;
        let mut frames = BufReader::new(&self.file);
        let mut payload = Vec::new();
        while self.bytes < end {
            match next(&mut frames, end - self.bytes, &mut payload)? {
                Next::Frame => {
                    let damaged = OpenJournalError::Damaged { at: self.bytes };
                    for decoded in decode_all(&payload).ok_or(damaged)? {
                        entry(decoded);
                    }
                    self.bytes += wide(FRAME_HEAD + payload.len());
                }
                Next::Torn => break,
                Next::Damaged => return Err(OpenJournalError::Damaged { at: self.bytes }),
            }
        }
        self.file.set_len(self.bytes)?;
        Ok(())
    }

    /// Appends one frame; it is on disk when this returns.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let frame = frame(payload);
        self.file.write_all(&frame)?;
        self.file.sync_data()?;
        self.bytes += wide(frame.len());
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replaces everything by what `fill` writes, entry by entry. A crash leaves the old journal or the new one. After
    /// an error the journal is not to be used: which of the two it is may be unknown.
    pub(super) fn rewrite(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&dyn Fn(&mut Vec<u8>)) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<()> {
        let temporary = self.path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&self.header.encode())?;
        let mut payload = Vec::new();
        fill(&mut |encode| {
            encode(&mut payload);
            if payload.len() < FRAME_BYTES {
                return Ok(());
            }
            file.write_all(&frame(&payload))?;
            payload.clear();
            Ok(())
        })?;
        if !payload.is_empty() {
            file.write_all(&frame(&payload))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        sync_directory(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = file;
        Ok(())
    }
}

/// Makes a new journal. It is renamed into place whole, so that a header is never torn.
fn begin(path: &Path, partitions: u32) -> io::Result<()> {
    let cluster = TopicId(random()?).to_string();
    let header = Header { cluster, topic: TopicId(random()?), partitions };
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&header.encode())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(path)
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().expect("the journal is in a directory"))?.sync_all()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a frame is bounded by admission, below 4 GiB");
    let mut frame = Vec::with_capacity(FRAME_HEAD + payload.len());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&sum_of_length(len.to_le_bytes()));
    frame.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

enum Next {
    /// Its payload was read.
    Frame,
    Torn,
    Damaged,
}

/// Reads the next frame out of `left` bytes.
fn next(frames: &mut impl Read, left: u64, payload: &mut Vec<u8>) -> io::Result<Next> {
    let Some(behind) = left.checked_sub(wide(FRAME_HEAD)) else { return Ok(Next::Torn) };
    let (mut len, mut len_sum, mut sum) = ([0; 4], [0; 4], [0; 8]);
    frames.read_exact(&mut len)?;
    frames.read_exact(&mut len_sum)?;
    frames.read_exact(&mut sum)?;
    // The file had grown, but its bytes had not come.
    if (len, len_sum) == ([0; 4], [0; 4]) {
        return Ok(Next::Torn);
    }
    if len_sum != sum_of_length(len) {
        return Ok(Next::Damaged);
    }
    let len = u32::from_le_bytes(len);
    if u64::from(len) > behind {
        return Ok(Next::Torn);
    }
    payload.resize(usize::try_from(len).expect("usize holds 32 bits"), 0);
    frames.read_exact(payload)?;
    Ok(if xxh3_64(payload) == u64::from_le_bytes(sum) {
        Next::Frame
    } else if u64::from(len) < behind {
        Next::Damaged
    } else {
        Next::Torn
    })
}

fn sum_of_length(len: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64(&len).to_le_bytes();
    [a, b, c, d]
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("lengths fit 64 bits")
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.topic.0);
        out.extend_from_slice(&self.partitions.to_le_bytes());
        let len = u32::try_from(self.cluster.len()).expect("a cluster id is short");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(self.cluster.as_bytes());
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// The header and its length in bytes.
    fn decode(bytes: &[u8]) -> Option<(Header, usize)> {
        let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let (topic, rest) = rest.split_first_chunk::<16>()?;
        let (partitions, rest) = rest.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (cluster, rest) = rest.split_at_checked(len)?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let summed = bytes.len() - rest.len() - sum.len();
        (xxh3_64(&bytes[..summed]) == u64::from_le_bytes(*sum)).then_some(())?;
        let header = Header {
            cluster: String::from_utf8(cluster.to_vec()).ok()?,
            topic: TopicId(*topic),
            partitions: u32::from_le_bytes(*partitions),
        };
        Some((header, summed + sum.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mutation::{mutated, mutations};

    impl Journal {
        /// Makes writes fail, as a full or failing disk does.
        pub(in super::super) fn refuse_writes(&mut self) {
            self.file = File::open(&self.path).unwrap();
        }
    }

    /// A partition entry with this log end: enough to tell frames apart.
    fn payload(log_end: u64) -> Vec<u8> {
        let state = outrigger_model::log::PartitionState {
            log_start: outrigger_core::offset::Offset(0),
            log_end: outrigger_core::offset::Offset(log_end),
            cleaned_to: outrigger_core::offset::Offset(0),
            epochs: vec![(outrigger_core::offset::Epoch(0), outrigger_core::offset::Offset(0))],
        };
        let mut out = Vec::new();
        super::super::entry::encode_partition(
            outrigger_core::offset::Partition(0),
            &state,
            &mut out,
        );
        out
    }

    /// Opens and replays a journal. Returns it, and how many entries it has.
    fn open(path: &Path) -> Result<(Journal, usize), OpenJournalError> {
        let mut journal = Journal::open(path, 1)?;
        let mut entries = 0;
        journal.replay(|_| entries += 1)?;
        Ok((journal, entries))
    }

    fn three_frames(path: &Path) -> (Vec<u8>, Vec<usize>) {
        let (mut journal, entries) = open(path).unwrap();
        assert_eq!(entries, 0);
        let mut ends = vec![fs::read(path).unwrap().len()];
        for frame in 1..=3 {
            journal.append(&payload(frame)).unwrap();
            ends.push(fs::read(path).unwrap().len());
        }
        (fs::read(path).unwrap(), ends)
    }

    #[test]
    fn a_crash_at_any_byte_keeps_every_whole_frame_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (bytes, ends) = three_frames(&path);
        for cut in ends[0]..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, entries) = open(&path).unwrap();
            let whole = ends[1..].iter().filter(|end| **end <= cut).count();
            assert_eq!(entries, whole, "cut at {cut}");
            journal.append(&payload(9)).unwrap();
            let (_, entries) = open(&path).unwrap();
            assert_eq!(entries, whole + 1, "goes on after the cut at {cut}");
        }
    }

    #[test]
    fn a_last_frame_of_zeros_or_rubbish_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (bytes, ends) = three_frames(&path);
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let zeros = [&bytes[..ends[2]], &[0; 100]].concat();
        for torn in [flipped, zeros] {
            fs::write(&path, &torn).unwrap();
            assert_eq!(open(&path).unwrap().1, 2);
        }
    }

    #[test]
    fn damage_before_the_last_frame_is_refused_not_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut bytes, ends) = three_frames(&path);
        bytes[ends[1] + FRAME_HEAD] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = open(&path).err().unwrap();
        let at = wide(ends[1]);
        assert!(
            matches!(refused, OpenJournalError::Damaged { at: told } if told == at),
            "{refused}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "and left as it is");
    }

    #[test]
    fn no_bit_that_fell_over_before_the_last_frame_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (bytes, ends) = three_frames(&path);
        for at in 0..ends[2] {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, &flipped).unwrap();
                assert!(open(&path).is_err(), "bit {bit} of byte {at}");
                assert_eq!(fs::read(&path).unwrap(), flipped, "and left as it is");
            }
        }
    }

    proptest! {
        #[test]
        fn what_became_of_a_journal_is_refused_or_has_the_first_of_its_entries(
            mutations in mutations(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            let (bytes, _) = three_frames(&path);
            let mut journal = Journal::open(&path, 1).unwrap();
            let mut before = Vec::new();
            journal.replay(|entry| before.push(entry)).unwrap();
            fs::write(&path, mutated(&bytes, &mutations)).unwrap();
            let mut after = Vec::new();
            let opened = Journal::open(&path, 1);
            if opened.and_then(|mut journal| journal.replay(|entry| after.push(entry))).is_ok() {
                // A frame that stands there twice, which an editor may do, counts as one that was written twice.
                after.dedup();
                prop_assert!(before.starts_with(&after), "{after:?}");
            }
        }
    }

    #[test]
    fn the_ids_stay_and_the_partitions_must() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let first = Journal::open(&path, 2).unwrap().header;
        assert_eq!(Journal::open(&path, 2).unwrap().header, first);
        let refused = Journal::open(&path, 3).err().unwrap();
        assert!(matches!(refused, OpenJournalError::Partitions { found: 2 }), "{refused}");
    }

    #[test]
    fn another_file_is_not_taken_for_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for other in [&b""[..], b"ORLOG", b"ORLOG\x03 of a later version", b"something else"] {
            fs::write(&path, other).unwrap();
            let refused = Journal::open(&path, 1).err().unwrap();
            assert!(matches!(refused, OpenJournalError::Foreign), "{other:?}: {refused}");
        }
    }

    /// There are such on disks: a change here needs a new version.
    #[test]
    fn the_header_and_the_frame_are_what_they_always_were() {
        let header = Header { cluster: "c1".to_owned(), topic: TopicId([7; 16]), partitions: 3 };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let golden =
            ["4f524c4f4702", "07070707070707070707070707070707", "03000000", "020000006331"]
                .concat();
        let encoded = header.encode();
        assert_eq!(hex(&encoded[..encoded.len() - 8]), golden);
        assert_eq!(Header::decode(&encoded), Some((header, encoded.len())));
        // xxh3 of the length and of nothing but one zero byte, little-endian.
        assert_eq!(hex(&frame(&[0])), ["01000000", "0857d696", "dbec4e07f4df4bc4", "00"].concat());
    }
}
