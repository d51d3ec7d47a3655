//! Header fields one by one, as patches of the bytes of a valid header.

use super::*;

const TEXT: &str = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
    createType=\"monolithicSparse\"\nRW 2097152 SPARSE \"disk.vmdk\"\nddb.adapterType = \"ide\"\n";

/// A version 1 header of a disk of 1 GiB with grains of 64 KiB, as VMware and qemu write it.
fn valid() -> Vec<u8> {
    let mut head = vec![0; Header::WANTED];
    let fields: [(usize, &[u8]); 13] = [
        (0, b"KDMV"),
        (4, &1_u32.to_le_bytes()),
        (8, &3_u32.to_le_bytes()),
        (12, &2_097_152_u64.to_le_bytes()),
        (20, &128_u64.to_le_bytes()),
        (28, &1_u64.to_le_bytes()),
        (36, &20_u64.to_le_bytes()),
        (44, &512_u32.to_le_bytes()),
        (48, &21_u64.to_le_bytes()),
        (56, &150_u64.to_le_bytes()),
        (64, &384_u64.to_le_bytes()),
        (73, b"\n \r\n"),
        (512, TEXT.as_bytes()),
    ];
    for (at, bytes) in fields {
        patch(&mut head, at, bytes);
    }
    head
}

fn patch(head: &mut [u8], at: usize, bytes: &[u8]) {
    head[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Decodes a valid header with these patches.
fn with(patches: &[(usize, &[u8])]) -> Result<Header, Error> {
    let mut head = valid();
    for (at, bytes) in patches {
        patch(&mut head, *at, bytes);
    }
    Header::decode(&head)
}

/// Asserts that the patched header is refused in this way, in words that contain `words`.
fn refused(patches: &[(usize, &[u8])], kind: Kind, at: u64, words: &str) {
    let error = with(patches).expect_err(words);
    assert_eq!((error.kind(), error.offset()), (kind, Some(at)), "{error}");
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
}

/// Flags and algorithm of an image with compressed grains.
const COMPRESSED: [(usize, &[u8]); 2] = [(8, &[3, 0, 3, 0]), (77, &[1, 0])];

#[test]
fn a_valid_header_says_what_it_holds() {
    let facts = with(&[]).unwrap().facts().clone();
    assert_eq!((facts.version, facts.create_type, facts.virtual_size), (1, "monolithicSparse", 1 << 30));
    assert_eq!((facts.grain_size, facts.table_entries), (65536, 512));
    assert!(facts.redundant_tables && !facts.compressed && !facts.markers && !facts.footer);
    assert!(!facts.zeroed_grains && !facts.unclean_shutdown);
    let [flags, algorithm] = COMPRESSED;
    let facts = with(&[(4, &[3]), flags, algorithm, (56, &[0xff; 8]), (72, &[1])]).unwrap().facts().clone();
    assert!(facts.version == 3 && facts.compressed && facts.markers && facts.footer && facts.unclean_shutdown);
    let facts = with(&[(4, &[2]), (8, &[5])]).unwrap().facts().clone();
    assert!(facts.zeroed_grains && !facts.redundant_tables);
}

#[test]
fn versions_and_flags_that_are_not_known_are_unsupported() {
    for version in [0, 4, u32::MAX] {
        refused(&[(4, &version.to_le_bytes())], Kind::Unsupported, 4, "version");
    }
    for bit in 18..32_u32 {
        refused(&[(8, &(3 | 1_u32 << bit).to_le_bytes())], Kind::Unsupported, 8, &format!("flag bit {bit}"));
    }
    // The lower half is compatible.
    assert!(with(&[(8, &0xfffb_u32.to_le_bytes())]).is_ok());
}

#[test]
fn a_file_that_was_transferred_as_text_is_malformed() {
    refused(&[(73, b"\n \n\n")], Kind::Malformed, 73, "newline");
    assert!(with(&[(8, &[2]), (73, &[0; 4])]).is_ok(), "the flag says that the test is valid");
}

#[test]
fn compression_must_be_said_twice_and_be_known() {
    let [flags, algorithm] = COMPRESSED;
    refused(&[flags], Kind::Malformed, 77, "compressAlgorithm is 0");
    refused(&[algorithm], Kind::Malformed, 77, "compressAlgorithm is 1");
    refused(&[flags, (77, &[2, 0])], Kind::Unsupported, 77, "compressAlgorithm 2");
    let bare = with(&[(8, &[3, 0, 1, 0]), algorithm]).unwrap();
    assert!(bare.facts().compressed && !bare.facts().markers);
}

#[test]
fn sizes_out_of_range_are_refused_at_their_field() {
    for grain in [0, 3, 96, 1 << 22, u64::MAX] {
        refused(&[(20, &grain.to_le_bytes())], Kind::Malformed, 20, "grainSize");
    }
    let [flags, algorithm] = COMPRESSED;
    refused(&[flags, algorithm, (20, &(1_u64 << 13).to_le_bytes())], Kind::Unsupported, 20, "compressed grains");
    for entries in [0, 513, u32::MAX] {
        refused(&[(44, &entries.to_le_bytes())], Kind::Malformed, 44, "numGTEsPerGT");
    }
    for capacity in [0, (1 << 53) + 1, u64::MAX] {
        refused(&[(12, &u64::to_le_bytes(capacity))], Kind::Malformed, 12, "capacity");
    }
    refused(&[(12, &(1_u64 << 53).to_le_bytes())], Kind::Malformed, 12, "grain tables");
    refused(&[(64, &u64::MAX.to_le_bytes())], Kind::Malformed, 64, "overHead");
}

#[test]
fn the_grain_directory_lies_behind_the_descriptor() {
    for sector in [0, 1, 20] {
        refused(&[(56, &u64::to_le_bytes(sector))], Kind::Malformed, 56, "header or descriptor");
    }
    assert!(with(&[(56, &[21])]).is_ok());
    for sector in [(1 << 53) + 1, u64::MAX - 1] {
        refused(&[(56, &u64::to_le_bytes(sector))], Kind::Malformed, 56, "larger than a file");
    }
}

#[test]
fn an_extent_without_a_descriptor_belongs_to_another_file() {
    refused(&[(28, &[0; 8])], Kind::ExternalData, 28, "another file");
    refused(&[(512, &[0; 1024])], Kind::ExternalData, 512, "another file");
    refused(&[(36, &[0; 8])], Kind::Malformed, 36, "0 sectors");
    refused(&[(28, &u64::MAX.to_le_bytes())], Kind::Malformed, 36, "descriptor");
    refused(&[(36, &u64::MAX.to_le_bytes())], Kind::Malformed, 36, "descriptor");
    refused(&[(36, &128_u64.to_le_bytes())], Kind::Unsupported, 28, "sector 129");
    refused(&[(28, &u64::to_le_bytes(1 << 40))], Kind::Unsupported, 28, "descriptor");
    refused(&[(512, b"x")], Kind::Malformed, 512, "does not begin with");
}

#[test]
fn the_size_is_said_twice_and_may_be_rounded_up_to_grains() {
    let sized = |sectors: u64| {
        let text = TEXT.replace("2097152", &format!("{sectors:07}"));
        with(&[(512, text.as_bytes())]).map(|header| header.facts().virtual_size).map_err(|error| error.kind())
    };
    assert_eq!(sized(2_097_152), Ok(1 << 30));
    assert_eq!(sized(2_097_152 - 127), Ok(1 << 30), "the capacity counts whole grains");
    for sectors in [0, 2_097_152 - 128, 2_097_153] {
        assert_eq!(sized(sectors), Err(Kind::Malformed));
    }
}

#[test]
fn a_short_file_is_truncated_whatever_it_lacks() {
    let head = valid();
    for length in [4, 80, 511] {
        assert_eq!(Header::decode(&head[..length]).map_err(|error| error.kind()), Err(Kind::Truncated), "{length}");
    }
    let error = Header::decode(&head[..21 * 512 - 1]).expect_err("the descriptor is cut");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(512)));
    assert_eq!(Header::decode(&[]).map_err(|error| error.kind()), Err(Kind::Malformed));
}

