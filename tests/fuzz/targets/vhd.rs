//! A file is a VHD, fixed or dynamic: it is opened and mapped at random, and flows past the forward decoder. Its
//! checksums are made right first (but for every 16th input), because chance alone does not find them.
//!
//! - Opening wants the first bytes and one place more, both in the file and at most 64 KiB long.
//! - Everything that [`fuzz::front`] and [`fuzz::image::extents`] check.
#![no_main]

use formats::probe::Format;
use formats::{Error, HostOffset, Map, Open, Opening, vhd};
use fuzz::front::{check_map, check_stream};
use libfuzzer_sys::fuzz_target;

/// The complement of the sum of all bytes but the field's own.
fn seal(bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum = bytes.iter().fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

fn sealed(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let len = file.len();
    if vhd::begins_dynamic(&file) && len >= 512 {
        seal(&mut file[..512], 64);
        let offset = u64::from_be_bytes(file[16..24].try_into().expect("a field has 8 bytes"));
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(len);
        if let Some(header) = file[start..].get_mut(..1024) {
            seal(header, 36);
        }
    } else if len >= 512 {
        let old = usize::from(file[len - 511..].starts_with(b"conectix"));
        seal(&mut file[len - 512 + old..], 64);
    }
    file
}

fn open(file: &[u8]) -> Result<Box<dyn Map>, Error> {
    let mut open = vhd::Open::new(file.len() as u64);
    for _ in 0..3 {
        match open.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => {
                for want in wants {
                    assert!(want.start < want.end && want.end - want.start <= 64 * 1024);
                    open.feed(HostOffset(want.start), &file[want.start as usize..want.end as usize])?;
                }
            }
        }
    }
    panic!("an image is opened by its first bytes and one place more");
}

fuzz_target!(|file: &[u8]| {
    let file = if file.last().is_some_and(|last| last % 16 == 15) { file.to_vec() } else { sealed(file) };
    if let Ok(mut map) = open(&file) {
        check_map(map.as_mut(), &file);
    }
    // The header of a stream is looked for in its first 64 KiB.
    if file.len() <= formats::probe::HEAD {
        check_stream(Format::Vhd, &file, open(&file));
    }
});
