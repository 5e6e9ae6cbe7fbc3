//! Who is let in, and for what: the decisions of `access`, in the words of the protocol and seldom in the log.
//!
//! A call is let in when it begins ([`Door::admit`], for all calls in one place); what it is about is asked where that is
//! known, of the [`Asker`] that goes with it. Where there are no rules both cost nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use outrigger_proto::Rpc;
use outrigger_proto::v1::ErrorDetail;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Extensions;

use super::error;
use crate::access::{self, Access, Caller, Denied, Keys, Look, NotAllowed, Right};
use crate::release::Release;
use crate::seldom::Seldom;
use crate::telemetry::metrics;

/// How often the file of tokens is looked at. What changed is taken at the second look that finds it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same news is not logged again before this: strangers must not fill the log.
const NEWS_EVERY: Duration = Duration::from_secs(10);

/// A clone is a reference.
#[derive(Clone)]
pub(super) struct Door(Option<Arc<Guard>>);

struct Guard {
    access: Arc<Access>,
    news: News,
}

/// When it was told last. No other lock is taken while one of these is held.
struct News {
    strangers: Mutex<Seldom>,
    not_allowed: Mutex<Seldom>,
}

/// Who asks in one call. A clone is a few references.
#[derive(Clone)]
pub(super) struct Asker {
    /// None: it is asked nothing.
    admitted: Option<Admitted>,
    /// What is taken back by what it may do.
    release: Option<Release>,
    /// Whom the connection comes from, of calls that the log tells of.
    caller: Option<Caller>,
}

/// How a call is let in.
pub(super) enum Entry {
    /// By the rules, or because there are none.
    Known(Asker),
    /// Because it is open to everybody: no rule knows its caller, who must not take what others need.
    Stranger,
}

#[derive(Clone)]
struct Admitted {
    guard: Arc<Guard>,
    asker: access::Asker,
}

impl Door {
    pub(super) fn new(access: Option<Arc<Access>>) -> Door {
        let news = || Mutex::new(Seldom::new(NEWS_EVERY));
        Door(access.map(|access| {
            let news = News { strangers: news(), not_allowed: news() };
            Arc::new(Guard { access, news })
        }))
    }

    /// Lets a call in, or says why not. Calls of other services, for which `rpc` is none, tell nothing of a store: they
    /// are open to everybody.
    pub(super) fn admit(
        &self,
        rpc: Option<Rpc>,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Entry, ErrorDetail> {
        let Some(guard) = &self.0 else { return Ok(Entry::Known(Asker::NOT_ASKED)) };
        let authorization = headers.get(AUTHORIZATION).map(|said| said.as_bytes());
        let Some(rpc) = rpc else {
            let known = guard.access.knows(caller, authorization);
            return Ok(if known { Entry::Known(Asker::NOT_ASKED) } else { Entry::Stranger });
        };
        match guard.access.admit(rpc, caller, authorization) {
            Ok(asker) => {
                let admitted = Some(Admitted { guard: guard.clone(), asker });
                Ok(Entry::Known(Asker { admitted, ..Asker::NOT_ASKED }))
            }
            Err(denied) => Err(guard.stranger(rpc, caller, &denied)),
        }
    }

    /// Returns who asks, from what [`Door::admit`] returned and its call carries.
    pub(super) fn asker(&self, of_call: &Extensions) -> Asker {
        let asker = match &self.0 {
            None => Asker::NOT_ASKED,
            Some(_) => {
                of_call.get::<Asker>().cloned().expect("every call that was let in has its asker")
            }
        };
        Asker { caller: of_call.get::<Caller>().cloned(), ..asker }
    }

    /// Looks at the file of tokens, until `ending`.
    pub(super) async fn follow_tokens(&self, ending: CancellationToken) {
        let guard = self.0.as_ref().filter(|guard| guard.access.tokens.is_some());
        let Some(guard) = guard else { return };
        metrics::tokens_unfit(false);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while ending.run_until_cancelled(ticks.tick()).await.is_some() {
            let access = guard.access.clone();
            let look =
                tokio::task::spawn_blocking(move || access.tokens.as_ref().map(|it| it.look()));
            if let Some(look) = look.await.expect("reading a file does not panic") {
                tell(&guard.access, look);
            }
        }
    }
}

impl Entry {
    pub(super) fn asker(self) -> Asker {
        match self {
            Entry::Known(asker) => asker,
            Entry::Stranger => Asker::NOT_ASKED,
        }
    }
}

fn tell(access: &Access, look: Look) {
    let file =
        access.tokens.as_ref().map(|tokens| tracing::field::display(tokens.path().display()));
    match look {
        Look::Same => metrics::tokens_unfit(false),
        Look::Changing => {}
        Look::Changed { tokens, revoked } => {
            metrics::tokens_unfit(false);
            tracing::info!(
                file,
                tokens,
                revoked = revoked.join(","),
                "the tokens of callers changed"
            );
        }
        Look::Unfit { error, first } => {
            metrics::tokens_unfit(true);
            if first {
                tracing::warn!(file, %error, "the file of tokens cannot be used: those that it had last are good");
            }
        }
    }
}

impl Guard {
    fn stranger(&self, rpc: Rpc, caller: &Caller, denied: &Denied) -> ErrorDetail {
        if let Some(times) = now(&self.news.strangers) {
            let (call, from) = (rpc.path(), caller.address.map(tracing::field::display));
            tracing::warn!(call, from, why = %denied, times, "a caller was not let in");
        }
        error::not_let_in(denied)
    }

