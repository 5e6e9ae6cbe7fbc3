//! Gives others the copies that this node has: which checkpoints there are, and who reads them.
//!
//! There is at most one checkpoint per store, shared by all who ask while it is young. It is removed when the last
//! reader has all of it, or when nobody came back for it. One of a generation that was replaced since is given to
//! nobody, not even to a taker that has most of it: what the node has seen of the topic's retention it knows for the
//! copy in use, and a new copy forgets what was before it. All calls block on the disk: they belong on blocking
//! threads.

mod pace;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use outrigger_core::gate::Gate;
use outrigger_core::phase::Phase;
use outrigger_core::store::StoreError;
use outrigger_proto::limits::{CHECKPOINT_FILES_MAX, CHUNK_BYTES};

use self::pace::Pace;
use crate::peer::{PeerConfig, Secret, TAKERS_MAX};
use crate::rocks::Checkpoint;
use crate::runtime::{StoreHandle, clock};

/// How long a checkpoint that broke off waits for its taker to come back.
const RESUME_MAX: Duration = Duration::from_secs(120);

/// An older checkpoint is not given to anybody new: the taker would have that much more to read from the log, and files
/// that the copy has compacted since stay on the disk for it.
const AGE_MAX: Duration = Duration::from_secs(600);

pub struct Giver {
    secret: Option<Secret>,
    pace: Pace,
    stores: Vec<Arc<Store>>,
    /// How many leases are given; it is counted under no other lock.
    takers: Arc<AtomicUsize>,
    /// Makes the ids of one process different.
    count: AtomicU64,
}

struct Store {
    handle: StoreHandle,
    /// The checkpoint that there is. The lock is held while one is made or removed, so that there is one; only blocking
    /// threads take it, and no other lock under it.
    held: Mutex<Option<Held>>,
}

struct Held {
    given: Arc<Given>,
    takers: usize,
    made: Instant,
    /// When the last reader left.
    left: Instant,
}

