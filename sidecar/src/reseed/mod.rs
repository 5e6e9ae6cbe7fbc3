//! `outrigger reseed`: writes a finished copy into a new, empty topic, from which every node begins again.
//!
//! [`Prepared::new`] checks everything and writes nothing; [`Prepared::write`] goes through the copy in key order and
//! says in RESEED how far it is, so that the same command resumes there, whatever ended it. What is written twice then
//! has the same key and value, which a compacted topic forgets. In the end all of it is read back and compared with the
//! copy. Nothing of the copy is changed.

mod error;
mod target;
mod text;
mod verify;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use outrigger_core::offset::{Generation, Offset, Partition};
use outrigger_core::store::Scan;
use outrigger_core::topic::{Identity, LogFacts};

use crate::config::{StoreName, TopicName};
use crate::kafka::{KafkaConfig, TopicSettings, create_topic};
use crate::rocks::{self, DataDir, Progress, Shared, Source};
use crate::survey::RESOURCES;

pub use self::error::ReseedError;
use self::target::Target;
pub use self::write::Told;

/// What was asked for; nothing of it is checked yet.
pub struct Request {
    pub data: PathBuf,
    pub store: StoreName,
    pub kafka: KafkaConfig,
    pub topic: TopicName,
    /// The generation to take instead of the one in use.
    pub from: Option<Generation>,
    /// Whether the topic is made when it does not exist, and with how many partitions; none: as many as the copy has.
    pub create: Option<Option<u32>>,
}

/// A copy that may be written into a topic.
pub struct Prepared {
    request: Request,
    data: DataDir,
    source: Source,
    contents: Contents,
    target: Target,
    /// None: it is to be created.
    facts: Option<LogFacts>,
    /// The progress of an earlier run into the same topic from the same copy.
    progress: Option<Progress>,
}

/// What was found by reading all of the copy, which also shows that it can be read.
#[derive(Debug, Default)]
struct Contents {
    rows: u64,
    /// Bytes of keys and values.
    bytes: u64,
    largest_bytes: usize,
}

/// What a reseed has done: everything is in the new topic.
pub struct Reseeded {
    pub rows: u64,
    pub target: Identity,
}

impl Prepared {
    /// Checks the request: everything that can be wrong is found here. The data directory stays locked.
    pub fn new(request: Request) -> Result<Prepared, ReseedError> {
        let store = request.store.as_str();
        if rocks::owner(&request.data, store)?.is_none() {
            return Err(ReseedError::NoCopy { data: request.data, store: store.to_owned() });
        }
        let data = DataDir::lock(&request.data)?;
        let shared = Arc::new(Shared::new(RESOURCES));
        let source = Source::open(&data, store, request.from, &shared)?;
        check_exact(&source)?;
        let contents = contents(&source)?;
        let target = Target::open(&request.kafka, request.topic.as_str())?;
        let facts = match target.describe() {
            Ok(facts) => Some(facts),
            Err(error) if request.create.is_some() && target::is_missing(&error) => None,
            Err(error) => return Err(ReseedError::Topic(error)),
        };
        let progress = match &facts {
            Some(facts) => {
                let progress = Progress::load(&data, store)?;
                let progress = progress.filter(|begun| begun.target == facts.identity(store));
                target::check(facts, &source, contents.largest_bytes, progress.as_ref())?;
                progress
            }
            None => None,
        };
        Ok(Prepared { request, data, source, contents, target, facts, progress })
    }

    /// Returns what [`Self::write`] would do, for people.
    pub fn text(&self) -> String {
        text::prepared(self)
    }

    pub fn rows(&self) -> u64 {
        self.contents.rows
    }

    /// Writes what is not written yet, then reads all of it back.
    pub fn write(mut self, told: &mut dyn FnMut(Told)) -> Result<Reseeded, ReseedError> {
        let facts = self.create()?;
        let identity = facts.identity(self.request.store.as_str());
        let mut progress = self.progress.take().unwrap_or_else(|| Progress {
            generation: self.source.generation,
            positions: positions(&self.source),
            target: identity.clone(),
            rows: 0,
            after: Vec::new(),
        });
        // RESEED is written before the first record: whoever finds the topic not empty knows by whom.
        progress.save(&self.data)?;
        write::all(&self.source, &self.target, &self.data, &mut progress, told)?;
        let facts = self.still_the_same(&identity)?;
        verify::all(&self.source, &self.target, &facts, self.contents.rows, told)?;
        let facts = self.still_the_same(&identity)?;
        target::check_complete(&facts)?;
        Ok(Reseeded { rows: self.contents.rows, target: identity })
    }

    /// Returns the topic as it is, made first where it has to be.
    fn create(&mut self) -> Result<LogFacts, ReseedError> {
        if let Some(facts) = self.facts.take() {
            return Ok(facts);
        }
        let settings = TopicSettings { partitions: self.partitions_to_create(), replication: None };
        create_topic(&self.request.kafka, self.request.topic.as_str(), settings)?;
        let facts = self.target.describe_new().map_err(ReseedError::Topic)?;
        target::check(&facts, &self.source, self.contents.largest_bytes, None)?;
        Ok(facts)
    }

    fn partitions_to_create(&self) -> u32 {
        self.request.create.flatten().unwrap_or(self.source.identity.partitions)
    }

    fn still_the_same(&self, identity: &Identity) -> Result<LogFacts, ReseedError> {
        let facts = self.target.describe().map_err(ReseedError::Topic)?;
        if facts.identity(&identity.store) == *identity {
            Ok(facts)
        } else {
            Err(ReseedError::Replaced { topic: self.request.topic.to_string() })
        }
    }
}

fn check_exact(source: &Source) -> Result<(), ReseedError> {
    let mut lineages = (0..).map(Partition).zip(&source.lineages);
    match lineages.find(|(_, lineage)| !lineage.exact()) {
        None => Ok(()),
        Some((partition, lineage)) => Err(ReseedError::NotExact {
            generation: source.generation,
            partition,
            position: lineage.position,
            exact_from: lineage.exact_from,
        }),
    }
}

fn contents(source: &Source) -> Result<Contents, ReseedError> {
    let mut contents = Contents::default();
    source.rows_after(None, &mut |key, _, value| {
        let bytes = key.len() + value.len();
        contents.rows += 1;
        contents.bytes += u64::try_from(bytes).expect("a row fits the memory");
        contents.largest_bytes = contents.largest_bytes.max(bytes);
        Scan::Continue
    })?;
    Ok(contents)
}

fn positions(source: &Source) -> Vec<Offset> {
    source.lineages.iter().map(|lineage| lineage.position).collect()
}

#[cfg(test)]
mod tests;
