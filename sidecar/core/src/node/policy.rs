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

use crate::batch::Batch;
use crate::decide::policy_fault;
use crate::offset::Partition;
use crate::topic::{LogFacts, TopicPolicy};

use super::reader::Reader;
use super::reading::Usage;
use super::{Node, Stage};

impl Node {
    /// Applies a batch, or holds it back until the topic's configuration is known again, or the topic is.
    pub(super) fn take(&mut self, batch: Batch) {
        match self.may_take(&batch) {
            true => self.gather(batch),
            false => self.hold(batch),
        }
    }

    fn may_take(&self, batch: &Batch) -> bool {
        let Stage::Reading(reading) = &self.stage else {
            return false;
        };
        self.knows_policy(batch.partition) && !reading.holds_back(&self.limits)
    }

    fn hold(&mut self, batch: Batch) {
        let known = self.knows_policy(batch.partition);
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        reading.reader(batch.partition).hold(batch);
        if !known {
            self.hurry_for_policy();
        }
    }

    pub(super) fn hurry_for_policy(&mut self) {
        self.describe.hurry_unless_since(self.trusted_since());
    }

    fn trusted_since(&self) -> Duration {
        self.now.mono.saturating_sub(self.limits.policy_trust)
    }

    pub(super) fn knows_policy(&self, partition: Partition) -> bool {
        let Stage::Reading(reading) = &self.stage else {
            return false;
        };
        let trust = self.limits.policy_trust;
        reading.readers[partition.index()].age(self.now) < trust
            || self.now.mono.saturating_sub(self.asked_at.mono) < trust
    }

    /// Asks early where batches would have to wait for the answer: as long as nothing confirms the copy.
    pub(super) fn keep_policy_known(&mut self) {
        let Stage::Reading(reading) = &self.stage else {
            return;
        };
        let half = self.limits.policy_trust / 2;
        let wants = |reader: &Reader| reader.has_trusted_gaps() || reader.age(self.now) >= half;
        if reading.readers.iter().any(wants) {
            self.describe.by(self.asked_at.mono + half);
        }
    }

    /// The topic as it is now, against what this copy was accepted for; `before`: as it was known.
    pub(super) fn audit(
        &mut self,
        facts: &LogFacts,
        before: Option<&TopicPolicy>,
        superseded: bool,
    ) {
        let asked = self.asked_at.mono;
        let Stage::Reading(reading) = &mut self.stage else {
            return;
        };
        let same = reading.identity == facts.identity(&self.store);
        let safe = policy_fault(&facts.policy, &self.limits).is_none();
        if !(same && safe) {
            return self.reopen();
        }
        if !superseded {
            self.describe.rest(self.now, self.limits.describe_interval);
        }
        let retention_ms = facts.policy.delete_retention_ms;
        let trusted_ms = retention_ms.saturating_sub(self.limits.margin_ms(retention_ms));
        let unseen = Duration::from_millis(trusted_ms) < self.limits.policy_trust;
        let lowered = reading
            .readers
            .iter()
            .any(|reader| retention_ms < reader.fetched().delete_retention_ms_min);
        if lowered && unseen {
            self.heard.condemn(reading.generation);
            return self.reopen();
        }
        if lowered && reading.usage != Usage::Active {
            // A copy that is kept beside a rebuild learns it too: opened anew, both are written first.
            return self.reopen();
        }
        let protects =
            |policy: &TopicPolicy| (policy.min_compaction_lag_ms, policy.log_append_time);
        let same = before.is_none_or(|before| protects(before) == protects(&facts.policy));
        let mut lost = false;
        for reader in &mut reading.readers {
            reader.see_retention(retention_ms);
            if same {
                reader.trust_gaps(asked);
            } else if !reader.protects_otherwise(self.asked_at) {
                self.evidence.inexact.insert((reading.generation, reader.partition));
                lost = true;
            }
        }
        if lost {
            return self.reopen();
        }
        self.hurry_policy();
        self.flush_if_settled();
        self.release_held();
    }
}
