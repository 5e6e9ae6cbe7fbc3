//! What one session has seen, shared by all clones of a store handle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_proto::v1;

use crate::error::{Effect, Error};
use crate::token::{AnotherTopic, Token};

#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// Guards the merged token only. The lock is held for one merge or copy, never over an await;
    /// no other lock is taken under it.
    token: Arc<Mutex<Option<Token>>>,
}

impl Session {
    pub(crate) fn token(&self) -> Option<Token> {
        self.lock().clone()
    }

    /// Continues another session here as well.
    pub(crate) fn resume(&self, token: Token) -> Result<(), Error> {
        let mut mine = self.lock();
        match mine.as_mut() {
            Some(mine) => mine.merge(token).map_err(|AnotherTopic| {
                Error::session_lost("the token is of another topic than this session's")
            }),
            None => {
                *mine = Some(token);
                Ok(())
            }
        }
    }

    /// Notes what an answer has shown.
    ///
    /// An answer of another topic leaves the session as it is: what it saw in the old topic is not
    /// forgotten behind the caller's back, and its next read is refused by name.
    pub(crate) fn observe(&self, effect: Effect, token: Option<v1::Token>) -> Result<Token, Error> {
        let token = token.ok_or_else(|| Error::protocol(effect, "it has no token"))?;
        let token = Token::try_from(token)
            .map_err(|invalid| Error::protocol(effect, &invalid.to_string()))?;
        let mut mine = self.lock();
        match mine.as_mut() {
            Some(mine) => match mine.merge(token.clone()) {
                Ok(()) | Err(AnotherTopic) => {}
            },
            None => *mine = Some(token.clone()),
        }
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Token>> {
        // Nothing in this file can panic halfway through a change.
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
