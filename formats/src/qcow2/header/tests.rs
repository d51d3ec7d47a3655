//! Header fields one by one, as patches of the bytes of a valid header.

use super::*;

/// A version 3 header of an image with 64 KiB clusters and 1 GiB, as the specification lays it out.
fn valid() -> Vec<u8> {
    let mut head = vec![0; 4 * 65536];
    let fields: [(usize, &[u8]); 11] = [
        (0, b"QFI\xfb"),
        (4, &3_u32.to_be_bytes()),
        (20, &16_u32.to_be_bytes()),
        (24, &(1_u64 << 30).to_be_bytes()),
        (36, &2_u32.to_be_bytes()),
        (40, &0x30000_u64.to_be_bytes()),
        (48, &0x10000_u64.to_be_bytes()),
        (56, &1_u32.to_be_bytes()),
        (64, &0_u64.to_be_bytes()),
        (96, &4_u32.to_be_bytes()),
        (100, &112_u32.to_be_bytes()),
    ];
    for (at, bytes) in fields {
        patch(&mut head, at, bytes);
    }
    head
}

fn patch(head: &mut [u8], at: usize, bytes: &[u8]) {
    head[at..at + bytes.len()].copy_from_slice(bytes);
}

fn decode(head: &[u8]) -> Result<Header, Error> {
    Header::decode(&head[..head.len().min(Header::WANTED)])
}

/// Decodes a valid header with these patches.
fn with(patches: &[(usize, &[u8])]) -> Result<Header, Error> {
    let mut head = valid();
    for (at, bytes) in patches {
        patch(&mut head, *at, bytes);
    }
    decode(&head)
}

/// Asserts that the patched header is refused in this way, in words that contain `words`.
fn refused(patches: &[(usize, &[u8])], kind: Kind, at: u64, words: &str) {
    let error = with(patches).expect_err(words);
    assert_eq!((error.kind(), error.offset()), (kind, Some(at)), "{error}");
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
}

fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), u32::try_from(data.len()).unwrap().to_be_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0xee);
    bytes
}

#[test]
fn a_valid_header_says_what_it_holds() {
    let facts = with(&[]).unwrap().facts().clone();
    assert_eq!((facts.version, facts.cluster_size, facts.virtual_size), (3, 65536, 1 << 30));
    assert_eq!((facts.compression, facts.refcount_bits), (ClusterCodec::Deflate, 16));
    assert_eq!((facts.snapshots, facts.bitmaps), (0, 0));
    assert!(!facts.extended_l2 && !facts.lazy_refcounts && !facts.dirty && !facts.corrupt);
}

#[test]
fn version_2_has_72_bytes_and_takes_no_field_from_behind_them() {
    let header = with(&[(4, &2_u32.to_be_bytes()), (72, &[0; 40])]).unwrap();
    assert_eq!((header.facts().version, header.facts().refcount_bits), (2, 16));
    // What would be feature bits is an extension here.
    let mut head = valid();
    patch(&mut head, 4, &2_u32.to_be_bytes());
    patch(&mut head, 72, &extension(0x1234_5678, &[0xff; 40]));
    patch(&mut head, 120, &[0; 8]);
    assert!(!decode(&head).unwrap().facts().lazy_refcounts);
}

#[test]
fn features_that_reading_does_not_mind_are_told() {
    let facts = with(&[(72, &3_u64.to_be_bytes()), (80, &1_u64.to_be_bytes())]).unwrap().facts().clone();
    assert!(facts.dirty && facts.corrupt && facts.lazy_refcounts);
    let zstd = with(&[(72, &8_u64.to_be_bytes()), (104, &[1])]).unwrap();
    assert_eq!(zstd.facts().compression, ClusterCodec::Zstd);
    let extended = with(&[(72, &16_u64.to_be_bytes()), (36, &4_u32.to_be_bytes())]).unwrap();
    assert!(extended.facts().extended_l2);
    // Compatible and auto-clear bits that nothing knows may be ignored.
    assert!(with(&[(80, &u64::MAX.to_be_bytes()), (88, &(u64::MAX << 2).to_be_bytes())]).is_ok());
}

