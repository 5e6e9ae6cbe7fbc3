//! WHY: in a generation that is set aside, a line for people, and the line `lost` where the log lost what it has.

use outrigger_core::store::Why;

const HAS_LOST: &str = "lost";

pub(super) fn encode(why: &Why) -> String {
    let line = why.to_string().replace('\n', " ");
    match why {
        Why::Lost(_) => format!("{line}\n{HAS_LOST}\n"),
        Why::Damaged(_) | Why::Superseded => format!("{line}\n"),
    }
}

/// The line for people, and whether the log lost what the generation has.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let why = lines.next().unwrap_or_default().trim().to_owned();
    (why, lines.next() == Some(HAS_LOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loss_is_said_to_have_what_the_log_lost() {
        for why in [Why::Damaged("a bad block\nlost".to_owned()), Why::Superseded] {
            let (read, has_lost) = decode(encode(&why).as_bytes());
            assert_eq!((read, has_lost), (why.to_string().replace('\n', " "), false));
        }
    }
}
