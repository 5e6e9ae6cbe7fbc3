//! One connection in the weather: two directions that each carry their bytes, or lose them for good.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Weather;
use super::proxy::Way;
use super::requests::Requests;

const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks under way in one direction: what a network holds of a connection.
const CHUNKS_MAX: usize = 64;

/// What is carried in a throttled second comes in this many pieces.
const PIECES_PER_SECOND: u32 = 20;
const MADE_UP_MAX: Duration = Duration::from_millis(100);

/// The end of a connection that lost something is told to nobody for this long: longer than anybody's patience, shorter
/// than a test process that makes many.
const UNTOLD: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ask,
    Answer,
}

/// What has become of a connection so far.
struct Wire {
    /// Whether the direction has lost a byte.
    ask_lost: AtomicBool,
    answer_lost: AtomicBool,
    carried_bytes: AtomicU64,
    /// When the last byte came by. The lock is held for a look or a change.
    active: Mutex<Instant>,
    /// The lock is held for one addition.
    requests: Mutex<Requests>,
    requests_of_all: Arc<AtomicU64>,
}

/// How a connection ends.
enum End {
    /// Each end has closed and was told of the other's.
    InOrder,
    Closed,
    Reset,
    /// It ends for the server only.
    HalfOpen,
}

pub(super) async fn carry(mut caller: TcpStream, mut way: Way) {
    if *way.weather.borrow_and_update() == Weather::Reset {
        return reset(&caller);
    }
    let Ok(mut server) = TcpStream::connect(way.server).await else {
        return reset(&caller);
    };
    // Where this fails, the connection is as good without it.
    caller.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    match until_end(&mut caller, &mut server, way).await {
        End::InOrder | End::Closed => {}
        End::Reset => {
            reset(&caller);
            reset(&server);
        }
        End::HalfOpen => {
            drop(server);
            swallow(&mut caller).await;
        }
    }
}

async fn until_end(caller: &mut TcpStream, server: &mut TcpStream, way: Way) -> End {
    let weather = way.weather;
    let wire = Wire {
        ask_lost: AtomicBool::new(false),
        answer_lost: AtomicBool::new(false),
        carried_bytes: AtomicU64::new(0),
        active: Mutex::new(Instant::now()),
        requests: Mutex::default(),
        requests_of_all: way.requests,
    };
    let (asked, to_caller) = caller.split();
    let (answered, to_server) = server.split();
    let ask = direction(Direction::Ask, asked, to_server, &wire, weather.clone());
    let answer = direction(Direction::Answer, answered, to_caller, &wire, weather.clone());
    tokio::select! {
        biased;
        end = blow(weather) => end,
        carried = async { tokio::try_join!(ask, answer) } => match carried {
            Ok(_) => End::InOrder,
            Err(_) => End::Reset,
        },
    }
}

/// Waits for weather that ends connections, which ends those that were there before it.
async fn blow(mut weather: watch::Receiver<Weather>) -> End {
    loop {
        if weather.changed().await.is_err() {
            return pending().await;
        }
        match *weather.borrow_and_update() {
            Weather::Reset => return End::Reset,
            Weather::Refuse => return End::Closed,
            Weather::HalfOpen => return End::HalfOpen,
            Weather::Clear
            | Weather::Delay(_)
            | Weather::Throttle { .. }
            | Weather::Hold
            | Weather::Vanish
            | Weather::LoseAnswers
            | Weather::Blackhole { .. }
            | Weather::Forget { .. } => {}
        }
    }
}

fn reset(socket: &TcpStream) {
    // Where this fails, it is closed in order, which a test of a reset notices.
    socket.set_zero_linger().ok();
}

/// Takes what comes until its end.
async fn swallow(socket: &mut TcpStream) {
    let mut chunk = [0; CHUNK_BYTES];
    while socket.read(&mut chunk).await.is_ok_and(|count| count > 0) {}
}

