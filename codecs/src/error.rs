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
    offset: Option<u64>,
}

impl Error {
    /// A refusal in one sentence.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), offset: None }
    }

    /// The same refusal, of something `offset` bytes behind the decoder's first byte of input.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// Bytes of input before what is refused, if that is not in the step that refuses it.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// What kind of refusal this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}