    fn not_allowed(&self, not_allowed: &NotAllowed) -> ErrorDetail {
        if let Some(times) = now(&self.news.not_allowed) {
            tracing::warn!(why = %not_allowed, times, "a caller asked for what it may not");
        }
        error::not_allowed(not_allowed)
    }
}

/// Counts that it happened. Returns how often, when it is to be told.
fn now(news: &Mutex<Seldom>) -> Option<u64> {
    news.lock().unwrap_or_else(PoisonError::into_inner).now(Instant::now())
}

impl Asker {
    /// Somebody who is asked nothing.
    pub(super) const NOT_ASKED: Asker = Asker { admitted: None, release: None, caller: None };

    /// The same, of a call that reads or writes: what it may do says that the application is not done.
    pub(super) fn of_user(self, release: Release) -> Asker {
        Asker { release: Some(release), ..self }
    }

    /// Returns who it is and where it calls from, as the log tells it.
    pub(super) fn told(&self) -> String {
        let who = match (&self.admitted, self.caller.as_ref().and_then(|caller| caller.uid)) {
            (Some(admitted), _) => admitted.asker.to_string(),
            (None, Some(uid)) => format!("uid:{uid}"),
            (None, None) => "somebody whom no rule asks".to_owned(),
        };
        match self.caller.as_ref().and_then(|caller| caller.address) {
            Some(address) => format!("{who}, from {address}"),
            None => who,
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.admitted.is_some()
    }

    /// Returns what is cancelled when the token is taken away that came with the call.
    pub(super) fn revoked(&self) -> Option<CancellationToken> {
        Some(self.admitted.as_ref()?.asker.token()?.revoked().clone())
    }

    /// Whether a call may be about `store` and all of `keys`. If it may, nobody is done whose call it is.
    pub(super) fn may(&self, rpc: Rpc, store: &str, keys: Keys<'_>) -> Result<(), ErrorDetail> {
        self.is_allowed(rpc, store, keys)?;
        if let Some(release) = &self.release {
            release.take_back();
        }
        Ok(())
    }

    fn is_allowed(&self, rpc: Rpc, store: &str, keys: Keys<'_>) -> Result<(), ErrorDetail> {
        let Some(Admitted { guard, asker }) = &self.admitted else { return Ok(()) };
        // A stream may have more to say than its caller takes answers: it is asked at each item.
        if asker.token().is_some_and(|token| token.revoked().is_cancelled()) {
            return Err(error::not_let_in(&Denied::UnknownToken));
        }
        asker.check(rpc, store, keys).map_err(|not_allowed| guard.not_allowed(&not_allowed))
    }

    /// Whether a call may be about some keys of `store`, which are not known yet.
    pub(super) fn may_begin(&self, rpc: Rpc, store: &str) -> Result<(), ErrorDetail> {
        let Some(Admitted { guard, asker }) = &self.admitted else { return Ok(()) };
        match asker.check(rpc, store, Keys::All) {
            Err(not_allowed) if not_allowed.prefixes.is_empty() => {
                Err(guard.not_allowed(&not_allowed))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The same for one of `stores`, whichever it is.
    pub(super) fn may_begin_one<'a>(
        &self,
        rpc: Rpc,
        stores: impl Iterator<Item = &'a str>,
    ) -> Result<(), ErrorDetail> {
        let Some(Admitted { guard, asker }) = &self.admitted else { return Ok(()) };
        let mut refused = Ok(());
        for store in stores {
            match asker.check(rpc, store, Keys::All) {
                Err(not_allowed) if not_allowed.prefixes.is_empty() => refused = Err(not_allowed),
                Ok(()) | Err(_) => return Ok(()),
            }
        }
        refused.map_err(|not_allowed| guard.not_allowed(&not_allowed))
    }

    /// Whether it may learn what sums up a whole store: who may read it all, and its operators.
    pub(super) fn may_sum_up(&self, store: &str) -> Result<(), ErrorDetail> {
        let Some(Admitted { guard, asker }) = &self.admitted else { return Ok(()) };
        let whole = |right| asker.check_right(right, store, Keys::All);
        let allowed = whole(Right::Admin).or_else(|_no_operator| whole(Right::Read));
        allowed.map_err(|not_allowed| guard.not_allowed(&not_allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Rule, Rules, Who};

    const STORE: &str = "notes";

    fn door() -> Door {
        let who = vec![Who::parse("uid:7").expect("a user")];
        let may = vec![Right::Read, Right::Write];
        let rule = Rule { who, store: Some(STORE.to_owned()), prefix: "user/".to_owned(), may };
        let rules = Rules::new(vec![rule]).expect("rules");
        Door::new(Some(Arc::new(Access { rules, tokens: None })))
    }

    /// Whether somebody who asks for a key after a release still has it when the node leaves.
    fn keeps_the_release(asker: Asker, rpc: Rpc, key: &[u8]) -> bool {
        let release = Release::default();
        release.give();
        let asker = asker.of_user(release.clone());
        assert_eq!(asker.may_begin(rpc, STORE), Ok(()));
        let allowed = asker.may(rpc, STORE, Keys::One(key)).is_ok();
        release.leave();
        let kept = release.is_over();
        assert_ne!(allowed, kept, "what is allowed takes it back, and nothing else");
        kept
    }

    #[test]
    fn only_a_read_or_write_that_is_allowed_says_that_the_application_is_not_done() {
        for rpc in [Rpc::Get, Rpc::Put, Rpc::Delete, Rpc::Scan, Rpc::Write] {
            assert!(!keeps_the_release(Asker::NOT_ASKED, rpc, b"order/1"));
            let entry = door().admit(Some(rpc), &Caller::user(7), &HeaderMap::new());
            let asker = entry.expect("a rule").asker();
            assert!(!keeps_the_release(asker.clone(), rpc, b"user/1"));
            assert!(keeps_the_release(asker, rpc, b"order/1"));
        }
    }

    #[test]
    fn who_asks_what_is_open_to_everybody_is_a_stranger_all_the_same() {
        let entry = |door: Door, uid| door.admit(None, &Caller::user(uid), &HeaderMap::new());
        assert!(matches!(entry(door(), 7), Ok(Entry::Known(_))));
        assert!(matches!(entry(door(), 8), Ok(Entry::Stranger)));
        assert!(matches!(entry(Door::new(None), 8), Ok(Entry::Known(_))));
    }
}
