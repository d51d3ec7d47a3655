//! The last words of a pod: what CDI's controller reads from the termination message and the exit code (cdi.md §4.7).
//!
//! A controller reads JSON only where the exit code is 0. A checksum that does not match is such a case: the container
//! must not be started again.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use contract::pod::{FailureWords, IMPORT_COMPLETE, TERMINATION_LIMIT, Termination};
use contract::{Class, Code, Failure};
use mover::target::Preallocation;

/// What a pod says at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LastWords {
    /// Exit code of the container.
    pub(super) exit: u8,
    /// The termination message.
    pub(super) text: String,
}

impl LastWords {
    /// Everything is there; a disk has a fingerprint, an archive has none.
    pub(super) fn of_success(fingerprint: Option<&str>, preallocation: Preallocation) -> Self {
        Self::in_json(&Termination {
            preallocation_applied: (preallocation != Preallocation::None).then_some(true),
            message: Some(IMPORT_COMPLETE.to_owned()),
            fingerprint: fingerprint.map(str::to_owned),
            ..Termination::default()
        })
    }

    /// There was nothing to do.
    pub(super) fn of_nothing() -> Self {
        Self { exit: 0, text: String::new() }
    }

    /// The import ended; `source` is its kind.
    pub(super) fn of_failure(failure: &Failure, source: &str) -> Self {
        let remedy = failure.what_to_do();
        let text = match failure.code() {
            Code::ChecksumMismatch => {
                let message = format!("checksum mismatch: {failure}");
                return Self::in_json(&Termination { message: Some(message), ..Termination::default() });
            }
            Code::Cancelled => return Self { exit: 143, text: limited(format!("{failure}; {remedy}")) },
            code if code.class() == Class::Source => format!("Unable to connect to {source} data source: {failure}"),
            Code::TargetTooSmall => format!("Unable to process data: {failure}. A larger PVC is required"),
            _ => format!("Unable to process data: {failure}"),
        };
        let words = FailureWords { words: text, code: failure.code(), remedy: remedy.to_owned() };
        Self { exit: 1, text: limited(words.to_string()) }
    }

    fn in_json(words: &Termination) -> Self {
        let mut words = words.clone();
        loop {
            let text = serde_json::to_string(&words).unwrap_or_default();
            let excess = text.len().saturating_sub(TERMINATION_LIMIT);
            let Some(message) = words.message.as_mut().filter(|message| excess > 0 && !message.is_empty()) else {
                return Self { exit: 0, text };
            };
            // An escape makes up to six bytes of one, so this is never too much, and done again until it is enough.
            message.truncate(message.floor_char_boundary(message.len().saturating_sub(excess.div_ceil(6))));
        }
    }
}

/// The file whose content the kubelet makes the termination message.
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the file, which the kubelet has made.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = File::options().write(true).create(true).truncate(true).open(path);
        let file = opened.map_err(|error| cannot_write(path, &error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the termination message.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn leave(&mut self, words: &LastWords) -> Result<(), Failure> {
        self.file.write_all(words.text.as_bytes()).map_err(|error| cannot_write(&self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    let what = format!("cannot write the termination message: {error}");
    Failure::new(Code::Internal, what).at(path.display().to_string())
}

/// The kubelet would cut a longer text itself, perhaps inside a character.
fn limited(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TERMINATION_LIMIT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_cdis_words_with_its_code_and_its_remedy() {
        for (code, exit, begins) in [
            (Code::SourceNotFound, 1, "Unable to connect to http data source: it is gone"),
            (Code::ImageCorrupt, 1, "Unable to process data: it is gone"),
            (Code::TargetTooSmall, 1, "Unable to process data: it is gone. A larger PVC is required"),
            (Code::Usage, 1, "Unable to process data: it is gone"),
            (Code::Cancelled, 143, "it is gone"),
            (Code::ChecksumMismatch, 0, "{\"message\":\"checksum mismatch: it is gone"),
        ] {
            let words = LastWords::of_failure(&Failure::new(code, "it is gone"), "http");
            assert!(words.exit == exit && words.text.starts_with(begins), "{words:?}");
        }
    }

    #[test]
    fn no_message_is_longer_than_the_kubelet_keeps() {
        for code in [Code::ImageCorrupt, Code::ChecksumMismatch, Code::Cancelled] {
            let words = LastWords::of_failure(&Failure::new(code, "\"ü".repeat(3000)), "http");
            assert!(words.text.len() <= TERMINATION_LIMIT && words.text.len() > TERMINATION_LIMIT - 16);
            assert!(words.exit != 0 || serde_json::from_str::<serde_json::Value>(&words.text).is_ok());
        }
    }
}
