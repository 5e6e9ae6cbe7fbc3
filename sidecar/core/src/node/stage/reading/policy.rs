//! The topic's configuration while its copy is read: how much of what it was may still be trusted.
//!
//! What is fetched lacks the tombstones that a retention let go, also one that was lowered a moment ago, while the
//! process slept for instance. They were appended after the copy's confirmation and lived for that retention: so a
//! batch is applied only while one of both, the confirmation or the answer that tells the configuration, is younger
//! than `policy_trust`; and a retention that turns out to be shorter than that leaves nothing to trust.
//!
//! A lag that is lowered unprotects records at once. So gaps that did not count because of it are remembered until an
//! answer tells that it was still the same, within half of that time, and count when it was not. What was read with
//! them is not flushed before.

use std::time::Duration;

use crate::decide::policy_fault;
use crate::offset::Partition;
use crate::topic::TopicPolicy;

use super::{Reader, Reading, Usage};
use crate::node::shared::{News, Shared};
use crate::node::stage::handlers::{Leave, Stays};

impl Reading {
    pub(super) fn knows_policy(&self, shared: &Shared, partition: Partition) -> bool {
        let trust = shared.limits.policy_trust;
        self.readers[partition.index()].age(shared.now) < trust
            || shared.now.mono.saturating_sub(shared.asked_at.mono) < trust
    }

    /// Asks early where batches would have to wait for the answer: as long as nothing confirms the copy.
    pub(super) fn keep_policy_known(&self, shared: &mut Shared) {
        let half = shared.limits.policy_trust / 2;
        let now = shared.now;
        let wants = |reader: &Reader| reader.has_trusted_gaps() || reader.age(now) >= half;
        if self.readers.iter().any(wants) {
            shared.describe.by(shared.asked_at.mono + half);
        }
    }

    /// A flush may wait for the answer to a question from now on.
    pub(super) fn hurry_policy(&self, shared: &mut Shared) {
        if self.is_settling() && self.readers.iter().any(Reader::waits_for_policy) {
            shared.describe.hurry();
        }
    }

    /// The topic as it is now, against what this copy was accepted for.
    pub(super) fn audit(&mut self, shared: &mut Shared, news: &News) -> Stays {
        let (policy, asked) = (&news.facts.policy, shared.asked_at);
        let same = self.identity == news.facts.identity(&shared.store);
        let safe = policy_fault(policy, &shared.limits).is_none();
        if !(same && safe) {
            return Err(Leave::Reopen);
        }
        if !news.superseded {
            shared.describe.rest(shared.now, shared.limits.describe_interval);
        }
        self.audit_retention(shared, policy.delete_retention_ms)?;
        let protects =
            |policy: &TopicPolicy| (policy.min_compaction_lag_ms, policy.log_append_time);
        let before = news.before.as_ref().map(|before| protects(&before.policy));
        let same = before.is_none_or(|before| before == protects(policy));
        let mut lost = false;
        for reader in &mut self.readers {
            reader.see_retention(policy.delete_retention_ms);
            if same {
                reader.trust_gaps(asked.mono);
            } else if !reader.protects_otherwise(asked) {
                shared.evidence.inexact.insert((self.generation, reader.partition));
                lost = true;
            }
        }
        if lost {
            return Err(Leave::Reopen);
        }
        if !same {
            self.begin_ring(shared);
        }
        self.hurry_policy(shared);
        self.flush_if_settled(shared)?;
        self.release_held(shared)
    }

    fn audit_retention(&self, shared: &mut Shared, retention_ms: u64) -> Stays {
        let seen = |reader: &Reader| reader.fetched().delete_retention_ms_min;
        if self.readers.iter().all(|reader| retention_ms >= seen(reader)) {
            return Ok(());
        }
        let trusted_ms = retention_ms.saturating_sub(shared.limits.margin_ms(retention_ms));
        if Duration::from_millis(trusted_ms) < shared.limits.policy_trust {
            // What was read since the last answer may lack tombstones.
            shared.heard.condemn(self.generation);
            return Err(Leave::Reopen);
        }
        if self.usage == Usage::Active {
            Ok(())
        } else {
            // A copy that is kept beside a rebuild learns it too: opened anew, both are written first.
            Err(Leave::Reopen)
        }
    }
}

impl Shared {
    pub(super) fn hurry_for_policy(&mut self) {
        let trusted_since = self.now.mono.saturating_sub(self.limits.policy_trust);
        self.describe.hurry_unless_since(trusted_since);
    }
}
