//! A zip file with a disk: whatever its headers say, no failure but a refusal, and the same disk at random and as it flows.
#![no_main]

use fuzz::container::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes.to_vec());
});