#[test]
fn a_short_file_is_truncated_whatever_it_lacks() {
    let head = valid();
    for length in [4, 8, 71, 72, 103, 104, 111] {
        let error = Header::decode(&head[..length]).expect_err("the header is cut");
        assert_eq!(error.kind(), Kind::Truncated, "{length} bytes: {error}");
    }
    assert_eq!(Header::decode(&[]).map_err(|error| error.kind()), Err(Kind::Malformed));
}

#[test]
fn sizes_out_of_range_are_malformed() {
    for bits in [0, 8, 22, 63, 64, 300, u32::MAX] {
        refused(&[(20, &bits.to_be_bytes())], Kind::Malformed, 20, "cluster_bits");
    }
    for order in [7, 31, 40, u32::MAX] {
        refused(&[(96, &order.to_be_bytes())], Kind::Malformed, 96, "refcount_order");
    }
    for length in [0, 72, 103, 108, 65544, u32::MAX] {
        refused(&[(100, &length.to_be_bytes())], Kind::Malformed, 100, "header_length");
    }
    refused(&[(20, &13_u32.to_be_bytes()), (72, &16_u64.to_be_bytes())], Kind::Malformed, 20, "extended L2");
}

#[test]
fn a_magic_or_version_of_something_else_is_refused() {
    refused(&[(0, b"QFI\xfa")], Kind::Malformed, 0, "magic");
    for version in [0, 1, 4, u32::MAX] {
        refused(&[(4, &version.to_be_bytes())], Kind::Unsupported, 4, "version");
    }
}

#[test]
fn the_l1_table_bounds_the_disk() {
    refused(&[(36, &1_u32.to_be_bytes())], Kind::Malformed, 36, "needs 2");
    refused(&[(24, &u64::MAX.to_be_bytes())], Kind::Malformed, 36, "needs 34359738368");
    refused(&[(36, &0x40_0001_u32.to_be_bytes())], Kind::Malformed, 36, "the limit is 4194304");
    refused(&[(36, &u32::MAX.to_be_bytes())], Kind::Malformed, 36, "the limit is 4194304");
    let largest = with(&[
        (20, &21_u32.to_be_bytes()),
        (24, &(1_u64 << 61).to_be_bytes()),
        (36, &0x40_0000_u32.to_be_bytes()),
        (40, &0x20_0000_u64.to_be_bytes()),
        (48, &0x20_0000_u64.to_be_bytes()),
    ]);
    assert_eq!(largest.unwrap().facts().virtual_size, 1 << 61);
}

#[test]
fn an_empty_disk_needs_no_l1_table() {
    let empty = with(&[(24, &0_u64.to_be_bytes()), (36, &0_u32.to_be_bytes()), (40, &0_u64.to_be_bytes())]);
    assert_eq!(empty.unwrap().facts().virtual_size, 0);
}

#[test]
fn a_size_is_cut_to_sectors() {
    let odd = with(&[(24, &((1_u64 << 30) - 1).to_be_bytes())]).unwrap();
    assert_eq!(odd.facts().virtual_size, (1 << 30) - 512);
}

#[test]
fn tables_must_lie_at_a_cluster_inside_what_a_file_can_be() {
    for (field, name) in [(40, "L1 table"), (48, "refcount table"), (64, "snapshot table")] {
        let at = field as u64;
        let one = (60, &1_u32.to_be_bytes()[..]);
        refused(&[one, (field, &0x30001_u64.to_be_bytes())], Kind::Malformed, at, "no multiple of the cluster size");
        refused(&[one, (field, &0_u64.to_be_bytes())], Kind::Malformed, at, name);
        refused(&[one, (field, &(1_u64 << 63).to_be_bytes())], Kind::Malformed, at, "larger than a file");
        refused(&[one, (field, &(u64::MAX << 16).to_be_bytes())], Kind::Malformed, at, "larger than a file");
    }
}

