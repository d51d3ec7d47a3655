//! One error for all formats: a small kind to decide on, and the words for a person.

use thiserror::Error as ThisError;

/// What a caller may want to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No valid image has this.
    Malformed,
    /// Valid, and not read by this version.
    Unsupported,
    /// Names a backing file; never opened.
    BackingFile,
    /// Keeps its data in another file; never opened.
    ExternalData,
    /// Encrypted.
    Encrypted,
    /// Ends before what its tables name.
    Truncated,
    /// A stream's table came after the data it places.
    Unplaced,
}

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    offset: Option<u64>,
}

impl Error {
    /// A refusal in one sentence that names field and value.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), offset: None }
    }

    /// Adds the host offset of the field or table entry.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What kind of refusal this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Offset in the image of what was refused, where there is one.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        self.offset
    }
}
