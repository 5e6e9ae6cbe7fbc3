//! How this node says who it is: what this build cannot do, and what lacks a part, is refused before anything is opened.
//!
//! librdkafka takes these settings one by one and refuses them together when a client starts, or never and waits.

use std::collections::BTreeMap;

use super::BadProperty;

const CHOICES: &str = "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER";

const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";

type Properties = BTreeMap<String, String>;

/// Judges the settings together. The error names the one that is to be changed.
pub(super) fn judge(properties: &Properties) -> Result<(), (&'static str, BadProperty)> {
    if !is_sasl(properties) {
        return Ok(());
    }
    let (key, mechanism) = mechanism(properties);
    let refused = |key: &'static str, reason: String| {
        Err((key, BadProperty::Refused { key: key.to_owned(), reason }))
    };
    match mechanism.map(|name| name.trim().to_ascii_uppercase()).as_deref() {
        None => refused(
            key,
            format!(
                "it is missing, and without it librdkafka takes Kerberos (GSSAPI), which is not built in: set it to {CHOICES}"
            ),
        ),
        Some("GSSAPI") => {
            refused(key, format!("Kerberos (GSSAPI) is not built in: set it to {CHOICES}"))
        }
        Some("OAUTHBEARER") if is_true(properties, UNSECURED) => Ok(()),
        Some("OAUTHBEARER") => refused(
            key,
            format!(
                "OAUTHBEARER has nobody to get its tokens from, for no provider (OIDC) is built in: set {UNSECURED} where the \
                 brokers take tokens that nobody signed, or choose another mechanism"
            ),
        ),
        Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => {
            let needed = ["sasl.username", "sasl.password"];
            let missing = needed.into_iter().find(|key| !properties.contains_key(*key));
            missing.map_or(Ok(()), |key| refused(key, "it is missing: SASL needs it".to_owned()))
        }
        Some(_) => refused(key, format!("no such mechanism is built in: set it to {CHOICES}")),
    }
}

/// Judges one setting by itself: librdkafka says of this value only that it was built without.
pub(super) fn judge_method(key: &str, value: &str) -> Result<(), String> {
    if key == "sasl.oauthbearer.method" && value.trim().eq_ignore_ascii_case("oidc") {
        Err(format!(
            "tokens of a provider (OIDC) are not built in: choose another sasl.mechanism ({CHOICES}, the last with {UNSECURED})"
        ))
    } else {
        Ok(())
    }
}

fn is_sasl(properties: &Properties) -> bool {
    let protocol = properties.get("security.protocol");
    protocol.is_some_and(|protocol| protocol.trim().to_ascii_lowercase().starts_with("sasl_"))
}

/// Returns the mechanism, by the name that was used: both names are librdkafka's for the same.
fn mechanism(properties: &Properties) -> (&'static str, Option<&str>) {
    let given = |key: &'static str| properties.get(key).map(|value| (key, Some(value.as_str())));
    given("sasl.mechanisms").or_else(|| given("sasl.mechanism")).unwrap_or(("sasl.mechanism", None))
}

fn is_true(properties: &Properties, key: &str) -> bool {
    let value = properties.get(key).map(|value| value.trim().to_ascii_lowercase());
    value.is_some_and(|value| ["true", "t", "1"].contains(&value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)]) -> Result<(), String> {
        let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        judge(&properties.collect()).map_err(|(_, bad)| bad.to_string())
    }

    #[test]
    fn what_is_not_built_in_is_refused_with_the_reason() {
        let sasl = ("security.protocol", "SASL_SSL");
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            let text = told(&[sasl, (name, "GSSAPI")]).unwrap_err();
            assert!(text.contains(name) && text.contains("not built in"), "{text}");
        }
        let text = told(&[("security.protocol", "sasl_plaintext")]).unwrap_err();
        assert!(text.starts_with("sasl.mechanism: it is missing"), "{text}");
        let text = told(&[sasl, ("sasl.mechanism", "NTLM")]).unwrap_err();
        assert!(text.contains("no such mechanism") && text.contains("SCRAM-SHA-512"), "{text}");
        let text = judge_method("sasl.oauthbearer.method", "OIDC").unwrap_err();
        assert!(text.contains("not built in"), "{text}");
        assert_eq!(judge_method("sasl.oauthbearer.method", "default"), Ok(()));
    }

    #[test]
    fn tokens_need_somebody_who_makes_them() {
        let oauth = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")];
        let text = told(&oauth).unwrap_err();
        assert!(text.contains(UNSECURED) && text.contains("OIDC"), "{text}");
        let text = told(&[&oauth[..], &[(UNSECURED, "false")]].concat()).unwrap_err();
        assert!(text.contains(UNSECURED), "{text}");
        assert_eq!(told(&[&oauth[..], &[(UNSECURED, "true")]].concat()), Ok(()));
    }

    #[test]
    fn a_login_has_a_name_and_a_password() {
        let scram = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512")];
        let named = [&scram[..], &[("sasl.username", "u")]].concat();
        assert!(told(&scram).unwrap_err().starts_with("sasl.username: it is missing"));
        assert!(told(&named).unwrap_err().starts_with("sasl.password: it is missing"));
        assert_eq!(told(&[&named[..], &[("sasl.password", "p")]].concat()), Ok(()));
        assert_eq!(told(&[("security.protocol", "SSL")]), Ok(()), "no SASL, nothing to say");
        assert_eq!(told(&[("sasl.mechanism", "GSSAPI")]), Ok(()), "not used");
    }
}
