//! Who may do what.

use super::findings::Findings;
use crate::config::ServeConfig;

pub(super) fn examine(config: &ServeConfig, findings: &mut Findings) {
    let Some(access) = &config.access else {
        let listen = config.listen.map(|address| address.to_string());
        let socket = config.socket.as_ref().map(|socket| socket.path.display().to_string());
        let reached: Vec<_> = listen.into_iter().chain(socket).collect();
        findings.good(format!(
            "nobody is asked who it is: everybody who reaches {} may do everything",
            reached.join(" or ")
        ));
        return;
    };
    for rule in access.rules.all() {
        findings.good(format!("rule: {rule}"));
    }
    if let Some(tokens) = &access.tokens {
        findings.good(format!("{}: tokens of {} callers", tokens.path().display(), tokens.len()));
    }
}
