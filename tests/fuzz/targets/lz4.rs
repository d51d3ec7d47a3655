//! LZ4 frames in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
#![no_main]

use codecs::Lz4Decoder;
use fuzz::decode::check_chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(Lz4Decoder::new()), bytes);
    check_chunks(|| Box::new(Lz4Decoder::at_boundary()), bytes);
});
