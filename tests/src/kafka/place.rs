//! Where a cluster keeps what it has: in a directory that goes with it, or in one that a later run is to find again.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use openssl::base64;
use tempfile::TempDir;

/// Holds the cluster's id and how many brokers it has. Whoever runs it holds a lock on this file.
const CLUSTER: &str = "cluster";

pub(super) struct Place {
    pub(super) cluster_id: String,
    directory: Directory,
}

enum Directory {
    Temporary(TempDir),
    Kept { path: PathBuf, _lock: File },
}

impl Place {
    /// A new directory, to be removed with everything in it when this process ends, however it does.
    pub(super) fn temporary() -> Result<Place> {
        let directory = tempfile::Builder::new().prefix("outrigger-kafka-").tempdir()?;
        Ok(Place { cluster_id: random_id()?, directory: Directory::Temporary(directory) })
    }

    /// A directory that stays: an empty or a new one, or that of an earlier cluster of as many brokers.
    pub(super) fn kept(path: &Path, brokers: usize) -> Result<Place> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("making the directory {shown}"))?;
        let path = fs::canonicalize(path).with_context(|| format!("finding {shown}"))?;
        let shown = path.display();
        let file = path.join(CLUSTER);
        ensure!(
            file.is_file() || fs::read_dir(&path)?.next().is_none(),
            "{shown} is not empty and not from `./x kafka`"
        );
        let mut options = File::options();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(file)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another `./x kafka` runs in {shown}"),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut line = String::new();
        file.read_to_string(&mut line)?;
        if line.is_empty() {
            line = format!("{} {brokers}\n", random_id()?);
            file.write_all(line.as_bytes())?;
        }
        let cluster_id = cluster_id(&line, brokers).with_context(|| format!("{shown}"))?;
        Ok(Place { cluster_id, directory: Directory::Kept { path, _lock: file } })
    }

    pub(super) fn path(&self) -> &Path {
        match &self.directory {
            Directory::Temporary(directory) => directory.path(),
            Directory::Kept { path, .. } => path,
        }
    }

    /// The directory, when nothing of it is to be left.
    pub(super) fn temporary_path(&self) -> Option<&Path> {
        match &self.directory {
            Directory::Temporary(directory) => Some(directory.path()),
            Directory::Kept { .. } => None,
        }
    }
}

/// The voters are part of the data: three brokers cannot become one by starting fewer.
fn cluster_id(line: &str, brokers: usize) -> Result<String> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(before), None) = (words.next(), words.next(), words.next()) else {
        bail!("its file `{CLUSTER}` does not say which Kafka it holds: remove the directory");
    };
    ensure!(
        before == brokers.to_string(),
        "it holds a Kafka of BROKERS={before}: set that, or KAFKA_DATA to another directory"
    );
    Ok(id.to_owned())
}

/// An id of 16 random bytes in the URL's base 64. A node knows a cluster by it, so no two may have the same.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes)?;
    // Kafka takes no id that begins with a dash, which is the last but one of 64 letters.
    bytes[0] &= 0x7f;
    let text = base64::encode_block(&bytes);
    Ok(text.trim_end_matches('=').replace('+', "-").replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path, brokers: usize) -> String {
        format!("{:#}", Place::kept(path, brokers).map(drop).unwrap_err())
    }

    #[test]
    fn a_kept_place_is_found_again_by_as_many_brokers() {
        let dir = TempDir::new().unwrap();
        let home = dir.path().join("new/kafka");
        let id = Place::kept(&home, 3).unwrap().cluster_id;
        assert_eq!((id.len(), id.starts_with('-')), (22, false));
        let told = refused(&home, 1);
        assert!(told.contains("BROKERS=3") && told.contains("new/kafka"), "{told}");
        let again = Place::kept(&home, 3).unwrap();
        assert_eq!(again.cluster_id, id);
        assert!(refused(&home, 3).contains("another `./x kafka` runs in"));
        assert_eq!(again.temporary_path(), None);
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_left() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("thesis"), "").unwrap();
        assert!(refused(dir.path(), 1).contains("is not empty and not from `./x kafka`"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let file = dir.path().join("thesis");
        assert!(refused(&file, 1).contains("making the directory"));
        let other = TempDir::new().unwrap();
        fs::write(other.path().join(CLUSTER), "of stars").unwrap();
        assert!(refused(other.path(), 1).contains("BROKERS=stars"));
        fs::write(other.path().join(CLUSTER), "stars").unwrap();
        assert!(refused(other.path(), 1).contains("does not say which Kafka"));
    }

    #[test]
    fn no_two_clusters_have_the_same_id() {
        let [one, two] = [(), ()].map(|()| Place::temporary().unwrap().cluster_id);
        assert_ne!(one, two);
    }
}
