//! Who may call, and what: identities, rights, the rules that give one the other, and the tokens that name callers.
//!
//! It decides, and tells nobody. It knows neither gRPC nor stores, and of files only that of the tokens. What no rule
//! allows is refused; without rules there is no [`Access`], and nobody is asked who it is.

mod asker;
mod caller;
mod keys;
mod right;
mod rules;
mod tokens;
mod who;

pub use asker::{Access, Asker, Denied, NotAllowed};
pub use caller::{Caller, CertificateName};
pub use keys::Keys;
pub use right::{Needs, Right, needs};
pub use rules::{Rule, Rules};
pub use tokens::{Look, Token, Tokens, TokensError};
pub use who::{Who, WhoError};
