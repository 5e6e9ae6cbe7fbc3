//! Why no connection to a broker comes about, in librdkafka's words: they name the broker and, often, the cause.
//!
//! A client of its own asks the topic's leader something and listens; it is gone when the answer is there.

use std::time::{Duration, Instant};

use outrigger_core::offset::Partition;

use super::config::KafkaConfig;
use super::raw::{Code, Event, OffsetSpec, Timeout};
use super::settings::ADMIN_TIMEOUT;
use super::topic_name;

/// What librdkafka said of a connection, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    pub detail: String,
    pub what_to_do: String,
}

/// Which broker a sentence of librdkafka is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Broker {
    /// A broker that this node was told to begin with.
    Bootstrap,
    /// A broker that another one named, by its number, at this address.
    Named { address: String, number: u32 },
}

/// Looks for trouble with connections. Blocks for seconds. None: nothing was said, so connections are not what is
/// wrong.
pub fn unreached(config: &KafkaConfig, topic: &str) -> Option<Unreached> {
    let name = topic_name(topic).ok()?;
    let client = config.admin().ok()?;
    let (answers, events) = (client.new_queue(), client.main_queue());
    client.list_offsets(
        &name,
        &[Partition(0)],
        OffsetSpec::HighWatermark,
        0,
        Timeout(ADMIN_TIMEOUT),
        &answers,
    );
    let until = Instant::now() + ADMIN_TIMEOUT;
    let (mut answered, mut told) = (false, None);
    while !answered && Instant::now() < until {
        events.poll(Duration::from_millis(50), |event| told = hear(told.take(), &event));
        answers.poll(Duration::ZERO, |event| {
            answered = matches!(event, Event::Offsets { answer: Ok(_), .. });
        });
        // A broker that names itself wrongly is met by way of one that is right.
        if matches!(told, Some((Broker::Named { .. }, ..))) {
            break;
        }
    }
    let (broker, code, text) = told.filter(|_| !answered)?;
    Some(Unreached { what_to_do: advice(&broker, code), detail: text })
}

/// What librdkafka's log says of connections has this name.
const FAIL: &str = "FAIL";

type Said = (Broker, Code, String);

/// The last sentence that was said of a broker. A connection that ends without an error, as with a listener that speaks
/// something else, is only in librdkafka's log.
fn hear(before: Option<Said>, event: &Event<'_>) -> Option<Said> {
    let (code, text) = match event {
        Event::Error { code, text } => (*code, &**text),
        Event::Log { facility, text, .. } if *facility == FAIL => (Code::TRANSPORT, logged(text)),
        Event::Log { .. }
        | Event::Statistics(_)
        | Event::Deliveries(_)
        | Event::Topic { .. }
        | Event::Configs { .. }
        | Event::Offsets { .. }
        | Event::Created { .. }
        | Event::Group { .. } => return before,
    };
    // An error with a code of its own says more than that a connection ended.
    let more = before.as_ref().is_some_and(|(_, known, _)| *known != Code::TRANSPORT);
    match broker(text).filter(|_| !more || code != Code::TRANSPORT) {
        Some(broker) => Some((broker, code, text.to_owned())),
        None => before,
    }
}

/// A line of the log without the name of its thread, which it begins with.
fn logged(text: &str) -> &str {
    let named = text.strip_prefix("[thrd:").and_then(|text| text.split_once("]: "));
    named.map_or(text, |(_thread, text)| text)
}

/// Reads which broker a sentence is about. It begins with `[protocol://]host:port/number: `, or `…/bootstrap: `.
fn broker(text: &str) -> Option<Broker> {
    let (name, _) = text.split_once(": ")?;
    let name = name.split_once("://").map_or(name, |(_protocol, name)| name);
    let (address, number) = name.rsplit_once('/')?;
    match number.parse() {
        Ok(number) => Some(Broker::Named { address: address.to_owned(), number }),
        Err(_no_number) => (number == "bootstrap").then_some(Broker::Bootstrap),
    }
}

fn advice(broker: &Broker, code: Code) -> String {
    match (code, broker) {
        (Code::SSL, _) => "check that `security.protocol` is what that listener speaks, and the certificates of both \
                           sides (`ssl.ca.location`)"
            .to_owned(),
        (Code::AUTHENTICATION, _) => "check `sasl.mechanism` and the credentials".to_owned(),
        (_, Broker::Bootstrap) => "check that the brokers run and that `bootstrap` names them, and that \
                                   `security.protocol` is what their listeners speak"
            .to_owned(),
        (_, Broker::Named { address, number }) => format!(
            "check that broker {number} runs, and that its `advertised.listeners` is an address that this node \
             reaches: it says {address}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_sentence_is_about_a_broker_or_about_none(
            text in "(\\[thrd:)?([a-z]{0,3}://)?[a-z:0-9]{0,9}/?([0-9]{0,12}|bootstrap)(\\])?(: .*)?|.*",
        ) {
            if let Some(Broker::Named { address, .. }) = broker(logged(&text)) {
                let named = format!("{address}/");
                prop_assert!(text.contains(&named));
            }
        }
    }

    #[test]
    fn a_sentence_tells_whether_the_address_is_ours_or_the_brokers_own() {
        let named =
            |address: &str, number| Some(Broker::Named { address: address.to_owned(), number });
        for (text, found) in [
            (
                "nowhere.invalid:9092/1: Failed to resolve 'nowhere.invalid:9092'",
                named("nowhere.invalid:9092", 1),
            ),
            ("ssl://b:9093/12: SSL handshake failed", named("b:9093", 12)),
            (
                "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed",
                Some(Broker::Bootstrap),
            ),
            ("1/1 brokers are down", None),
            ("b:9092/controller: x", None),
        ] {
            assert_eq!(broker(text), found, "{text}");
        }
    }

    #[test]
    fn a_connection_that_merely_ended_is_heard_of_in_the_log() {
        let text = "a:1/bootstrap: Disconnected: connecting to a SSL listener?";
        assert_eq!(logged(&format!("[thrd:a:1/bootstrap]: {text}")), text);
        assert_eq!(logged(text), text);
    }

    #[test]
    fn what_to_do_names_the_setting() {
        let named = Broker::Named { address: "a:1".to_owned(), number: 7 };
        let other = Code::TRANSPORT;
        assert!(advice(&named, other).contains("`advertised.listeners`"));
        assert!(advice(&Broker::Bootstrap, other).contains("`bootstrap`"));
        assert!(advice(&named, Code::SSL).contains("`security.protocol`"));
    }
}
