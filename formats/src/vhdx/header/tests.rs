//! Two headers, and every field that makes the current one invalid.

use super::*;

fn header(sequence: u64) -> Vec<u8> {
    let mut header = vec![0; 4096];
    header[..4].copy_from_slice(SIGNATURE);
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[66] = 1;
    header[68..72].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    header[72..80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    signed(header)
}

fn signed(mut header: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::without(&header, 4);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    header
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut header = header(5);
    header[at..at + bytes.len()].copy_from_slice(bytes);
    signed(header)
}

#[track_caller]
fn refused(headers: [&[u8]; 2], kind: Kind, offset: u64, words: &str) {
    let error = Header::current(headers).expect_err("the headers are refused");
    assert_eq!((error.kind(), error.offset()), (kind, Some(offset)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn the_newer_valid_header_is_current() {
    let (old, new) = (header(4), with(48, &[7; 16]));
    let log = 1 << 20..2 << 20;
    let quiet = Header { log_guid: None, log: log.clone() };
    let pending = Header { log_guid: Some(Guid([7; 16])), log };
    assert_eq!(Header::current([&old, &new]), Ok(pending.clone()));
    assert_eq!(Header::current([&new, &old]), Ok(pending));
    let mut torn = new.clone();
    torn[4095] ^= 1;
    assert_eq!(Header::current([&old, &torn]), Ok(quiet.clone()));
    assert_eq!(Header::current([&torn, &old]), Ok(quiet.clone()));
    torn[4095] ^= 1;
    torn[0] = b'H';
    assert_eq!(Header::current([&old, &signed(torn)]), Ok(quiet));
}

#[test]
fn headers_of_one_age_must_be_the_same() {
    assert!(Header::current([&header(5), &header(5)]).is_ok());
    refused([&header(5), &with(16, &[1])], Kind::Malformed, (128 << 10) + 8, "sequence number 5 and differ");
}

#[test]
fn no_valid_header_is_refused() {
    refused([&[0; 4096], &[0; 4096]], Kind::Malformed, 64 << 10, "neither header");
    refused([&[], b"head"], Kind::Malformed, 64 << 10, "neither header");
}

#[test]
fn fields_that_no_image_has_are_refused_at_their_place() {
    let table: &[(usize, &[u8], Kind, &str)] = &[
        (66, &[2, 0], Kind::Unsupported, "vhdx version 2"),
        (66, &[0, 0], Kind::Unsupported, "vhdx version 0"),
        (64, &[1, 0], Kind::Unsupported, "log version 1"),
        (68, &[1, 0, 0, 0], Kind::Malformed, "1 bytes instead of whole MiB"),
        (68, &[0xff; 4], Kind::Malformed, "4294967295 bytes"),
        (72, &[0; 8], Kind::Malformed, "at 0x0 instead"),
        (72, &[1], Kind::Malformed, "at 0x100001 instead"),
        (72, &[0, 0, 0, 0, 0, 0, 0, 0x80], Kind::Malformed, "at 0x8000000000000000"),
        (72, &[0, 0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0x7f], Kind::Malformed, "at 0x7ffffffffff00000"),
    ];
    for (at, bytes, kind, words) in table {
        refused([&with(*at, bytes), &header(4)], *kind, (64 << 10) + *at as u64, words);
        refused([&header(4), &with(*at, bytes)], *kind, (128 << 10) + *at as u64, words);
    }
}

#[test]
fn a_log_may_have_no_bytes() {
    assert_eq!(Header::current([&with(68, &[0; 4]), &[]]).unwrap().log, 1 << 20..1 << 20);
}
