//! A file is a VDI: it is mapped at random, and flows past the forward decoder.
//!
//! - Everything that [`fuzz::front`] and [`fuzz::image::extents`] check.
#![no_main]

use formats::probe::Format;
use fuzz::front::{check_map, check_stream};
use fuzz::image::head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let open = || Format::Vdi.map(head(file), file.len() as u64);
    if let Ok(mut map) = open() {
        check_map(map.as_mut(), file);
    }
    check_stream(Format::Vdi, file, open());
});
