//! Decompression as bounded steps: some bytes in, some bytes out, no I/O, no thread, memory fixed at the start.
//!
//! Two kinds. A [`StreamDecoder`] undoes the compression around a whole file (gzip, bzip2, xz, zstd, lz4) or a
//! zip member (deflate) and says where decoding could start again. A [`ClusterDecoder`] undoes the compression of one cluster inside an image, whose decoded
//! size is known.

mod bzip2;
mod cluster;
mod deflate;
mod error;
mod gzip;
mod lz4;
#[cfg(test)]
mod outside;
pub mod xz;
pub mod zstd;

pub use bzip2::Bzip2Decoder;
pub use cluster::{ClusterCodec, ClusterDecoder};
pub use deflate::DeflateDecoder;
pub use error::{Error, Kind};
pub use gzip::GzipDecoder;
pub use lz4::Lz4Decoder;
pub use xz::XzDecoder;
pub use zstd::ZstdDecoder;

/// What one [`StreamDecoder::step`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Input bytes used.
    pub consumed: usize,
    /// Output bytes made.
    pub produced: usize,
    /// Exactly here a member or frame ended: a fresh decoder given the next input byte makes the next output byte.
    pub boundary: bool,
}

/// Undoes the compression around a whole file.
pub trait StreamDecoder: Send {
    /// Decodes as much as input and output allow, but not past a member's or frame's end.
    ///
    /// A step that neither consumes nor produces needs more input (or, with an empty `output`, more room). A decoder may
    /// hold decoded bytes after the last input byte is used: before [`finish`](Self::finish), step with an empty `input`
    /// until nothing is produced.
    ///
    /// # Errors
    /// Damaged data, a wrong check value, or a window above the limit.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error>;

    /// Says that the input has ended.
    ///
    /// # Errors
    /// The input ended inside a member or frame, or held none.
    fn finish(&mut self) -> Result<(), Error>;
}
