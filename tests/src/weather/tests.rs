//! Each weather does what its name says. Blocking sockets against a server that sends back what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Proxy, Weather};

/// What must come comes within this time.
const COMES_MAX: Duration = Duration::from_secs(10);

/// What must not come is waited for this long.
const NEVER: Duration = Duration::from_millis(150);

/// Sends back what it gets, and counts bytes and ended connections.
struct Echo {
    address: SocketAddr,
    bytes: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Echo {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (bytes, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let echo = Echo { address, bytes: Arc::clone(&bytes), ended: Arc::clone(&ended) };
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, bytes, ended) = (socket.unwrap(), bytes.clone(), ended.clone());
                thread::spawn(move || {
                    let mut chunk = [0; 65_536];
                    while let Ok(count @ 1..) = socket.read(&mut chunk) {
                        bytes.fetch_add(count, Ordering::SeqCst);
                        if socket.write_all(&chunk[..count]).is_err() {
                            break;
                        }
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        echo
    }
}

struct Place {
    echo: Echo,
    proxy: Proxy,
}

impl Place {
    fn new() -> Place {
        let echo = Echo::start();
        let proxy = Proxy::before(echo.address).unwrap();
        Place { echo, proxy }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.proxy.port())).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// A connection that has carried something.
    fn connected(&self) -> TcpStream {
        let mut socket = self.connect();
        comes_back(&mut socket, b"hello");
        socket
    }
}

fn comes_back(socket: &mut TcpStream, what: &[u8]) {
    socket.write_all(what).unwrap();
    comes(socket, what);
}

fn comes(socket: &mut TcpStream, what: &[u8]) {
    socket.set_read_timeout(Some(COMES_MAX)).unwrap();
    let mut back = vec![0; what.len()];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(back, what);
}

/// Checks that neither a byte nor an end comes.
fn nothing_comes(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(NEVER)).unwrap();
    let error = socket.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error:?}");
}

fn is_reset(socket: &mut TcpStream) {
    socket.set_read_timeout(Some(COMES_MAX)).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + COMES_MAX;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn clear_weather_carries_both_ways_and_tells_each_end() {
    let place = Place::new();
    let mut socket = place.connected();
    comes_back(&mut socket, &[7; 500_000]);
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    until("the server is told", || place.echo.ended.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_delay_is_there_and_back_and_does_not_add_up() {
    let place = Place::new();
    let mut socket = place.connected();
    let delay = Duration::from_millis(100);
    place.proxy.set(Weather::Delay(delay));
    let began = Instant::now();
    for _ in 0..50 {
        socket.write_all(b"0123456789").unwrap();
    }
    comes(&mut socket, &b"0123456789".repeat(50));
    assert!(began.elapsed() >= delay * 2);
    assert!(began.elapsed() < delay * 100, "each byte is late by itself");
}

#[test]
fn a_throttle_bounds_bytes_by_time() {
    let place = Place::new();
    let mut socket = place.connected();
    place.proxy.set(Weather::Throttle { bytes_per_second: 100_000 });
    let began = Instant::now();
    comes_back(&mut socket, &[1; 30_000]);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(150), "{took:?}");
}

#[test]
fn what_is_held_arrives_late_and_whole() {
    let place = Place::new();
    let mut socket = place.connected();
    place.proxy.set(Weather::Hold);
    socket.write_all(b"late").unwrap();
    nothing_comes(&mut socket);
    place.proxy.set(Weather::Clear);
    comes(&mut socket, b"late");
}

#[test]
fn what_vanished_never_arrives_and_nothing_follows_it() {
    let place = Place::new();
    let (mut talks, mut waits) = (place.connected(), place.connected());
    place.proxy.set(Weather::Vanish);
    talks.write_all(b"lost").unwrap();
    let mut new = place.connect();
    new.write_all(b"lost").unwrap();
    nothing_comes(&mut talks);
    nothing_comes(&mut new);
    place.proxy.set(Weather::Clear);
    talks.write_all(b"later").unwrap();
    nothing_comes(&mut talks);
    comes_back(&mut waits, b"it lost nothing");
    comes_back(&mut place.connect(), b"new");
}

#[test]
fn lost_answers_were_asked_for() {
    let place = Place::new();
    let mut socket = place.connected();
    let before = place.echo.bytes.load(Ordering::SeqCst);
    place.proxy.set(Weather::LoseAnswers);
    socket.write_all(b"asked").unwrap();
    until("the question arrives", || place.echo.bytes.load(Ordering::SeqCst) == before + 5);
    nothing_comes(&mut socket);
    place.proxy.set(Weather::Clear);
    socket.write_all(b"asked again").unwrap();
    nothing_comes(&mut socket);
}

#[test]
fn half_open_is_over_for_the_server_and_its_caller_is_not_told() {
    let place = Place::new();
    let mut socket = place.connected();
    place.proxy.set(Weather::HalfOpen);
    until("the server is told", || place.echo.ended.load(Ordering::SeqCst) == 1);
    socket.write_all(b"into nothing").unwrap();
    nothing_comes(&mut socket);
    comes_back(&mut place.connect(), b"new");
}

#[test]
fn a_reset_meets_old_and_new_connections() {
    let place = Place::new();
    let mut socket = place.connected();
    place.proxy.set(Weather::Reset);
    is_reset(&mut socket);
    is_reset(&mut place.connect());
    until("the server is told", || place.echo.ended.load(Ordering::SeqCst) == 1);
    place.proxy.set(Weather::Clear);
    comes_back(&mut place.connect(), b"new");
}

#[test]
fn a_refusal_closes_old_connections_and_lets_nobody_in() {
    let place = Place::new();
    let mut socket = place.connected();
    place.proxy.set(Weather::Refuse);
    socket.set_read_timeout(Some(COMES_MAX)).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.proxy.port()));
    until("new ones are refused", || {
        TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    place.proxy.set(Weather::Clear);
    until("it listens again", || TcpStream::connect(address).is_ok());
    comes_back(&mut place.connect(), b"new");
}

#[test]
fn a_black_hole_takes_what_comes_after_the_first_bytes() {
    let place = Place::new();
    place.proxy.set(Weather::Blackhole { after_bytes: 25 });
    let mut socket = place.connect();
    comes_back(&mut socket, b"0123456789");
    socket.write_all(b"0123456789").unwrap();
    until("the rest of 25", || place.echo.bytes.load(Ordering::SeqCst) == 15);
    nothing_comes(&mut socket);
    place.proxy.set(Weather::Clear);
    socket.write_all(b"more").unwrap();
    nothing_comes(&mut socket);
}

#[test]
fn a_connection_is_forgotten_when_it_was_silent() {
    let place = Place::new();
    let (mut silent, mut talks) = (place.connected(), place.connected());
    let idle = Duration::from_millis(400);
    place.proxy.set(Weather::Forget { idle });
    let began = Instant::now();
    while began.elapsed() < idle * 2 {
        comes_back(&mut talks, b"still here");
        thread::sleep(Duration::from_millis(20));
    }
    silent.write_all(b"and now?").unwrap();
    nothing_comes(&mut silent);
    comes_back(&mut place.connect(), b"new");
}
