//! Raw deflate in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
//!
//! - A stream that has ended uses nothing more.
#![no_main]

use codecs::{DeflateDecoder, Step, StreamDecoder};
use fuzz::decode::{ENOUGH, check_chunks};
use libfuzzer_sys::fuzz_target;

/// Bytes of the stream, or all of them if it does not end.
fn length(bytes: &[u8]) -> usize {
    let (mut decoder, mut buffer) = (DeflateDecoder::new(), vec![0; 64 * 1024]);
    let (mut used, mut made) = (0, 0);
    while made < ENOUGH {
        match decoder.step(&bytes[used..], &mut buffer) {
            Ok(step) if decoder.is_done() => {
                used += step.consumed;
                assert_eq!(decoder.step(&bytes[used..], &mut buffer), Ok(Step::default()));
                return used;
            }
            Ok(step) if step.consumed > 0 || step.produced > 0 => {
                used += step.consumed;
                made += step.produced;
            }
            _ => break,
        }
    }
    bytes.len()
}

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(DeflateDecoder::new()), &bytes[..length(bytes)]);
});
