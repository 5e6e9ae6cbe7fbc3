//! TLS of this node's own listeners: its certificate and key, and whom it knows callers' certificates from.
//!
//! ```text
//!  every 10 s   what the files hold ── as before ──> nothing
//!                     └── something else ── they go together ──> new connections have it; those that are open stay
//!                                                └── not ──> said once, and a metric; what was there before is used
//! ```
//! Files are looked at, not watched: what Kubernetes swaps is a link in the way to them.

mod certificate;
mod files;
#[cfg(test)]
pub(crate) mod made;
mod server;

pub use self::certificate::{Certificate, CertificateError, Validity};
pub(crate) use self::certificate::{Role, of_pem};
pub use self::files::{Listen, TlsError, TlsFiles};
pub use self::server::{Renewal, Shown, TlsServer};
