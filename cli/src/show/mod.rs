//! What the user sees: results on standard output, progress and failures on standard error.

mod bar;
mod result;

pub(crate) use bar::while_running;
pub(crate) use result::{archive_report, disks, explanation, inspection, report};

use std::io::{self, Write};

use contract::{Code, Failure, SCHEMA};
use serde::Serialize;
use serde_json::json;

/// Prints a failure: what, where, what to do; as JSON on standard output where JSON was asked for.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        // There is nobody left to tell that standard output is gone.
        let _ = json(&json!({ "schema": SCHEMA, "error": failure.report() }));
    }
    let place = failure.place().map(|place| format!("\n  where: {place}")).unwrap_or_default();
    eprintln!("gantry: {} [{}]{place}\n  what to do: {}", failure.what(), failure.code().name(), failure.what_to_do());
}

/// Prints one JSON document on a line of its own.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(Code::Internal, format!("cannot make the JSON: {error}")))?;
    line(&text)
}

/// Prints one line.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        // A reader that has seen enough (`head`) is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Internal, format!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
