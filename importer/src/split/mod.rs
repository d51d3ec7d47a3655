//! Fetching and decoding in two processes, so that what decodes hostile bytes has nothing to give away.
//!
//! ```text
//! fetching process: started by the user           decoding process: the same program, started by the first
//!   network, credentials, terminal, metrics          target, codecs, formats
//!                 --- job ------------------------->  opens target and local source
//!                                                     gives up: opening, sockets, exec (lockdown)
//!                 <-- questions: open, read -------   reads
//!   socket -> shared memory --- answers ---------->   shared memory -> decode -> target
//!                 <-- progress, outcome -----------
//! ```
//!
//! Eight lanes carry questions and answers, one reader each; bytes never travel on them. A source that is a local file or
//! standard input needs no network and no credentials: the decoding process reads it by itself, from descriptors that it
//! opened before the lockdown.

mod decoding;
mod fetching;
mod lockdown;
mod message;
mod remote;
mod wire;

use std::process::ExitCode;

pub(crate) use fetching::run;

/// The argument with which the program is started as the decoding process.
const DECODING: &str = "decoding-process";
/// Lanes: readers that may be open at once. A route has one per connection and two more at its beginning.
const LANES: usize = 8;

/// What `main` does first: if the program was started as the decoding process, it is that and nothing else.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    let is_decoding = std::env::args_os().nth(1).is_some_and(|word| word == DECODING);
    is_decoding.then(decoding::main)
}
