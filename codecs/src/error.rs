//! One error for all codecs.

use thiserror::Error as ThisError;

/// What a caller may want to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The data is damaged, or is no such stream.
    Corrupt,
    /// The data ends too early.
    Truncated,
    /// Decoding would need more memory than is allowed.
    Memory,
    /// Valid, and not decoded by this version (a dictionary, for example).
    Unsupported,
}

/// Why data cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
}

impl Error {
    /// A refusal in one sentence.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    /// What kind of refusal this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}
