//! SIGINT and SIGTERM: the first one stops the work in good order, the second one ends the process.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use contract::{Class, Failure};
use mover::cancel::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, iterator::Signals};

/// Number of the signal that came first; 0 while none has.
static CAUGHT: AtomicUsize = AtomicUsize::new(0);

/// A flag that the first signal sets.
///
/// # Errors
/// The handlers cannot be installed.
pub fn cancel_on_signal() -> io::Result<Cancel> {
    let cancel = Cancel::new();
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Registered first, so it sees the flag as the signals before this one left it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let flag = cancel.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            CAUGHT.store(signal.unsigned_abs() as usize, Ordering::Relaxed);
            flag.cancel();
        }
    });
    Ok(cancel)
}

/// The exit code for a failure: its class's, or 128 plus the signal that caused it.
#[must_use]
pub fn exit_code(failure: &Failure) -> ExitCode {
    match (failure.code().class(), CAUGHT.load(Ordering::Relaxed)) {
        (Class::Cancelled, signal @ 1..) => ExitCode::from((128 + signal).min(255) as u8),
        (class, _) => ExitCode::from(class.exit_code()),
    }
}
