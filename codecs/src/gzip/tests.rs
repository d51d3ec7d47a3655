use proptest::prelude::*;

use super::*;
use crate::outside::{Decoded, Pieces, decode, python, run, sample};

const LARGE: usize = 1 << 20;

fn gunzip(input: &[u8]) -> Result<Decoded, Error> {
    decode(&mut GzipDecoder::new(), input, &Pieces::of(LARGE, LARGE))
}

fn gzip(data: &[u8]) -> Vec<u8> {
    run("gzip", &["-6", "-c"], data)
}

/// A member with every optional header field, its header CRC included.
fn member_with_all_fields(data: &[u8]) -> Vec<u8> {
    python(
        r"
head = b'\x1f\x8b\x08\x1f' + struct.pack('<I', 7) + b'\x00\x03'
head += struct.pack('<H', 300) + bytes(i % 256 for i in range(300)) + b'disk.img\0' + b'a comment\0'
head += struct.pack('<H', zlib.crc32(head) & 0xffff)
c = zlib.compressobj(6, zlib.DEFLATED, -15)
out(head + c.compress(data) + c.flush() + struct.pack('<II', zlib.crc32(data), len(data)))",
        data,
    )
}

/// What bgzip writes: members of at most 64 KiB with their size in an extra field, and an empty one at the end.
fn blocked(data: &[u8]) -> Vec<u8> {
    python(
        r"
def block(part):
    c = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = c.compress(part) + c.flush()
    extra = b'BC' + struct.pack('<HH', 2, len(body) + 25)
    out(b'\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0' + extra + body + struct.pack('<II', zlib.crc32(part), len(part)))
for at in range(0, len(data), 65280): block(data[at:at + 65280])
block(b'')",
        data,
    )
}

#[test]
fn what_gzip_pigz_igzip_and_python_write_is_read() {
    let data = sample(1_500_000);
    let written = [
        ("gzip -1", run("gzip", &["-1", "-c"], &data)),
        ("gzip -9", run("gzip", &["-9", "-c"], &data)),
        ("pigz", run("pigz", &["-p", "2", "-c"], &data)),
        ("pigz -i", run("pigz", &["-p", "2", "-b", "128", "-i", "-c"], &data)),
        ("igzip", run("igzip", &["-z", "-c"], &data)),
        ("python", python("out(gzip.compress(data))", &data)),
        ("stored", python("out(gzip.compress(data, 0))", &data)),
        ("blocked", blocked(&data)),
        ("all header fields", member_with_all_fields(&data)),
    ];
    for (writer, file) in written {
        let decoded = gunzip(&file).unwrap_or_else(|error| panic!("{writer}: {error}"));
        assert!(decoded.bytes == data, "{writer}");
    }
}

#[test]
fn an_empty_file_compressed_is_one_boundary_and_no_byte() {
    let file = gzip(b"");
    let decoded = gunzip(&file).unwrap();
    assert_eq!((decoded.bytes.len(), decoded.boundaries), (0, vec![(file.len(), 0)]));
}

#[test]
fn the_end_of_each_member_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let parts = [sample(100_000), Vec::new(), sample(3), sample(70_000)];
    let members: Vec<_> = parts.iter().map(|part| gzip(part)).collect();
    let (file, data) = (members.concat(), parts.concat());
    let mut ends = Vec::new();
    let (mut at_input, mut at_output) = (0, 0);
    for (member, part) in members.iter().zip(&parts) {
        at_input += member.len();
        at_output += part.len();
        ends.push((at_input, at_output));
    }
    assert_eq!(gunzip(&file).unwrap().boundaries, ends);
    for (input, output) in ends {
        let rest = decode(&mut GzipDecoder::at_boundary(), &file[input..], &Pieces::of(1000, 1000)).unwrap();
        assert!(rest.bytes == data[output..]);
    }
}

#[test]
fn every_size_of_pieces_gives_the_same() {
    let file = [member_with_all_fields(&sample(5_000)), gzip(&sample(4_000)), vec![0; 100]].concat();
    let whole = gunzip(&file).unwrap();
    for size in 1..100 {
        for pieces in [Pieces::of(size, LARGE), Pieces::of(LARGE, size), Pieces::of(size, size)] {
            let decoded = decode(&mut GzipDecoder::new(), &file, &pieces).unwrap();
            assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries, "{pieces:?}");
        }
    }
}

#[test]
fn random_pieces_give_the_same() {
    let data = sample(400_000);
    let file = [blocked(&data), gzip(&data)].concat();
    let size = || prop_oneof![1..20_usize, 1..5_000_usize, 1..100_000_usize];
    let lists = (prop::collection::vec(size(), 1..20), prop::collection::vec(size(), 1..20));
    let whole = gunzip(&file).unwrap();
    proptest!(ProptestConfig::with_cases(48), |((input, output) in lists)| {
        let decoded = decode(&mut GzipDecoder::new(), &file, &Pieces { input, output }).unwrap();
        prop_assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries);
    });
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_no_byte() {
    let data = sample(3_000);
    for file in [gzip(&data), member_with_all_fields(&data)] {
        let mut refused = 0;
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match gunzip(&damaged) {
                Ok(decoded) => assert!(decoded.bytes == data, "bit {bit} gave other data"),
                Err(_) => refused += 1,
            }
        }
        // What may change unseen: time, extra flags, system, the text flag and stray bits at the end of the deflate data.
        assert!(refused > file.len() * 8 - 80, "{refused} of {} flips refused", file.len() * 8);
    }
}

