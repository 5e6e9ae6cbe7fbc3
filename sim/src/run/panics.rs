//! A panic as an outcome: where it came from says whose fault it is.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use crate::oracle::{OracleId, Violation};

thread_local! {
    /// Where and why this thread panicked last, while a run is being played.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    static PLAYING: RefCell<bool> = const { RefCell::new(false) };
}

static HOOK: Once = Once::new();

pub(super) fn caught<T>(play: impl FnOnce() -> T) -> Result<T, Violation> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if PLAYING.with_borrow(|playing| *playing) {
                remember(info);
            } else {
                before(info);
            }
        }));
    });
    PLAYING.set(true);
    let result = catch_unwind(AssertUnwindSafe(play));
    PLAYING.set(false);
    result.map_err(|_| {
        let (place, what) = PANIC.take().unwrap_or_default();
        let oracle = if place.contains("sim/model/") { OracleId::O17 } else { OracleId::O16 };
        Violation {
            oracle,
            at: Duration::ZERO,
            node: None,
            keys: Vec::new(),
            what: format!("panic at {place}: {what}"),
        }
    })
}

fn remember(info: &PanicHookInfo<'_>) {
    let place =
        info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    let payload = info.payload();
    let what = payload.downcast_ref::<String>().cloned();
    let what = what.or_else(|| payload.downcast_ref::<&str>().map(|what| (*what).to_owned()));
    PANIC.set(Some((place, what.unwrap_or_default())));
}
