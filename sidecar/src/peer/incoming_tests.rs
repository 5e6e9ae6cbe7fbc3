//! What is on the disk after a crash at some point, and how it is resumed.

use proptest::prelude::*;

use super::*;
use crate::mutation::{fewer, mutated, mutations};

const MIB: u64 = 1 << 20;

fn manifest() -> Manifest {
    let file = |(name, bytes): (&str, u64)| CheckpointFile { name: name.to_owned(), bytes };
    let files =
        [("000001.log", 0), ("000007.sst", 2 * MIB + 5), ("CURRENT", 16), ("OPTIONS-000009", 0)];
    Manifest {
        peer: "http://b:7400".to_owned(),
        checkpoint: "1-0".to_owned(),
        files: files.into_iter().map(file).collect(),
        delete_retention_ms_min: 604_800_000,
    }
}

/// A directory as `begin_fetch` leaves it.
fn place() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(OWNER), "whose").unwrap();
    directory
}

/// The chunks of the manifest's files, in order.
fn chunks() -> Vec<(usize, u64, Bytes)> {
    let mut chunks = Vec::new();
    for (number, file) in manifest().files.iter().enumerate() {
        let mut offset = 0;
        while offset < file.bytes {
            let length = MIB.min(file.bytes - offset);
            let byte = u8::try_from(chunks.len() + 1).unwrap();
            chunks.push((number, offset, vec![byte; usize::try_from(length).unwrap()].into()));
            offset += length;
        }
    }
    chunks
}

fn write(incoming: &mut Incoming, chunks: &[(usize, u64, Bytes)]) {
    for (file, offset, data) in chunks {
        incoming.write(*file, *offset, data, xxh3_64(data)).unwrap();
    }
}

