//! What is read in which order, and what of it the file must hold. Whole images are opened in `tests/images/vhdx`.

use super::*;
use crate::Open as _;

fn wants(opener: &mut Opener) -> Vec<(u64, u64)> {
    match opener.step() {
        Ok(Opening::Wants(wants)) => wants.into_iter().map(|want| (want.start, want.end)).collect(),
        Ok(Opening::Ready(_)) => panic!("nothing was read"),
        Err(error) => panic!("{error}"),
    }
}

const KIB: u64 = 1024;

#[test]
fn headers_and_region_tables_are_read_at_once() {
    let mut opener = Opener::new(b"vhdxfile", 1 << 20).unwrap();
    let expected = [(64 * KIB, 68 * KIB), (128 * KIB, 132 * KIB), (192 * KIB, 256 * KIB), (256 * KIB, 320 * KIB)];
    assert_eq!(wants(&mut opener), expected);
    opener.feed(HostOffset(64 * KIB), &[0; 64 << 10]).unwrap();
    assert_eq!(wants(&mut opener), expected[1..]);
}

#[test]
fn a_file_without_the_identifier_or_the_tables_is_refused() {
    let error = Opener::new(b"vhdxfil", 1 << 20).err().expect("it is no vhdx file");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(0)));
    let mut short = Opener::new(b"vhdxfile", 320 * KIB - 1).unwrap();
    let error = short.step().err().expect("a byte is missing");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(256 * KIB)));
    assert!(error.to_string().contains("the region table reaches to offset 0x50000"), "{error}");
}

#[test]
fn what_was_refused_is_not_opened_by_going_on() {
    let mut opener = Opener::new(b"vhdxfile", 1 << 20).unwrap();
    for (start, end) in wants(&mut opener) {
        opener.feed(HostOffset(start), &vec![0; saturated(end - start)]).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(opener.step().err().map(|error| error.kind()), Some(Kind::Malformed));
    }
    assert_eq!(opener.facts(), None);
}
