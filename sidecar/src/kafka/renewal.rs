//! Files of TLS that are renewed while a node runs: its clients are made anew, for librdkafka reads them once.
//!
//! ```text
//!  every 10 s   what the files hold ── as before ──> nothing
//!                     └── something else ── a client can be made of it ──> everybody makes another client
//!                                                └── not ──> said once; the present clients stay
//! ```
//! A thread of its own, for a file system may hang. Files are looked at, not watched: what Kubernetes swaps is a link
//! in the way to them. Two of them that are replaced one after the other are no pair in between, and no client is made of that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};

use xxhash_rust::xxh3::Xxh3;

use super::Stop;
use super::admin::ToAdmin;
use super::appends::ToProducer;
use super::certificates::certificates;
use super::config::KafkaConfig;
use super::consumer::ToConsumer;
use super::settings::FILES_EVERY;
use crate::telemetry;
use crate::vital::Work;

/// What librdkafka reads when a client begins.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

pub(super) enum ToRenewal {
    Stop,
}

impl Stop for ToRenewal {
    const STOP: ToRenewal = ToRenewal::Stop;
}

/// How often the files have changed: a client compares it to know whether it was made of the present ones. Clones share
/// it.
#[derive(Clone, Debug, Default)]
pub(super) struct Renewed(Arc<AtomicU64>);

impl Renewed {
    pub(super) fn times(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Those whose clients are made anew.
pub(super) struct Users {
    pub(super) renewed: Renewed,
    pub(super) producers: Vec<Sender<ToProducer>>,
    pub(super) consumer: Sender<ToConsumer>,
    pub(super) admin: Sender<ToAdmin>,
}

/// The files that the settings name, as they were before the first client was made of them.
pub(super) struct Files {
    paths: Vec<PathBuf>,
    before: Option<u64>,
}

pub(super) struct Renewal {
    config: KafkaConfig,
    files: Vec<PathBuf>,
    users: Users,
    /// Digest of the files that the clients were made of; none where they could not be read.
    taken: Option<u64>,
    /// Digest of the files that were told to be of no use.
    refused: Option<u64>,
}

impl Files {
    /// None: no file is named, so nothing is renewed.
    pub(super) fn of(config: &KafkaConfig) -> Option<Files> {
        let named = FILES.iter().filter_map(|name| config.properties.get(*name));
        let paths: Vec<_> = named.map(PathBuf::from).filter(|path| path.exists()).collect();
        let before = digest(&paths).ok();
        (!paths.is_empty()).then_some(Files { paths, before })
    }
}

impl Renewal {
    pub(super) fn new(config: &KafkaConfig, files: Files, users: Users) -> Renewal {
        let Files { paths, before } = files;
        Renewal { config: config.clone(), files: paths, users, taken: before, refused: None }
    }

    pub(super) fn run(mut self, inbox: &Work<ToRenewal>) {
        while let Err(RecvTimeoutError::Timeout) = inbox.recv_timeout(FILES_EVERY) {
            self.look();
        }
    }

    fn look(&mut self) {
        // A file that is missing is about to be another.
        let Ok(now) = digest(&self.files) else { return };
        if self.taken == Some(now) || self.refused == Some(now) {
            return;
        }
        match self.config.admin() {
            // The files are not what was tried any more: the next look sees all of it.
            Ok(_) if digest(&self.files).ok() != Some(now) => {}
            Ok(_) => {
                (self.taken, self.refused) = (Some(now), None);
                self.tell();
            }
            Err(error) => {
                self.refused = Some(now);
                tracing::warn!(
                    "files of TLS for Kafka have changed and are not used, for no client can be made of them ({error}): \
                     replace all of them; what was there before is used until then"
                );
            }
        }
    }

    fn tell(&self) {
        let Users { renewed, producers, consumer, admin } = &self.users;
        renewed.0.fetch_add(1, Ordering::Release);
        // Each of these fails only when its thread has ended.
        for producer in producers {
            producer.send(ToProducer::Due).ok();
        }
        consumer.send(ToConsumer::Renew).ok();
        admin.send(ToAdmin::Renew).ok();
        tell_expiry(&self.config);
        tracing::info!("files of TLS for Kafka were renewed: connections are made anew with them");
    }
}

/// Tells as metrics when the certificates end that clients are made of now.
pub(super) fn tell_expiry(config: &KafkaConfig) {
    for (setting, certificate) in certificates(config) {
        match certificate {
            Ok(certificate) => telemetry::metrics::certificate(setting, certificate.holds()),
            Err(error) => {
                tracing::warn!(setting, "when its certificate ends cannot be told: {error}");
            }
        }
    }
}

/// Digest of what all of them hold.
fn digest(files: &[PathBuf]) -> io::Result<u64> {
    let mut sum = Xxh3::new();
    files.iter().try_for_each(|file| add(file, &mut sum))?;
    Ok(sum.digest())
}

/// Adds what a file holds; for a directory, what is in it.
fn add(path: &Path, sum: &mut Xxh3) -> io::Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().filter(|entry| entry.is_file()).try_for_each(|file| add(file, sum));
    }
    let bytes = fs::read(path)?;
    sum.update(&u64::try_from(bytes.len()).expect("lengths fit 64 bits").to_le_bytes());
    sum.update(&bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_hold_counts_and_not_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, "ab").unwrap();
        fs::write(&other, "c").unwrap();
        let files = [one.clone(), other.clone()];
        let before = digest(&files).unwrap();
        assert_eq!(digest(&files).unwrap(), before);
        fs::write(&one, "a").unwrap();
        fs::write(&other, "bc").unwrap();
        assert_ne!(digest(&files).unwrap(), before);
        let of_directory = digest(&[dir.path().to_owned()]).unwrap();
        fs::write(dir.path().join("third"), "").unwrap();
        assert_ne!(digest(&[dir.path().to_owned()]).unwrap(), of_directory);
        fs::remove_file(&one).unwrap();
        assert!(digest(&files).is_err(), "it is about to be another");
    }
}