#[test]
fn a_file_cut_anywhere_but_at_a_boundary_is_truncated() {
    let first = member_with_all_fields(&sample(2_000));
    let file = [first.clone(), gzip(&sample(500))].concat();
    for end in 0..file.len() {
        let outcome = gunzip(&file[..end]);
        if end == first.len() {
            assert!(outcome.unwrap().bytes == sample(2_000));
        } else {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn zeros_after_the_last_member_are_padding_and_anything_else_is_refused() {
    let file = gzip(b"data");
    let after = |tail: &[u8]| gunzip(&[file.clone(), tail.to_vec()].concat());
    for length in [1, 2, 511, 100_000] {
        assert_eq!(after(&vec![0; length]).unwrap().bytes, b"data");
    }
    for tail in [&b"x"[..], b"\0x", b"\x1fx", b"\0\0\x1f\x8b", b"BZh9"] {
        let error = after(tail).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{tail:?}");
        assert!(error.to_string().contains("no gzip member begins here"), "{tail:?}: {error}");
    }
}

#[test]
fn a_decoder_at_a_boundary_accepts_the_end_and_padding() {
    for rest in [&b""[..], b"\0\0\0"] {
        decode(&mut GzipDecoder::at_boundary(), rest, &Pieces::of(1, 1)).unwrap();
    }
}

#[test]
fn no_gzip_is_refused_at_its_first_wrong_byte() {
    assert_eq!(gunzip(b"").unwrap_err().kind(), Kind::Truncated);
    assert_eq!(gunzip(b"Q").unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(gunzip(b"\x1f\x8c").unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(gunzip(&[0; 100]).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn unknown_method_and_reserved_flags_are_unsupported_by_name() {
    for (at, value, name) in [(2, 7, "method 7"), (3, 0x20, "0x20"), (3, 0x80, "0x80")] {
        let mut file = gzip(b"data");
        file[at] = value;
        let error = gunzip(&file).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn wrong_check_values_are_named() {
    let file = gzip(b"some data");
    let end = file.len();
    for (at, name) in [(end - 8, "CRC-32"), (end - 1, "length")] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        let error = gunzip(&damaged).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains(name), "{error}");
    }
    let mut damaged = member_with_all_fields(b"some data");
    let comment = damaged.windows(9).position(|text| text == b"a comment").unwrap();
    damaged[comment] = b'b';
    assert!(gunzip(&damaged).unwrap_err().to_string().contains("header CRC"));
}

#[test]
fn a_name_may_fill_the_bound_and_no_more() {
    let header = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03";
    let body = &gzip(b"data")[10..];
    for (excess, accepted) in [(0, true), (1, false)] {
        let name = vec![b'n'; header::LONGEST - header.len() - 1 + excess];
        let file = [&header[..], &name, &[0], body].concat();
        for pieces in [Pieces::of(LARGE * 2, 100), Pieces::of(4096, 100)] {
            let outcome = decode(&mut GzipDecoder::new(), &file, &pieces);
            assert_eq!(outcome.is_ok(), accepted, "excess {excess}");
            assert!(accepted || outcome.unwrap_err().kind() == Kind::Unsupported);
        }
    }
}

#[test]
fn the_length_in_the_trailer_counts_modulo_4_gib() {
    // A full flush ends a block of zeros on a byte and forgets the history, so the block can be repeated.
    let file = python(
        r"
part = bytes(1 << 20)
c = zlib.compressobj(9, zlib.DEFLATED, -15)
block = c.compress(part) + c.flush(zlib.Z_FULL_FLUSH)
crc = 0
for _ in range(4096): crc = zlib.crc32(part, crc)
end = c.compress(b'tail!') + c.flush() + struct.pack('<II', zlib.crc32(b'tail!', crc), 5)
out(b'\x1f\x8b\x08\0\0\0\0\0\0\x03' + block * 4096 + end)",
        b"",
    );
    assert_eq!(file[file.len() - 4..], [5, 0, 0, 0]);
    assert_eq!(count(&file, LARGE).0, (1 << 32) + 5);
}

#[test]
fn a_bomb_comes_out_in_steps_of_the_callers_size() {
    let file = run("sh", &["-c", "head -c 100M /dev/zero | gzip -9 -c"], b"");
    let (length, steps) = count(&file, 64 << 10);
    assert_eq!(length, 100 << 20);
    assert!(steps <= 1600 + 2, "{steps} steps of 64 KiB for 100 MiB");
}

#[test]
fn ten_thousand_empty_members_are_ten_thousand_boundaries() {
    let file = gzip(b"").repeat(10_000);
    assert_eq!(gunzip(&file).unwrap().boundaries.len(), 10_000);
}

/// Decodes without keeping the output: its length, and the steps it took.
fn count(file: &[u8], room: usize) -> (u64, u64) {
    let mut decoder = GzipDecoder::new();
    let mut output = vec![0; room];
    let (mut used, mut length, mut steps) = (0, 0, 0);
    while used < file.len() {
        let step = decoder.step(&file[used..], &mut output).unwrap();
        used += step.consumed;
        length += step.produced as u64;
        steps += 1;
    }
    decoder.finish().unwrap();
    (length, steps)
}

proptest! {
    #[test]
    fn garbage_after_a_header_never_panics_and_ends(garbage in prop::collection::vec(any::<u8>(), 0..3000)) {
        let file = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &garbage].concat();
        prop_assert!(gunzip(&file).is_err());
    }
}
