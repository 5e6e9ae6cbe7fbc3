use super::*;
use outrigger_core::offset::{Offset, Partition};

fn producer(config: KafkaConfig, thread: Sender<ToProducer>, sink: LogSink) -> Producer {
    let (admin, _nobody) = std::sync::mpsc::channel();
    let mut producer = Producer::new(Parts {
        config,
        store: StoreIndex(0),
        topic: CString::new("topic").unwrap(),
        thread,
        driver: Driver::default(),
        admin,
        message_bytes_max: Arc::new(AtomicU64::new(u64::MAX)),
        renewed: Renewed::default(),
        sink,
    });
    producer.begin().unwrap();
    producer
}

fn delivery(code: Code, not_persisted: bool, offset: Option<u64>) -> Delivery {
    let offset = offset.map(Offset);
    Delivery { ticket: 0, code, not_persisted, partition: Partition(2), offset }
}

#[test]
fn only_the_status_makes_a_failure_definite() {
    let timed_out = Code(-192);
    assert!(outcome(&delivery(timed_out, true, None)).unwrap_err().not_persisted);
    assert!(!outcome(&delivery(timed_out, false, None)).unwrap_err().not_persisted);
    let refused = Code(29);
    let error = outcome(&delivery(refused, false, None)).unwrap_err();
    assert_eq!((error.name.as_str(), error.not_persisted), ("TOPIC_AUTHORIZATION_FAILED", false));
}

#[test]
fn an_acknowledgement_without_an_offset_is_not_a_revision() {
    let error = outcome(&delivery(Code::NONE, false, None)).unwrap_err();
    assert_eq!((error.name.as_str(), error.not_persisted), ("_NO_OFFSET", false));
    let revision = outcome(&delivery(Code::NONE, false, Some(9))).unwrap();
    assert_eq!(revision, Revision { partition: Partition(2), offset: Offset(9) });
}

#[test]
fn a_write_without_an_outcome_for_too_long_gets_one_and_its_client_is_replaced() {
    let config =
        KafkaConfig { bootstrap: "127.0.0.1:9".to_owned(), properties: Default::default() };
    let (sender, answers) = std::sync::mpsc::channel();
    let sink = move |_, event| sender.send(event).unwrap();
    let (inbox, _events) = std::sync::mpsc::channel();
    let mut producer = producer(config, inbox, Arc::new(sink));
    let write = Write { partition: Partition(0), key: "key".into(), value: None };
    producer.hand_over(StoreIndex(0), RequestId(7), &[write].into());
    let appended = |event: LogEvent| match event {
        LogEvent::Appended { id, results } => Some((id, results.len())),
        LogEvent::Trouble(_) => None,
        other => panic!("{other:?}"),
    };

    let looks = producer.looks();
    producer.hear_quickly();
    assert_eq!(producer.looks(), looks, "outcomes of other writes put it off");
    producer.look(Instant::now() + LOOK_EVERY);
    assert_eq!(answers.try_iter().find_map(appended), None, "it may still come");
    producer.look(Instant::now() + OVERDUE + LOOK_EVERY);

    assert_eq!(answers.try_iter().find_map(appended), Some((RequestId(7), 1)));
    assert!(matches!(producer.client, State::Broken(_)), "the next append makes another");
}

/// librdkafka's own mock of a broker is enough here: what counts is which client is used.
#[test]
fn a_producer_that_broke_answers_everything_and_makes_room_for_another() {
    let config = KafkaConfig {
        bootstrap: "127.0.0.1:9".to_owned(),
        properties: [("test.mock.num.brokers", "1"), ("allow.auto.create.topics", "true")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let (sender, answers) = std::sync::mpsc::channel();
    let sink = move |_, event| sender.send(event).unwrap();
    let (inbox, _events) = std::sync::mpsc::channel();
    let mut producer = producer(config, inbox, Arc::new(sink));
    let append = |producer: &mut Producer, id| {
        let key = bytes::Bytes::from_static(b"key");
        let write = Write { partition: Partition(0), key, value: None };
        producer.append(StoreIndex(0), RequestId(id), Arc::new([write]));
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            producer.drain(Duration::from_millis(10));
            producer.hear();
            if let Ok(LogEvent::Appended { mut results, .. }) = answers.try_recv() {
                return results.remove(0);
            }
        }
        panic!("append {id} was not answered");
    };
    append(&mut producer, 1).unwrap();

    let State::Running(running) = &producer.client else { panic!("it works") };
    let cluster_authorization_failed = Code(31);
    running.client.break_fatally(cluster_authorization_failed);
    producer.hear();
    assert!(matches!(producer.client, State::Broken(code) if code == cluster_authorization_failed));
    producer.started = Some(Instant::now());
    let refused = append(&mut producer, 2).unwrap_err();
    assert_eq!((refused.code, refused.not_persisted), (31, true));
    producer.started = producer.started.map(|started| started - PRODUCER_AGAIN);
    append(&mut producer, 3).unwrap();
}
