//! Records on a device that somebody else had before: no failure, and what is read is what would be stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mover::journal::{RECORD, Record};

/// Where the digest of all before stands.
const DIGEST: usize = RECORD - 32;

fuzz_target!(|bytes: &[u8]| {
    let mut block = [0; RECORD];
    let len = bytes.len().min(RECORD);
    block[..len].copy_from_slice(&bytes[..len]);
    let _ = Record::decode(&block);
    // Anybody can write the magic, the version and a digest that fits.
    block[..12].copy_from_slice(b"GANTRYJ1\x01\0\0\0");
    let digest = blake3::hash(&block[..DIGEST]);
    block[DIGEST..].copy_from_slice(digest.as_bytes());
    if let Some(record) = Record::decode(&block) {
        let _ = (record.done.bytes(), record.done.covers(&(1 << 20..3 << 26)));
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }
});