fn resume(directory: &Path) -> Option<Incoming> {
    Incoming::resume(directory, &CancellationToken::new())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_came_in_order_is_there_and_nothing_else() {
    let directory = place();
    fs::write(directory.path().join("000001.sst"), "of another checkpoint").unwrap();
    let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
    write(&mut incoming, &chunks());
    assert_eq!(incoming.bytes(), incoming.bytes_total());
    incoming.finish().unwrap();
    let expected =
        ["000001.log", "000007.sst", "CURRENT", "OPTIONS-000009", "OWNER", "POSITION", "TRANSFER"];
    assert_eq!(names(directory.path()), expected);
    let sst = fs::read(directory.path().join("000007.sst")).unwrap();
    let all = chunks();
    assert_eq!(sst, [&all[0].2[..], &all[1].2, &all[2].2].concat());
}

#[test]
fn what_was_whole_before_a_crash_is_whole_after_it_unless_a_bit_fell_over() {
    let directory = place();
    let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
    assert!(!incoming.is_whole());
    write(&mut incoming, &chunks());
    incoming.finish().unwrap();
    assert!(resume(directory.path()).expect("it is there").is_whole());
    let ended = CancellationToken::new();
    ended.cancel();
    assert!(Incoming::resume(directory.path(), &ended).is_none(), "nobody waits for it any more");
    fs::write(directory.path().join("CURRENT"), "another MANIFEST").unwrap();
    assert!(resume(directory.path()).is_none());
}

#[test]
fn the_smallest_retention_that_was_told_of_it_lasts_as_long_as_what_came() {
    let directory = place();
    let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
    for told in [86_400_000, 604_800_000] {
        incoming.hear_retention(told).unwrap();
        assert_eq!(incoming.manifest().delete_retention_ms_min, 86_400_000);
    }
    write(&mut incoming, &chunks());
    incoming.finish().unwrap();
    let again = resume(directory.path()).expect("it is there");
    assert_eq!(again.manifest().delete_retention_ms_min, 86_400_000);
    assert!(again.manifest().is_of_the_same(&manifest()), "it is the same checkpoint");
}

#[test]
fn a_flipped_bit_on_the_way_is_found_and_the_right_bytes_are_still_taken() {
    let directory = place();
    let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
    let (file, offset, data) = chunks().remove(0);
    let mut flipped = data.to_vec();
    flipped[4_711] ^= 1;
    let refused = incoming.write(file, offset, &flipped.into(), xxh3_64(&data));
    assert!(matches!(refused, Err(IncomingError::Damaged { file: 1, offset: 0 })), "{refused:?}");
    write(&mut incoming, &chunks());
    incoming.finish().unwrap();
}

#[test]
fn bytes_that_are_not_due_are_refused() {
    let directory = place();
    let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
    let all = chunks();
    let (_, _, first) = &all[0];
    let longer: Bytes = [&first[..], b"x"].concat().into();
    for (file, offset, data) in [
        (1, 1, first.clone()),
        (0, 0, first.clone()),
        (2, 0, first.clone()),
        (1, 0, first.slice(1..)),
        (1, 0, longer),
        (1, 0, Bytes::new()),
    ] {
        let refused = incoming.write(file, offset, &data, xxh3_64(&data));
        assert!(matches!(refused, Err(IncomingError::OutOfPlace { .. })), "{refused:?}");
    }
    write(&mut incoming, &all);
    let beyond = incoming.write(4, 0, &all[3].2, xxh3_64(&all[3].2));
    assert!(matches!(beyond, Err(IncomingError::OutOfPlace { .. })), "{beyond:?}");
    let directory = place();
    let early = Incoming::begin(directory.path(), manifest()).unwrap().finish();
    assert!(matches!(early, Err(IncomingError::Incomplete { bytes: 0, .. })), "{early:?}");
}

#[test]
fn a_crash_after_a_save_goes_on_from_there_wherever_it_was() {
    for saved in 1..=chunks().len() {
        let directory = place();
        let all = chunks();
        let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
        write(&mut incoming, &all[..saved]);
        incoming.save().unwrap();
        let place = incoming.place();
        // What comes after the save is there or not, or in part.
        write(&mut incoming, &all[saved..(saved + 1).min(all.len())]);
        drop(incoming);

        let mut incoming = resume(directory.path()).expect("it is as it was saved");
        assert_eq!((incoming.place(), incoming.manifest()), (place, &manifest()), "{saved} chunks");
        write(&mut incoming, &all[saved..]);
        incoming.finish().unwrap();
        let sst = fs::read(directory.path().join("000007.sst")).unwrap();
        assert_eq!(sst, [&all[0].2[..], &all[1].2, &all[2].2].concat());
    }
}

#[test]
fn what_was_damaged_since_the_save_is_not_gone_on_with() {
    let damage: [fn(&Path); 4] = [
        |directory| {
            let mut bytes = fs::read(directory.join("000007.sst")).unwrap();
            bytes[99] ^= 1;
            fs::write(directory.join("000007.sst"), bytes).unwrap();
        },
        |directory| fs::write(directory.join("000007.sst"), "short").unwrap(),
        |directory| fs::write(directory.join(POSITION), "999999999 0\n").unwrap(),
        |directory| fs::write(directory.join(TRANSFER), "{").unwrap(),
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        let directory = place();
        let mut incoming = Incoming::begin(directory.path(), manifest()).unwrap();
        write(&mut incoming, &chunks()[..2]);
        incoming.save().unwrap();
        drop(incoming);
        damage(directory.path());
        assert!(resume(directory.path()).is_none(), "damage {number}");
    }
    assert!(resume(place().path()).is_none(), "nothing was fetched");
}

#[test]
fn a_copy_that_does_not_fit_on_the_disk_is_refused_before_it_is_fetched() {
    let directory = place();
    let mut manifest = manifest();
    manifest.files[1].bytes = u64::MAX / 2;
    let full = Incoming::begin(directory.path(), manifest).err();
    assert!(matches!(full, Some(IncomingError::Full { .. })), "{full:?}");
    assert_eq!(names(directory.path()), ["OWNER"]);
}

/// What a peer may send as the next message.
#[derive(Clone, Debug)]
enum Sent {
    /// What is due.
    Right,
    /// What is due, with another checksum.
    Damaged,
    Other {
        file: usize,
        offset: u64,
        data: Vec<u8>,
        sum: Option<u64>,
    },
}

fn sent() -> impl Strategy<Value = Sent> {
    let offset = prop_oneof![0..20_u64, Just(u64::MAX), Just(1 << 63)];
    let other =
        (0..6_usize, offset, prop::collection::vec(any::<u8>(), 0..20), any::<Option<u64>>());
    prop_oneof![
        3 => Just(Sent::Right),
        1 => Just(Sent::Damaged),
        3 => other.prop_map(|(file, offset, data, sum)| Sent::Other { file, offset, data, sum }),
    ]
}

fn small() -> Manifest {
    let file = |(name, bytes): (&str, u64)| CheckpointFile { name: name.to_owned(), bytes };
    let files = [("1.sst", 5), ("2.log", 0), ("3.sst", 1), ("CURRENT", 16), ("OPTIONS-9", 0)];
    Manifest { files: files.into_iter().map(file).collect(), ..manifest() }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn only_what_is_due_is_taken_whatever_is_sent(all in prop::collection::vec(sent(), 0..8)) {
        let (directory, manifest) = (place(), small());
        let mut incoming = Incoming::begin(directory.path(), manifest.clone()).unwrap();
        let mut taken = Vec::new();
        for sent in all {
            let ((file, offset), bytes) = (incoming.place(), incoming.bytes());
            let due = manifest.files.get(file).map(|due| usize::try_from(due.bytes).unwrap());
            let (file, offset, data, sum) = match sent {
                Sent::Right => (file, offset, vec![7; due.unwrap_or(1)], None),
                Sent::Damaged => (file, offset, vec![7; due.unwrap_or(1)], Some(1)),
                Sent::Other { file, offset, data, sum } => (file, offset, data, sum),
            };
            let data = Bytes::from(data);
            let fits = (file, offset) == incoming.place() && Some(data.len()) == due;
            let sum = sum.unwrap_or_else(|| xxh3_64(&data));
            match incoming.write(file, offset, &data, sum) {
                Ok(()) => {
                    prop_assert!(fits && sum == xxh3_64(&data));
                    taken.push((file, data));
                }
                Err(error) => {
                    prop_assert!(!error.is_ours() && (!fits || sum != xxh3_64(&data)), "{error}");
                    prop_assert_eq!(incoming.bytes(), bytes);
                }
            }
        }
        let known: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let ours = [OWNER, TRANSFER, POSITION];
        for name in names(directory.path()) {
            prop_assert!(known.contains(&&*name) || ours.contains(&&*name), "{name}");
        }
        for (file, data) in taken {
            let path = directory.path().join(&manifest.files[file].name);
            prop_assert_eq!(fs::read(path).unwrap(), data.to_vec());
        }
    }

    #[test]
    fn what_became_of_a_half_is_gone_on_with_only_where_it_was(
        changed in prop::sample::select(vec![TRANSFER, POSITION, "1.sst"]), mutations in mutations(),
    ) {
        let (directory, manifest) = (place(), small());
        let mut incoming = Incoming::begin(directory.path(), manifest.clone()).unwrap();
        incoming.write(0, 0, &Bytes::from_static(&[7; 5]), xxh3_64(&[7; 5])).unwrap();
        incoming.save().unwrap();
        drop(incoming);
        let path = directory.path().join(changed);
        fs::write(&path, mutated(&fs::read(&path).unwrap(), &mutations)).unwrap();
        if let Some(resumed) = resume(directory.path()) {
            // Another text of TRANSFER is the manifest of another checkpoint: whoever gives is asked by it.
            let same = *resumed.manifest() == manifest;
            prop_assert!(same || changed == TRANSFER);
            prop_assert!(resumed.bytes() <= resumed.bytes_total());
            prop_assert!(!same || [0, 5].contains(&resumed.bytes()), "{}", resumed.bytes());
        }
    }
}
