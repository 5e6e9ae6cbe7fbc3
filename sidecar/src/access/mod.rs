//! Who may call, and what: identities and rights. It decides, and tells nobody: it knows neither gRPC nor how calls
//! come in.

mod caller;

pub use caller::{Caller, CertificateName};
