//! How the pure crates' errors become failures with a code.

use contract::{Code, Failure};

/// A refusal by a format, with the place in the image.
#[must_use]
pub fn image_failure(error: &formats::Error, source: &str) -> Failure {
    let code = match error.kind() {
        formats::Kind::Malformed => Code::ImageMalformed,
        formats::Kind::Unsupported => Code::ImageUnsupported,
        formats::Kind::BackingFile => Code::ImageBackingFile,
        formats::Kind::ExternalData => Code::ImageExternalData,
        formats::Kind::Encrypted => Code::ImageEncrypted,
        formats::Kind::Truncated => Code::ImageTruncated,
        formats::Kind::Unplaced => Code::ImageUnplaced,
    };
    let place = error.offset().map_or_else(|| source.to_owned(), |offset| format!("{source}, offset {offset:#x}"));
    Failure::new(code, error.to_string()).at(place)
}

/// A refusal by the codec around a file, at `offset` of the compressed file.
#[must_use]
pub fn codec_failure(error: &codecs::Error, source: &str, offset: u64) -> Failure {
    let code = match error.kind() {
        codecs::Kind::Corrupt => Code::ImageCorrupt,
        codecs::Kind::Truncated => Code::ImageTruncated,
        codecs::Kind::Memory => Code::ImageMemory,
        codecs::Kind::Unsupported => Code::ImageUnsupported,
    };
    Failure::new(code, error.to_string()).at(format!("{source}, offset {offset}"))
}
