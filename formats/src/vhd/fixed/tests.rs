//! Disks with a footer behind them, at hand as a whole, opened, or flowing past.

use super::*;
use crate::vhd::Open;
use crate::{Map as _, Open as _, Opening, Stream as _};

/// A footer of `length` bytes, made by Hyper-V.
fn footer(size: u64, disk_type: u8, length: usize) -> Vec<u8> {
    let mut footer = vec![0; length];
    footer[..8].copy_from_slice(COOKIE);
    footer[13] = 1;
    footer[28..32].copy_from_slice(b"win ");
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[63] = disk_type;
    let sum: u32 = footer.iter().map(|&byte| u32::from(byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

fn image(size: u64, held: usize, length: usize) -> Vec<u8> {
    let mut file: Vec<u8> = (0..held).map(|at| (at / 512 + 1).to_le_bytes()[0]).collect();
    file.extend(footer(size, 2, length));
    file
}

fn decode(file: &[u8]) -> Result<Fixed, Error> {
    Fixed::decode(&file[file.len().saturating_sub(Fixed::WANTED)..], file.len() as u64)
}

/// Pieces and size from pushes of `chunk` fresh bytes.
fn flow(file: &[u8], chunk: usize) -> Result<(Vec<u8>, Option<u64>), Error> {
    let mut stream = FixedStream::new();
    let (mut disk, mut start, mut end) = (Vec::new(), 0, 0);
    while end < file.len() {
        end = file.len().min(end + chunk);
        let mut pieces = Vec::new();
        let consumed = stream.push(&file[start..end], end == file.len(), &mut pieces)?;
        for piece in pieces {
            assert_eq!(piece.guest.0, disk.len() as u64);
            disk.extend(&file[start + piece.at..][..piece.host_len]);
        }
        start += consumed;
        assert!(end - start <= stream.hold_back());
    }
    assert_eq!(start, file.len(), "at the end everything is consumed");
    Ok((disk, stream.virtual_size()))
}

#[test]
fn a_disk_lies_in_front_of_a_footer_of_either_length() {
    for length in [512, 511] {
        let file = image(4096, 4096, length);
        let fixed = decode(&file).expect("the footer is valid");
        assert_eq!(fixed.facts().virtual_size, 4096);
        let mut extents = Vec::new();
        assert_eq!(fixed.map().lookup(1024..u64::MAX, &mut extents), Ok(Lookup::Found));
        let place = Place::Data(HostOffset(1024));
        assert_eq!(extents, [Extent { guest: GuestOffset(1024), len: 3072, place }]);
        assert_eq!(fixed.map().lookup(4096..u64::MAX, &mut extents), Ok(Lookup::Found));
        assert_eq!(extents.len(), 1, "nothing lies behind the disk");
        for chunk in [1, 511, 512, 700, 1 << 20] {
            assert_eq!(flow(&file, chunk), Ok((file[..4096].to_vec(), Some(4096))), "{length} {chunk}");
        }
    }
}

#[test]
fn a_disk_larger_than_the_file_is_truncated() {
    let file = image(4608, 4096, 512);
    assert_eq!(decode(&file).map_err(|error| error.kind()), Err(Kind::Truncated));
    assert_eq!(flow(&file, 600).map_err(|error| error.kind()), Err(Kind::Truncated));
}

#[test]
fn a_rest_behind_the_disk_is_left_out_by_the_map_and_refused_by_the_stream() {
    let file = image(3584, 4096, 512);
    assert_eq!(decode(&file).map(|fixed| fixed.map().virtual_size()), Ok(3584));
    for chunk in [1, 700, 1 << 20] {
        let error = flow(&file, chunk).expect_err("the rest had flowed past");
        assert_eq!((error.kind(), error.offset()), (Kind::Unplaced, Some(3584)), "{chunk}: {error}");
    }
}

#[test]
fn what_is_no_footer_of_a_fixed_image_is_refused_by_both() {
    let with_footer = |bytes: Vec<u8>| [vec![1; 4096], bytes].concat();
    let mut wrong_sum = footer(4096, 2, 512);
    wrong_sum[100] = 1;
    for (file, kind) in [
        (vec![0; 4096], Kind::Malformed),
        (vec![0; 511], Kind::Truncated),
        (with_footer(wrong_sum), Kind::Malformed),
        (with_footer(footer(4096, 3, 512)), Kind::Malformed),
        (with_footer(footer(4096, 4, 512)), Kind::BackingFile),
        (with_footer(footer(4096, 7, 512)), Kind::Malformed),
        (with_footer(footer(4096, 2, 512)[..500].to_vec()), Kind::Malformed),
    ] {
        assert_eq!(decode(&file).map_err(|error| error.kind()), Err(kind));
        assert_eq!(flow(&file, 900).map_err(|error| error.kind()), Err(kind));
    }
    assert_eq!(FixedStream::new().push(&[], true, &mut Vec::new()).map_err(|error| error.kind()), Err(Kind::Truncated));
}

#[test]
fn a_stream_goes_on_where_another_stopped() {
    let file = image(4096, 4096, 512);
    let mut stream = FixedStream::new();
    assert!(stream.skip_to(1024));
    let mut pieces = Vec::new();
    assert_eq!(stream.push(&file[1024..], true, &mut pieces), Ok(file.len() - 1024));
    assert_eq!((pieces[0].guest.0, pieces[0].guest_len, stream.virtual_size()), (1024, 3072, Some(4096)));
}

#[test]
fn opening_asks_for_the_first_bytes_and_then_for_the_last() {
    let file = image(4096, 4096, 512);
    let mut open = Open::new(file.len() as u64);
    let mut asked = Vec::new();
    let map = loop {
        match open.step().expect("the image is valid") {
            Opening::Ready(map) => break map,
            Opening::Wants(wants) => {
                for want in wants {
                    let bytes = &file[saturated(want.start)..saturated(want.end)];
                    asked.push(want.clone());
                    // In two pieces, and with a neighbour's bytes.
                    open.feed(HostOffset(want.start), &bytes[..100]).expect("bytes are taken");
                    open.feed(HostOffset(want.start + 50), &bytes[50..]).expect("bytes are taken");
                }
            }
        }
    };
    assert_eq!((asked, map.virtual_size()), (vec![0..512, 4096..4608], 4096));
    assert_eq!(Open::new(511).step().map(|_| ()).map_err(|error| error.kind()), Err(Kind::Truncated));
}

#[test]
fn opening_refuses_a_header_behind_the_end() {
    let mut file = footer(4096, 3, 512);
    file.resize(4096, 0);
    file[16..24].copy_from_slice(&3584_u64.to_be_bytes());
    file[64..68].fill(0);
    let sum: u32 = file[..512].iter().map(|&byte| u32::from(byte)).sum();
    file[64..68].copy_from_slice(&(!sum).to_be_bytes());
    let mut open = Open::new(4096);
    assert!(matches!(open.step(), Ok(Opening::Wants(_))));
    open.feed(HostOffset(0), &file[..512]).expect("bytes are taken");
    assert_eq!(open.step().map(|_| ()).map_err(|error| error.kind()), Err(Kind::Truncated));
    assert_eq!(crate::vhd::map(&file, 4096).map(|_| ()).map_err(|error| error.kind()), Err(Kind::Truncated));
}

#[test]
fn first_bytes_alone_do_not_open_a_fixed_image() {
    let file = image(4096, 4096, 512);
    assert_eq!(crate::vhd::map(&file, 4608).map(|map| map.virtual_size()), Ok(4096), "the head is the whole file");
    let error = crate::vhd::map(&file[..4096], 4608).map(|_| ()).expect_err("the footer is not at hand");
    assert_eq!((error.kind(), error.offset()), (Kind::Unsupported, Some(4096)));
}
