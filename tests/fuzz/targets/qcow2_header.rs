//! A header is refused or describes an image whose sizes are within the limits of the format.
//!
//! - Cluster size, disk size, refcount width, counts of snapshots and bitmaps are in range.
//! - A forward decoder of it holds back at most 6 MiB, and a map of it holds no memory before it is asked.
//! - An error says something, within a bounded length.
#![no_main]

use formats::qcow2::{Header, Map, Stream};
use fuzz::image::head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Header::decode(head(bytes)) {
        Ok(header) => {
            let facts = header.facts();
            assert!(facts.cluster_size.is_power_of_two() && (512..=2 << 20).contains(&facts.cluster_size));
            assert!(facts.virtual_size <= 1 << 61 && facts.virtual_size % 512 == 0);
            assert!(facts.refcount_bits.is_power_of_two() && facts.refcount_bits <= 64);
            assert!(facts.snapshots <= 65536 && facts.bitmaps <= 65535);
            assert!(formats::Stream::hold_back(&Stream::new(&header)) <= 6 << 20);
            assert_eq!(formats::Map::memory(&Map::new(&header, None)), 0);
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 4096);
        }
    }
});
