//! bzip2 streams in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
#![no_main]

use codecs::Bzip2Decoder;
use fuzz::decode::check_chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(Bzip2Decoder::new()), bytes);
    check_chunks(|| Box::new(Bzip2Decoder::at_boundary()), bytes);
});
