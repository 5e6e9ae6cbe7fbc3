//! A broker that tells of a cluster in which nobody is up, as a real one does for a moment that comes back from a long pause.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Client, Code, Event, Kind, Timeout};
use crate::telemetry::metrics::{self, Brokers};

/// How many a cluster has in which nobody is up, and how long their names are: enough that a broker's thread ends before
/// all of them are read. librdkafka then takes back what it had just resolved, to begin again.
const TOPICS: i32 = 30_000;
const NAME_BYTES: usize = 100;

fn name(topic: i32) -> String {
    format!("{topic:x<NAME_BYTES$}")
}

/// The numbers of the requests that it knows, and the only version of each.
const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const KNOWN: [(i16, i16); 2] = [(API_VERSIONS, 0), (METADATA, 1)];

/// Kafka's error UNSUPPORTED_VERSION.
const UNSUPPORTED: i16 = 35;

/// It tells which brokers and topics there are, and knows of nothing else.
#[derive(Clone)]
struct Broker {
    port: u16,
    /// Whether it tells of itself; else of the topic alone.
    is_up: Arc<AtomicBool>,
    /// How often metadata was asked for.
    asked: Arc<AtomicUsize>,
}

impl Broker {
    fn start() -> io::Result<Broker> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let broker = Broker { port, is_up: Arc::default(), asked: Arc::default() };
        let serving = broker.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(connection));
            }
        });
        Ok(broker)
    }

    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            connection.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length).try_into().expect("it fits");
            let mut request = vec![0; length];
            connection.read_exact(&mut request)?;
            let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
            let answer = match (number(0), number(2)) {
                (API_VERSIONS, version) => Broker::versions(version),
                _ => self.metadata(),
            };
            let answer = [&request[4..8], &answer].concat();
            let length = u32::try_from(answer.len()).expect("it is small");
            connection.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
        }
    }

    fn versions(asked: i16) -> Vec<u8> {
        let error = if asked == 0 { 0 } else { UNSUPPORTED };
        let count = i32::try_from(KNOWN.len()).expect("there are two");
        let known = KNOWN.iter().flat_map(|(api, version)| [*api, *version, *version]);
        let known = known.flat_map(i16::to_be_bytes);
        error.to_be_bytes().into_iter().chain(count.to_be_bytes()).chain(known).collect()
    }

    fn metadata(&self) -> Vec<u8> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let text = |text: &str| {
            let length = u16::try_from(text.len()).expect("it is short");
            [&length.to_be_bytes()[..], text.as_bytes()].concat()
        };
        let mut answer = Vec::new();
        if self.is_up.load(Ordering::SeqCst) {
            answer.extend(1_i32.to_be_bytes());
            answer.extend(1_i32.to_be_bytes());
            answer.extend(text("127.0.0.1"));
            answer.extend(i32::from(self.port).to_be_bytes());
            // It is in no rack.
            answer.extend((-1_i16).to_be_bytes());
        } else {
            answer.extend(0_i32.to_be_bytes());
        }
        // Nobody is the controller.
        answer.extend((-1_i32).to_be_bytes());
        let topics = if self.is_up.load(Ordering::SeqCst) { 1 } else { TOPICS };
        answer.extend(topics.to_be_bytes());
        for number in 0..topics {
            // It has no partition, and no leader.
            answer.extend(5_i16.to_be_bytes());
            answer.extend(text(&name(number)));
            answer.push(0);
            answer.extend(0_i32.to_be_bytes());
        }
        answer
    }

    fn client(&self) -> Client {
        let bootstrap = format!("127.0.0.1:{}", self.port);
        let settings = [
            ("bootstrap.servers", bootstrap.as_str()),
            ("topic.metadata.refresh.interval.ms", "100"),
            ("statistics.interval.ms", "100"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Client::new(Kind::Producer, &settings).expect("a client")
    }
}

/// Waits until the client's statistics tell that it knows of some broker, or of none.
fn until(client: &Client, known: Brokers) {
    let queue = client.main_queue();
    let mut statistics = metrics::Client::new("test", None);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut told = None;
    while told != Some(known) {
        assert!(Instant::now() < deadline, "{known:?} is not told: {told:?}");
        queue.poll(Duration::from_secs(1), |event| {
            if let Event::Statistics(json) = event {
                told = Some(statistics.tell(&json));
            }
        });
    }
}

#[test]
fn a_client_that_lost_its_brokers_to_one_that_comes_back_begins_again() {
    let broker = Broker::start().expect("a port");
    broker.is_up.store(true, Ordering::SeqCst);
    let client = broker.client();
    let _topic = client.topic(&CString::new(name(0)).expect("it is text"));
    client.cluster(Timeout(Duration::from_secs(10))).expect_err("it is too old to tell its id");
    until(&client, Brokers::Some);

    broker.is_up.store(false, Ordering::SeqCst);
    until(&client, Brokers::None);
    broker.is_up.store(true, Ordering::SeqCst);
    let asked = broker.asked.load(Ordering::SeqCst);

    client.begin_again();
    until(&client, Brokers::Some);
    let deadline = Instant::now() + Duration::from_secs(60);
    while broker.asked.load(Ordering::SeqCst) == asked {
        assert!(Instant::now() < deadline, "the broker is asked again");
        std::thread::yield_now();
    }
}

#[test]
fn a_cluster_in_which_nobody_is_up_is_an_error_and_not_the_end_of_the_process() {
    let broker = Broker::start().expect("a port");
    let told = broker.client().cluster(Timeout(Duration::from_secs(2)));
    assert!(matches!(told, Err(Code::TIMED_OUT | Code::FAIL)), "{told:?}");
    assert!(broker.asked.load(Ordering::SeqCst) > 0, "it was asked");
}
