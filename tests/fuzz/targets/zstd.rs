//! zstd frames in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
#![no_main]

use codecs::ZstdDecoder;
use fuzz::decode::check_chunks;
use libfuzzer_sys::fuzz_target;

/// 2^20 bytes of window are allowed, so that a header cannot make the fuzzer slow.
const WINDOW_LOG: u32 = 20;

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(ZstdDecoder::new(WINDOW_LOG).expect("20 is a valid window")), bytes);
    check_chunks(|| Box::new(ZstdDecoder::at_boundary(WINDOW_LOG).expect("20 is a valid window")), bytes);
    // What a header says is only looked at; it must not fail.
    let _ = (codecs::zstd::window_size(bytes), codecs::zstd::content_size(bytes));
});
