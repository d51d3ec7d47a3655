//! The library's decoder for one stream, with its answers in the terms of this crate.

use liblzma::stream::{Action, Error as Refusal, Status, Stream};

use super::MEMORY_BESIDE_DICTIONARY;
use crate::{Error, Kind, Step};

/// `LZMA_TELL_UNSUPPORTED_CHECK`: a check that cannot be verified is an error and not passed over.
const TELL_UNSUPPORTED_CHECK: u32 = 0x02;

pub(super) struct Library(Stream);

impl Library {
    /// A decoder for one stream, whose dictionaries have at most `dictionary_limit` bytes.
    pub(super) fn new(dictionary_limit: u64) -> Result<Self, Error> {
        let memory = dictionary_limit.saturating_add(MEMORY_BESIDE_DICTIONARY);
        Stream::new_stream_decoder(memory, TELL_UNSUPPORTED_CHECK).map(Self).map_err(refused)
    }

    /// Decodes as much as input and output allow; the boundary is the end of the stream.
    pub(super) fn process(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
        let status = self.0.process(input, output, Action::Run).map_err(refused)?;
        Ok(Step {
            consumed: used(before_in, self.0.total_in()),
            produced: used(before_out, self.0.total_out()),
            // Any other status, and the one for a call that could not move, asks for input or room.
            boundary: status == Status::StreamEnd,
        })
    }
}

fn refused(refusal: Refusal) -> Error {
    let (kind, what) = match refusal {
        Refusal::Mem => (Kind::Memory, "no memory for an xz decoder"),
        Refusal::MemLimit => (Kind::Memory, "xz decoder would take more memory than is allowed"),
        Refusal::Options => (Kind::Unsupported, "xz filter options are not known"),
        Refusal::UnsupportedCheck | Refusal::NoCheck => (Kind::Unsupported, "xz integrity check is not known"),
        Refusal::Format => (Kind::Corrupt, "xz data does not begin as it should"),
        Refusal::Data => (Kind::Corrupt, "xz data is damaged (LZMA2 data or a check value is wrong)"),
        Refusal::Program => (Kind::Corrupt, "xz decoder refuses to go on"),
    };
    Error::new(kind, what)
}

/// What a running total grew by in one call, which is bounded by the length of a slice.
fn used(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("bounded by the slice's length")
}