#[test]
fn counts_of_tables_are_bounded() {
    for clusters in [0, 129, u32::MAX] {
        refused(&[(56, &clusters.to_be_bytes())], Kind::Malformed, 56, "refcount table");
    }
    for snapshots in [65537, u32::MAX] {
        let patches: [(usize, &[u8]); 2] = [(60, &snapshots.to_be_bytes()), (64, &0x40000_u64.to_be_bytes())];
        refused(&patches, Kind::Malformed, 60, "snapshots");
    }
    let most = with(&[(60, &65536_u32.to_be_bytes()), (64, &0x40000_u64.to_be_bytes())]).unwrap();
    assert_eq!(most.facts().snapshots, 65536);
}

#[test]
fn compression_types_must_agree_with_their_bit() {
    refused(&[(104, &[1])], Kind::Malformed, 104, "without the compression type bit");
    refused(&[(72, &8_u64.to_be_bytes())], Kind::Malformed, 104, "zlib");
    refused(&[(72, &8_u64.to_be_bytes()), (104, &[2])], Kind::Unsupported, 104, "compression type 2");
    // The field is not there when the header ends before it.
    let short: (usize, &[u8]) = (100, &104_u32.to_be_bytes());
    refused(&[(72, &8_u64.to_be_bytes()), short], Kind::Malformed, 104, "zlib");
    assert!(with(&[short]).is_ok());
}

#[test]
fn an_unknown_feature_is_refused_by_the_name_the_image_gives_it() {
    let bit_7: (usize, &[u8]) = (72, &(1_u64 << 7).to_be_bytes());
    refused(&[bit_7], Kind::Unsupported, 72, "feature bit 7, which");
    let mut names = vec![0; 3 * 48];
    names[..8].copy_from_slice(b"\x01\x07wrong\0");
    names[48..58].copy_from_slice(b"\0\x06another\0");
    names[96..108].copy_from_slice(b"\0\x07time\ntrave");
    let table = extension(0x6803_f857, &names);
    refused(&[bit_7, (112, &table)], Kind::Unsupported, 72, "feature bit 7, \"time\\ntrave\"");
    for bit in 5..64 {
        refused(&[(72, &(1_u64 << bit).to_be_bytes())], Kind::Unsupported, 72, &format!("bit {bit}"));
    }
}

#[test]
fn a_backing_file_is_refused_by_its_escaped_name() {
    let name: (usize, &[u8]) = (200, b"/etc/\x1bshadow");
    let length: (usize, &[u8]) = (16, &12_u32.to_be_bytes());
    let offset: (usize, &[u8]) = (8, &200_u64.to_be_bytes());
    refused(&[name, length, offset], Kind::BackingFile, 8, "\"/etc/\\u{1b}shadow\"");
    refused(&[offset], Kind::BackingFile, 8, "\"\"");
    refused(&[offset, (16, &1024_u32.to_be_bytes())], Kind::Malformed, 8, "1024 bytes");
    for outside in [65530, 65537, u64::MAX] {
        refused(&[length, (8, &outside.to_be_bytes())], Kind::Malformed, 8, "not inside");
    }
}

#[test]
fn a_long_name_is_cut_in_the_message() {
    let mut head = valid();
    patch(&mut head, 8, &200_u64.to_be_bytes());
    patch(&mut head, 16, &1023_u32.to_be_bytes());
    patch(&mut head, 200, &[b'a'; 1023]);
    let text = decode(&head).expect_err("a backing file").to_string();
    assert!(text.contains("aaa\"...") && text.len() < 350, "{text}");
}

#[test]
fn encryption_is_refused_however_it_is_said() {
    for method in [1, 2, 3, u32::MAX] {
        refused(&[(32, &method.to_be_bytes())], Kind::Encrypted, 32, "");
    }
    refused(&[(112, &extension(0x0537_be77, &[0; 16]))], Kind::Encrypted, 112, "encryption header");
}

