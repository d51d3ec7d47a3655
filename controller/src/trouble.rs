//! What went wrong, on its way from where it was known to `status.gantry.lastError` of the DataVolume.

use api::cdi::GantryError;
use contract::pod::{FailureWords, LastError};
use contract::{Code, Failure};
use serde::{Deserialize, Serialize};

/// A failure as the status shows it. A claim's annotation carries it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) remedy: String,
    pub(crate) retried: bool,
}

/// A status is read at every look at the object: what is said there stays short.
const LONGEST_CAUSE: usize = 1024;

impl Trouble {
    /// A failure found by ourselves.
    pub(crate) fn of(failure: &Failure, retried: bool) -> Self {
        Self::new(failure.code(), &failure.to_string(), failure.what_to_do(), retried)
    }

    /// A failure that an importer's last words tell.
    pub(crate) fn of_words(words: &FailureWords, retried: bool) -> Self {
        Self::new(words.code, &words.words, &words.remedy, retried)
    }

    /// A failure that a running importer tells.
    pub(crate) fn of_worker(error: &LastError) -> Self {
        Self {
            code: error.code.to_string(),
            cause: shortened(&error.cause),
            remedy: error.remedy.clone(),
            retried: error.retried,
        }
    }

    fn new(code: Code, cause: &str, remedy: &str, retried: bool) -> Self {
        Self { code: code.name().to_owned(), cause: shortened(cause), remedy: remedy.to_owned(), retried }
    }

    /// As an annotation carries it.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From an annotation; one that says nothing is nothing.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As the status carries it.
    pub(crate) fn in_status(self) -> GantryError {
        GantryError { code: self.code, cause: self.cause, remedy: self.remedy, retried: self.retried, time: None }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_CAUSE {
        return text.to_owned();
    }
    format!("{} ...", &text[..text.floor_char_boundary(LONGEST_CAUSE)])
}
