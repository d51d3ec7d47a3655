//! gzip members in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
#![no_main]

use codecs::GzipDecoder;
use fuzz::decode::check_chunks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(GzipDecoder::new()), bytes);
    check_chunks(|| Box::new(GzipDecoder::at_boundary()), bytes);
});
