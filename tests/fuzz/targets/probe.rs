//! Whatever the first and the last bytes are: a name, no failure, and a disk only where the bytes can be read as that disk.
//!
//! - The name is not empty, and a format is found again by its name.
//! - Bytes behind those that the probe wants do not change its answer.
#![no_main]

use formats::probe::{Format, HEAD, Probe, TAIL, probe, probe_tail};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let answer = probe(bytes);
    assert!(!answer.name().is_empty());
    if let Probe::Disk(format) = answer {
        assert_eq!(format.name().parse::<Format>(), Ok(format));
    }
    let mut longer = bytes.to_vec();
    longer.resize(HEAD.max(bytes.len()), 0);
    let padded = probe(&longer);
    longer.extend(b"vhdxfile");
    assert_eq!(probe(&longer[..HEAD]), padded);
    assert!(probe_tail(bytes).is_none() || bytes.len() >= TAIL);
});