#[test]
fn what_goes_by_the_name_and_is_another_format_is_refused_by_its_own() {
    refused(&[(0, b"COWD")], Kind::Unsupported, 0, "COWD");
    refused(&[(0, b"\xbe\xba\xfe\xca\0\0\0\0")], Kind::Unsupported, 0, "seSparse");
    refused(&[(0, b"KDMW")], Kind::Malformed, 0, "magic");
    let error = Header::decode(TEXT.as_bytes()).expect_err("a descriptor alone is no disk");
    assert_eq!(error.kind(), Kind::ExternalData);
    assert!(error.to_string().contains("disk.vmdk"), "{error}");
}

#[test]
fn a_footer_says_where_the_directory_is_and_contradicts_nothing() {
    let header = with(&[(56, &[0xff; 8])]).unwrap();
    let sector = valid()[..512].to_vec();
    assert_eq!(header.footer(&sector, 4096), Ok(150 * 512));
    let contradictions: [(usize, &[u8], &str); 6] = [
        (4, &[2], "version"),
        (8, &[7], "flags"),
        (12, &[1], "capacity"),
        (20, &[64], "grainSize"),
        (44, &[255], "numGTEsPerGT"),
        (77, &[1], "compressAlgorithm"),
    ];
    for (at, bytes, name) in contradictions {
        let mut other = sector.clone();
        patch(&mut other, at, bytes);
        let error = header.footer(&other, 4096).expect_err(name);
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(4096 + at as u64)), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    for directory in [20, u64::MAX, u64::MAX - 1] {
        let mut other = sector.clone();
        patch(&mut other, 56, &u64::to_le_bytes(directory));
        let error = header.footer(&other, 4096).expect_err("there is no such directory");
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(4096 + 56)), "{error}");
    }
    assert_eq!(header.footer(&[0; 512], 4096).map_err(|error| error.kind()), Err(Kind::Malformed));
    assert_eq!(header.footer(b"KDMV", 4096).map_err(|error| error.kind()), Err(Kind::Truncated));
}