#[test]
fn an_external_data_file_is_refused_however_it_is_said() {
    let name = extension(0x4441_5441, b"/dev/sda");
    refused(&[(72, &4_u64.to_be_bytes()), (112, &name)], Kind::ExternalData, 112, "\"/dev/sda\"");
    refused(&[(72, &4_u64.to_be_bytes())], Kind::ExternalData, 72, "does not name");
    refused(&[(112, &name)], Kind::ExternalData, 112, "\"/dev/sda\"");
    refused(&[(88, &2_u64.to_be_bytes())], Kind::Malformed, 88, "raw external data");
}

#[test]
fn extensions_are_walked_to_their_end_and_unknown_ones_passed_over() {
    let chain = [extension(0xe279_2aca, b"qcow2"), extension(1, &[7; 13]), extension(2, &[])].concat();
    assert!(with(&[(112, &chain)]).is_ok());
    // A chain without an end fills the cluster.
    let mut head = valid();
    for at in (112..65536).step_by(16) {
        patch(&mut head, at, &extension(9, &[0; 8]));
    }
    assert!(decode(&head).is_ok());
}

#[test]
fn an_extension_must_end_in_the_first_cluster() {
    for length in [65536_u32 - 112 - 8 + 1, u32::MAX, u32::MAX - 7] {
        let head = [9_u32.to_be_bytes(), length.to_be_bytes()].concat();
        refused(&[(112, &head)], Kind::Malformed, 112, "reaches past");
    }
    refused(&[(112, &extension(0xe279_2aca, b"sixteen letters!"))], Kind::Malformed, 112, "backing format");
}

#[test]
fn extensions_are_looked_for_in_the_first_64_kib_only() {
    let mut head = valid();
    patch(&mut head, 20, &17_u32.to_be_bytes());
    for field in [40, 48] {
        patch(&mut head, field, &0x20000_u64.to_be_bytes());
    }
    patch(&mut head, 112, &extension(9, &vec![0; 65536]));
    let error = decode(&head).expect_err("the chain is too long");
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}

#[test]
fn bitmaps_are_counted_when_the_image_says_that_they_are_consistent() {
    let bitmaps = |count: u32, directory: u64| {
        let data = [&count.to_be_bytes()[..], &[0; 12], &directory.to_be_bytes()].concat();
        extension(0x2385_2875, &data)
    };
    let consistent: (usize, &[u8]) = (88, &1_u64.to_be_bytes());
    let count = |extension: &[u8]| with(&[consistent, (112, extension)]).map(|header| header.facts().bitmaps);
    assert_eq!(count(&bitmaps(3, 0x50000)), Ok(3));
    assert_eq!(with(&[(112, &bitmaps(3, 0x50000))]).unwrap().facts().bitmaps, 0);
    refused(&[consistent, (112, &bitmaps(0, 0x50000))], Kind::Malformed, 112, "0 bitmaps");
    refused(&[consistent, (112, &bitmaps(65536, 0x50000))], Kind::Malformed, 112, "65536 bitmaps");
    refused(&[consistent, (112, &bitmaps(1, 0x50001))], Kind::Malformed, 112, "directory offset");
    refused(&[(112, &extension(0x2385_2875, &[0; 23]))], Kind::Malformed, 112, "23 bytes");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_fail_in_another_way(
        patches in proptest::collection::vec((0_usize..200, proptest::array::uniform8(proptest::num::u8::ANY)), 0..6),
        length in 0_usize..70000,
    ) {
        let mut head = valid();
        for (at, bytes) in patches {
            patch(&mut head, at, &bytes);
        }
        if let Ok(header) = Header::decode(&head[..length]) {
            let facts = header.facts();
            proptest::prop_assert!((512..=2 << 20).contains(&facts.cluster_size));
            proptest::prop_assert!(facts.virtual_size <= 1 << 61 && facts.virtual_size % 512 == 0);
            proptest::prop_assert!(facts.snapshots <= 65536 && facts.bitmaps <= 65535);
        }
    }
}
