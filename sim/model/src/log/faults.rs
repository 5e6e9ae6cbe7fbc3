//! What a test or the simulator makes the log do wrong. All state of it is here, none by default.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use outrigger_core::log::KafkaError;

use super::request::LateAppend;

/// What becomes of one `Append` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFate {
    Acknowledged,
    Fails(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client is told for each write.
    pub error: KafkaError,
    /// What is true.
    pub landing: Landing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    Never,
    Now,
    /// The request was on its way when its client gave up.
    After(Duration),
}

impl Failure {
    /// The acknowledgement was lost.
    pub fn landed_but_unknown() -> Failure {
        Failure { error: timed_out(false), landing: Landing::Now }
    }

    /// The request was lost after it had left.
    pub fn lost_but_unknown() -> Failure {
        Failure { error: timed_out(false), landing: Landing::Never }
    }

    /// It never left the client: status NOT_PERSISTED.
    pub fn not_persisted() -> Failure {
        Failure { error: timed_out(true), landing: Landing::Never }
    }

    pub fn lands_late(delay: Duration) -> Failure {
        Failure { error: timed_out(false), landing: Landing::After(delay) }
    }

    /// Refused after it was appended: it may or may not survive.
    pub fn not_enough_replicas_after_append(landing: Landing) -> Failure {
        Failure { error: error(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", false), landing }
    }

    pub(super) fn check(&self) {
        let honest = !self.error.not_persisted || self.landing == Landing::Never;
        assert!(honest, "NOT_PERSISTED is a promise: {self:?}");
    }
}

/// No broker answers. Asks and appends wait, and fail when their time is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What an ask fails with, and what `Trouble` says.
    pub error: KafkaError,
    pub append: Failure,
}

impl Outage {
    pub fn unreachable() -> Outage {
        Outage { error: all_brokers_down(), append: Failure::lost_but_unknown() }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) outage: Option<Outage>,
    /// Clients that reach no broker, although others do.
    pub(super) cut_off: BTreeSet<u32>,
    /// Clients that have not been told of the outage.
    pub(super) untold: BTreeSet<u32>,
    /// Fates of the next `Append` calls, whoever makes them.
    pub(super) fates: VecDeque<AppendFate>,
    pub(super) late: Vec<LateAppend>,
    /// Clients whose fetches return nothing although there is something.
    pub(super) stalled: BTreeSet<u32>,
    /// How far other clients' clocks are behind: where their timestamps count (`CreateTime`), the cleaner
    /// takes young records for old ones (KIP-32, KIP-58).
    pub(super) behind: Duration,
    /// Clients whose fetches return nothing until a moment.
    pub(super) gaps: BTreeMap<u32, Duration>,
}

impl Faults {
    pub(super) fn next_fate(&mut self) -> AppendFate {
        self.fates.pop_front().unwrap_or(AppendFate::Acknowledged)
    }

    /// Why this client reaches no broker, if it does not.
    pub(super) fn outage_of(&self, client: u32) -> Option<Outage> {
        let cut_off = || self.cut_off.contains(&client).then(Outage::unreachable);
        self.outage.clone().or_else(cut_off)
    }

    pub(super) fn reaches_nobody(&self, client: u32) -> bool {
        self.outage.is_some() || self.cut_off.contains(&client)
    }

    pub(super) fn fetches_nothing(&self, client: u32) -> bool {
        self.stalled.contains(&client) || self.gaps.contains_key(&client)
    }
}

pub(super) fn error(code: i32, name: &str, not_persisted: bool) -> KafkaError {
    KafkaError { code, name: name.to_owned(), not_persisted }
}

pub(super) fn all_brokers_down() -> KafkaError {
    error(-187, "_ALL_BROKERS_DOWN", false)
}

/// The error of what was given up before it was sent.
pub(super) fn withdrawn_unsent() -> KafkaError {
    KafkaError { not_persisted: true, ..all_brokers_down() }
}

pub(super) fn timed_out(not_persisted: bool) -> KafkaError {
    error(-192, "_MSG_TIMED_OUT", not_persisted)
}