struct Given {
    id: String,
    checkpoint: Checkpoint,
    /// A file of it could not be read: nobody else is given it.
    broken: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    #[error("it has no such store")]
    UnknownStore,
    #[error("the node is not READY")]
    NotReady,
    #[error("it gives to {TAKERS_MAX} nodes already")]
    TooManyTakers,
    #[error("an older checkpoint of the store is still read, and there is one at a time")]
    Occupied,
    #[error("the copy has {0} files, more than a checkpoint may have")]
    TooManyFiles(usize),
    #[error("the caller has {offset} bytes of file {file}, which the checkpoint has not")]
    Position { file: usize, offset: u64 },
    #[error("the disk failed: {0}")]
    Store(#[from] StoreError),
    #[error("a file of the checkpoint cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// One taker of a checkpoint, with the place from where it resumes.
pub struct Lease {
    store: Arc<Store>,
    given: Arc<Given>,
    delete_retention_ms_min: u64,
    takers: Arc<AtomicUsize>,
    file: usize,
    offset: u64,
    source: Option<File>,
}

/// The next bytes of a checkpoint.
pub struct Chunk {
    pub file: usize,
    pub offset: u64,
    pub data: Bytes,
}

impl Giver {
    /// A giver of these stores; none where peers cannot be told from anybody else.
    pub fn new(config: &PeerConfig, stores: Vec<StoreHandle>) -> Option<Giver> {
        let store = |handle| Arc::new(Store { handle, held: Mutex::new(None) });
        config.knows_peers().then(|| Giver {
            secret: config.secret.clone(),
            pace: Pace::new(config.rate),
            stores: stores.into_iter().map(store).collect(),
            takers: Arc::default(),
            count: AtomicU64::new(0),
        })
    }

    /// Whether a caller with this header `authorization` may have copies. Where nodes share no secret, none but them gets
    /// through to the listener.
    pub fn allows(&self, authorization: Option<&[u8]>) -> bool {
        let Some(secret) = &self.secret else { return true };
        authorization.is_some_and(|said| secret.allows(said))
    }

    /// How long to wait before `bytes` are given.
    pub fn reserve(&self, bytes: usize) -> Duration {
        self.pace.reserve(bytes, Instant::now())
    }

    /// Gives a checkpoint to one more taker. `resume`: a checkpoint, and how many bytes of it the taker has. It gets
    /// another when that one is gone, or of a generation that was replaced.
    pub fn lease(
        &self,
        store: &str,
        resume: Option<(&str, usize, u64)>,
    ) -> Result<Lease, GiveError> {
        let named = |candidate: &&Arc<Store>| candidate.handle.name() == store;
        let store = self.stores.iter().find(named).ok_or(GiveError::UnknownStore)?;
        let takers = Place::take(&self.takers)?;
        let mut held = store.lock();
        let (held, gate) = self.to_give(store, &mut held, resume.map(|(id, ..)| id))?;
        let (file, offset) = match resume {
            Some((id, file, offset)) if id == held.given.id => (file, offset),
            Some(_) | None => (0, 0),
        };
        let files = held.given.checkpoint.files();
        if files.get(file).map_or(file > files.len() || offset > 0, |file| offset > file.bytes) {
            return Err(GiveError::Position { file, offset });
        }
        held.takers += 1;
        Ok(Lease {
            store: store.clone(),
            given: held.given.clone(),
            delete_retention_ms_min: gate.delete_retention_ms_min,
            takers: takers.keep(),
            file,
            offset,
            source: None,
        })
    }

    /// A checkpoint of the copy that the log is applied to, and what is known of that copy once it is there.
    fn to_give<'a>(
        &self,
        store: &Store,
        held: &'a mut Option<Held>,
        resume: Option<&str>,
    ) -> Result<(&'a mut Held, Arc<Gate>), GiveError> {
        // Those that read a broken checkpoint fail as well, and the last of them removes it.
        held.take_if(|held| held.given.broken.load(Ordering::Acquire));
        let gate = store.handle.gate();
        let resumed = |given: &Given| resume == Some(given.id.as_str()) && given.is_of(&gate);
        if !held.as_ref().is_some_and(|held| resumed(&held.given)) {
            self.renew(store, held)?;
        }
        let held = held.as_mut().expect("it is there or was made");
        // The copy may have been replaced while its checkpoint was made.
        let gate = store.handle.gate();
        if held.given.is_of(&gate) { Ok((held, gate)) } else { Err(GiveError::NotReady) }
    }

    /// Makes sure that there is a checkpoint that is young enough for somebody new.
    fn renew(&self, store: &Store, held: &mut Option<Held>) -> Result<(), GiveError> {
        let gate = store.handle.gate();
        if gate.phase != Phase::Ready {
            return Err(GiveError::NotReady);
        }
        match held {
            Some(held) if held.made.elapsed() < AGE_MAX && held.given.is_of(&gate) => return Ok(()),
            Some(held) if held.takers > 0 => return Err(GiveError::Occupied),
            Some(_) | None => {}
        }
        *held = None;
        // The id differs from those that the process before gave.
        let (made_at, number) = (clock::now().wall_ms, self.count.fetch_add(1, Ordering::Relaxed));
        let id = format!("{made_at}-{number}");
        let checkpoint = store.handle.checkpoint(&id).ok_or(GiveError::NotReady)??;
        let files = checkpoint.files().len();
        if files > CHECKPOINT_FILES_MAX {
            return Err(GiveError::TooManyFiles(files));
        }
        let now = Instant::now();
        let given = Arc::new(Given { id, checkpoint, broken: AtomicBool::new(false) });
        *held = Some(Held { given, takers: 0, made: now, left: now });
        Ok(())
    }

    /// Removes the checkpoints that nobody came back for.
    pub fn expire(&self) {
        for store in &self.stores {
            store.lock().take_if(|held| held.takers == 0 && held.left.elapsed() >= RESUME_MAX);
        }
    }

    /// Whether some checkpoint waits for its taker to come back.
    pub fn waits(&self) -> bool {
        // One that is being made or removed is in use.
        let waits = |store: &Arc<Store>| store.held.try_lock().is_ok_and(|held| held.is_some());
        self.stores.iter().any(waits)
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one of the takers that there may be.
struct Place<'a>(Option<&'a Arc<AtomicUsize>>);

impl<'a> Place<'a> {
    fn take(takers: &'a Arc<AtomicUsize>) -> Result<Place<'a>, GiveError> {
        let before = takers.fetch_add(1, Ordering::AcqRel);
        let place = Place(Some(takers));
        if before < TAKERS_MAX { Ok(place) } else { Err(GiveError::TooManyTakers) }
    }

    fn keep(mut self) -> Arc<AtomicUsize> {
        self.0.take().expect("it is kept once").clone()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(takers) = self.0 {
            takers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Given {
    /// Whether the log is applied to the copy that was checkpointed, so that what this gate knows counts for it.
    fn is_of(&self, gate: &Gate) -> bool {
        gate.fed && gate.generation == Some(self.checkpoint.generation())
    }
}

impl Lease {
    pub fn id(&self) -> &str {
        &self.given.id
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.given.checkpoint
    }

    /// The smallest retention that the copy had seen when the lease was given, in milliseconds: the checkpoint may be
    /// older.
    pub fn delete_retention_ms_min(&self) -> u64 {
        self.delete_retention_ms_min
    }

    /// Bytes that are not given yet.
    pub fn bytes_left(&self) -> u64 {
        let files = self.given.checkpoint.files().iter().skip(self.file);
        files.map(|file| file.bytes).sum::<u64>() - self.offset
    }

    /// The next bytes. None: that was all.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, GiveError> {
        let next = self.read_chunk();
        if next.is_err() {
            self.given.broken.store(true, Ordering::Release);
        }
        next
    }

    fn read_chunk(&mut self) -> Result<Option<Chunk>, GiveError> {
        let files = self.given.checkpoint.files();
        while files.get(self.file).is_some_and(|file| self.offset == file.bytes) {
            (self.file, self.offset, self.source) = (self.file + 1, 0, None);
        }
        let Some(file) = files.get(self.file) else { return Ok(None) };
        let source = match &mut self.source {
            Some(source) => source,
            none => {
                let mut source = File::open(self.given.checkpoint.file_path(file))?;
                source.seek(SeekFrom::Start(self.offset))?;
                none.insert(source)
            }
        };
        let left = usize::try_from(file.bytes - self.offset).unwrap_or(usize::MAX);
        let mut data = BytesMut::zeroed(left.min(CHUNK_BYTES));
        source.read_exact(&mut data)?;
        let chunk = Chunk { file: self.file, offset: self.offset, data: data.freeze() };
        self.offset += u64::try_from(chunk.data.len()).expect("lengths fit 64 bits");
        Ok(Some(chunk))
    }

    fn is_complete(&self) -> bool {
        let files = self.given.checkpoint.files();
        files.get(self.file..).is_none_or(|rest| match rest {
            [] => true,
            [last] => self.offset == last.bytes,
            [_, ..] => false,
        })
    }
}

/// The last reader that has everything takes the checkpoint with it.
impl Drop for Lease {
    fn drop(&mut self) {
        self.takers.fetch_sub(1, Ordering::AcqRel);
        let mut held = self.store.lock();
        let Some(current) = held.as_mut().filter(|held| Arc::ptr_eq(&held.given, &self.given))
        else {
            return;
        };
        current.takers -= 1;
        current.left = Instant::now();
        if current.takers == 0 && self.is_complete() {
            *held = None;
        }
    }
}