/// Carries one direction until its end, which it tells unless something was lost.
async fn direction(
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    wire: &Wire,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let (chunks, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let take = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk).await?;
            let came = (Instant::now(), chunk[..count].to_vec());
            // This fails only when nobody takes it, and then this ends too.
            if chunks.send(came).await.is_err() || count == 0 {
                return pending::<io::Result<()>>().await;
            }
        }
    };
    let give = async {
        let mut room = Instant::now();
        while let Some((came, bytes)) = arriving.recv().await {
            let now = passage(came, weather.clone()).await;
            let arrives = wire.arrives(direction, now, bytes.len());
            if direction == Direction::Ask {
                wire.count(&bytes[..arrives]);
            }
            send(&mut to, &bytes[..arrives], now, &mut room).await?;
            if bytes.is_empty() {
                if wire.has_lost(direction) {
                    sleep(UNTOLD).await;
                }
                return to.shutdown().await;
            }
        }
        Ok(())
    };
    tokio::select! {
        given = give => given,
        taken = take => {
            if wire.has_lost(direction) {
                sleep(UNTOLD).await;
            }
            taken
        }
    }
}

/// Waits until the weather lets pass what came at `came`. Returns the weather of that moment.
async fn passage(came: Instant, mut weather: watch::Receiver<Weather>) -> Weather {
    loop {
        let now = *weather.borrow_and_update();
        let due = match now {
            Weather::Hold => None,
            Weather::Delay(delay) => Some(came + delay),
            Weather::Clear
            | Weather::Throttle { .. }
            | Weather::Vanish
            | Weather::LoseAnswers
            | Weather::HalfOpen
            | Weather::Reset
            | Weather::Refuse
            | Weather::Blackhole { .. }
            | Weather::Forget { .. } => return now,
        };
        let passes = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = weather.changed() => if changed.is_err() {
                return now;
            },
            () = passes => return now,
        }
    }
}

/// Sends the bytes. `room` is when a throttled direction has room again.
async fn send(
    to: &mut WriteHalf<'_>,
    bytes: &[u8],
    weather: Weather,
    room: &mut Instant,
) -> io::Result<()> {
    let Weather::Throttle { bytes_per_second } = weather else { return to.write_all(bytes).await };
    let rate = f64::from(bytes_per_second.max(1));
    let piece = usize::try_from((bytes_per_second / PIECES_PER_SECOND).max(1));
    for piece in bytes.chunks(piece.expect("usize holds 32 bits")) {
        to.write_all(piece).await?;
        let bytes = u32::try_from(piece.len()).expect("a chunk is small");
        // A sleep that lasted too long is made up for, within bounds.
        let from = (*room).max(Instant::now() - MADE_UP_MAX);
        *room = from + Duration::from_secs_f64(f64::from(bytes) / rate);
        sleep_until(*room).await;
    }
    Ok(())
}

impl Wire {
    fn lost(&self, direction: Direction) -> &AtomicBool {
        match direction {
            Direction::Ask => &self.ask_lost,
            Direction::Answer => &self.answer_lost,
        }
    }

    fn has_lost(&self, direction: Direction) -> bool {
        self.lost(direction).load(Ordering::Relaxed)
    }

    fn count(&self, asked: &[u8]) {
        let begun = self.requests.lock().unwrap_or_else(PoisonError::into_inner).begun(asked);
        self.requests_of_all.fetch_add(begun, Ordering::Relaxed);
    }

    /// How many of `bytes` bytes arrive. No bytes are the end of the direction.
    fn arrives(&self, direction: Direction, weather: Weather, bytes: usize) -> usize {
        let quiet = {
            let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *active, Instant::now()).elapsed()
        };
        let count = u64::try_from(bytes).expect("u64 holds a chunk's length");
        let carried = self.carried_bytes.fetch_add(count, Ordering::Relaxed);
        match weather {
            Weather::Vanish => self.lose(direction),
            Weather::LoseAnswers if direction == Direction::Answer => self.lose(direction),
            Weather::Blackhole { after_bytes } if carried + count > after_bytes => {
                let had_lost = self.has_lost(direction);
                self.lose(direction);
                let left = usize::try_from(after_bytes.saturating_sub(carried));
                return if had_lost { 0 } else { left.expect("less than a chunk") };
            }
            Weather::Forget { idle } if quiet >= idle => {
                self.lose(Direction::Ask);
                self.lose(Direction::Answer);
            }
            Weather::Clear
            | Weather::Delay(_)
            | Weather::Throttle { .. }
            | Weather::Hold
            | Weather::LoseAnswers
            | Weather::HalfOpen
            | Weather::Reset
            | Weather::Refuse
            | Weather::Blackhole { .. }
            | Weather::Forget { .. } => {}
        }
        if self.has_lost(direction) { 0 } else { bytes }
    }

    fn lose(&self, direction: Direction) {
        self.lost(direction).store(true, Ordering::Relaxed);
    }
}
