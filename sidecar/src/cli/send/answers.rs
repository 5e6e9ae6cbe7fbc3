//! What became of the writes, and the bar that shows it.

use indicatif::{ProgressBar, ProgressStyle};
use outrigger_client::{Error as CallError, Pending, Revision};
use tokio::sync::mpsc;

use crate::cli::failure::{Failure, SendFailure};

/// Answers between two changes of the bar: it costs more than an answer does.
const BAR_STEP: u64 = 256;

#[derive(Default)]
pub(super) struct Answers {
    written: u64,
    not_written: u64,
    unknown: u64,
    first_failure: Option<CallError>,
}

impl Answers {
    /// Takes every answer, in the order of the writes, until no more are announced.
    pub(super) async fn collect(
        mut announced: mpsc::Receiver<Pending>,
        bar: ProgressBar,
    ) -> Answers {
        let mut answers = Answers::default();
        let mut taken = 0;
        while let Some(pending) = announced.recv().await {
            answers.take(pending.await);
            taken += 1;
            if taken % BAR_STEP == 0 {
                bar.set_position(taken);
            }
        }
        bar.finish_and_clear();
        answers
    }

    pub(super) fn take(&mut self, answer: Result<Revision, CallError>) {
        let Err(error) = answer else {
            self.written += 1;
            return;
        };
        if error.may_have_happened() {
            self.unknown += 1;
        } else {
            self.not_written += 1;
        }
        self.first_failure.get_or_insert(error);
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn verdict(self) -> Result<(), Failure> {
        let Answers { not_written, unknown, first_failure, .. } = self;
        match first_failure {
            None => Ok(()),
            Some(first) => Err(Failure::Send(SendFailure { not_written, unknown, first })),
        }
    }
}

/// Makes a bar of `writes`; none: it has no end.
pub(super) fn bar(writes: Option<u64>) -> ProgressBar {
    let (bar, template) = match writes {
        Some(writes) => (
            ProgressBar::new(writes),
            "{bar:32} {human_pos} of {human_len} writes  {per_sec}  ETA {eta}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} writes  {per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant"))
}
