//! Whom a rule names.

use std::fmt;

use super::asker::Identities;
use super::caller::CertificateName;

const NAME_BYTES_MAX: usize = 64;

/// One caller of a rule, or several that are named alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// `uid:1000`: a user of this machine, over the Unix socket.
    Uid(u32),
    /// `spiffe://td/ns/shop/web`: a URI of the certificate.
    Uri(String),
    /// `spiffe://td/ns/shop/*`: all URIs that begin so.
    UrisFrom(String),
    /// `dns:orders.example`: a DNS name of the certificate, in lower case.
    Dns(String),
    /// `token:reports`: the bearer token of this name.
    Token(String),
    /// `anyone`: also who says nothing about himself.
    Anyone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhoError {
    #[error("a user is named by number: give `uid:1000`, which `id -u` tells")]
    Uid,
    #[error("give `dns:` and one whole name, such as `dns:orders.example`")]
    Dns,
    #[error(
        "give `token:` and the name of a token: at most {NAME_BYTES_MAX} letters, digits and `.`, `_`, `-`"
    )]
    Token,
    #[error(
        "a `*` stands for any rest at the end of a URI, behind its host: `spiffe://td/ns/shop/*`"
    )]
    Star,
    #[error(
        "give `uid:1000`, a certificate's URI such as `spiffe://td/ns/shop/web`, `dns:orders.example`, `token:reports`, \
         or `anyone`"
    )]
    Unknown,
}

impl Who {
    pub fn parse(text: &str) -> Result<Who, WhoError> {
        if text == "anyone" {
            return Ok(Who::Anyone);
        }
        if let Some((_scheme, rest)) = text.split_once("://") {
            return uri(text, rest);
        }
        match text.split_once(':') {
            Some(("uid", number)) => uid(number).map(Who::Uid).ok_or(WhoError::Uid),
            Some(("dns", name)) if is_dns(name) => Ok(Who::Dns(name.to_ascii_lowercase())),
            Some(("dns", _)) => Err(WhoError::Dns),
            Some(("token", name)) if is_token_name(name) => Ok(Who::Token(name.to_owned())),
            Some(("token", _)) => Err(WhoError::Token),
            Some(_) | None if text.contains('*') => Err(WhoError::Star),
            Some(_) | None => Err(WhoError::Unknown),
        }
    }

    pub(super) fn is(&self, identities: &Identities<'_>) -> bool {
        let Identities { caller, token } = identities;
        let named = |is: &dyn Fn(&CertificateName) -> bool| caller.names.iter().any(is);
        match self {
            Who::Uid(uid) => caller.uid == Some(*uid),
            Who::Uri(uri) => named(&|name| matches!(name, CertificateName::Uri(is) if is == uri)),
            Who::UrisFrom(start) => {
                named(&|name| matches!(name, CertificateName::Uri(is) if is.starts_with(start)))
            }
            Who::Dns(dns) => named(&|name| matches!(name, CertificateName::Dns(is) if is == dns)),
            Who::Token(name) => *token == Some(name.as_str()),
            Who::Anyone => true,
        }
    }
}

/// Whether a token may have this name.
pub(super) fn is_token_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// The system takes the greatest number for nobody.
fn uid(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|uid| digits && *uid != u32::MAX)
}

fn is_dns(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

fn uri(text: &str, behind_scheme: &str) -> Result<Who, WhoError> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || behind_scheme.is_empty() {
        return Err(WhoError::Unknown);
    }
    match text.split_once('*') {
        None => Ok(Who::Uri(text.to_owned())),
        // Of a host that is not whole, anybody could have one that begins so.
        Some((start, "")) if behind_scheme.find('/').is_some_and(|slash| slash > 0) => {
            Ok(Who::UrisFrom(start.to_owned()))
        }
        Some(_) => Err(WhoError::Star),
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Uid(uid) => write!(f, "uid:{uid}"),
            Who::Uri(uri) => f.write_str(uri),
            Who::UrisFrom(start) => write!(f, "{start}*"),
            Who::Dns(name) => write!(f, "dns:{name}"),
            Who::Token(name) => write!(f, "token:{name}"),
            Who::Anyone => f.write_str("anyone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::Caller;
    use super::*;

    #[test]
    fn what_is_named_is_told_as_it_was_given() {
        for text in [
            "uid:0",
            "uid:4294967294",
            "spiffe://td/ns/shop/web",
            "spiffe://td/ns/shop/*",
            "https://host/*",
            "dns:orders.example",
            "token:reports-2",
            "anyone",
        ] {
            assert_eq!(Who::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_names_nobody_is_refused_with_what_would() {
        let table = [
            ("uid:root", WhoError::Uid),
            ("uid:", WhoError::Uid),
            ("uid:-1", WhoError::Uid),
            ("uid:+1", WhoError::Uid),
            ("uid:4294967295", WhoError::Uid),
            ("dns:", WhoError::Dns),
            ("dns:*.example", WhoError::Dns),
            ("token:", WhoError::Token),
            ("token:a b", WhoError::Token),
            ("token:*", WhoError::Token),
            ("spiffe://*", WhoError::Star),
            ("spiffe://td*", WhoError::Star),
            ("spiffe:///*", WhoError::Star),
            ("spiffe://td/*/web", WhoError::Star),
            ("spiffe://td/**", WhoError::Star),
            ("*", WhoError::Star),
            ("spiffe://", WhoError::Unknown),
            ("spiffe://td/a b", WhoError::Unknown),
            ("everybody", WhoError::Unknown),
            ("Anyone", WhoError::Unknown),
            ("1000", WhoError::Unknown),
            ("", WhoError::Unknown),
        ];
        for (text, error) in table {
            assert_eq!(Who::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_name_of_one_kind_is_none_of_another() {
        let names = [
            CertificateName::Uri("dns:orders.example".to_owned()),
            CertificateName::Uri("uid:1000".to_owned()),
            CertificateName::Dns("spiffe".to_owned()),
        ];
        let caller = Caller { names: names.into(), ..Caller::default() };
        let identities = Identities { caller: &caller, token: Some("uid:1000") };
        for who in ["dns:orders.example", "uid:1000", "token:spiffe", "spiffe://td/x"] {
            assert!(!Who::parse(who).expect(who).is(&identities), "{who}");
        }
        assert!(Who::Anyone.is(&identities));
    }
}
