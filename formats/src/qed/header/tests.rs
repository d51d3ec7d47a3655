//! One valid header, and every field that makes it invalid.

use super::*;

const CLUSTER: u64 = 65536;

fn header() -> Vec<u8> {
    let mut head = vec![0; 65536];
    head[..4].copy_from_slice(MAGIC);
    put32(&mut head, 4, 65536);
    put32(&mut head, 8, 4);
    put32(&mut head, 12, 1);
    put64(&mut head, 40, CLUSTER);
    put64(&mut head, 48, 10 << 30);
    head
}

fn put32(head: &mut [u8], at: usize, value: u32) {
    head[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(head: &mut [u8], at: usize, value: u64) {
    head[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[track_caller]
fn refused(head: &[u8], kind: Kind, field: Option<u64>, words: &str) {
    let error = Header::decode(head).expect_err("the header is refused");
    assert_eq!((error.kind(), error.offset()), (kind, field), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_header_says_what_it_says() {
    let facts = Header::decode(&header()).unwrap().facts().clone();
    assert_eq!(facts, Facts { cluster_size: CLUSTER, table_clusters: 4, virtual_size: 10 << 30, need_check: false });
}

#[test]
fn sizes_that_no_image_has_are_refused() {
    let table: &[(usize, u32, &str)] = &[
        (4, 0, "cluster_size is 0"),
        (4, 2048, "cluster_size is 2048"),
        (4, 65537, "cluster_size is 65537"),
        (4, 128 << 20, "cluster_size is 134217728"),
        (4, 1 << 31, "cluster_size is 2147483648"),
        (8, 0, "table_size is 0"),
        (8, 3, "table_size is 3"),
        (8, 32, "table_size is 32"),
        (8, 1 << 31, "table_size is 2147483648"),
    ];
    for &(at, value, words) in table {
        let mut head = header();
        put32(&mut head, at, value);
        refused(&head, Kind::Malformed, Some(at as u64), words);
    }
}

#[test]
fn the_largest_sizes_do_not_overflow() {
    let mut head = header();
    put32(&mut head, 4, MAX_CLUSTER);
    put32(&mut head, 8, MAX_TABLE_CLUSTERS);
    put32(&mut head, 12, 0);
    put64(&mut head, 40, 1 << 26);
    put64(&mut head, 48, 1 << 62);
    assert_eq!(Header::decode(&head).unwrap().facts().virtual_size, 1 << 62);
    put64(&mut head, 48, u64::MAX - 511);
    refused(&head, Kind::Malformed, Some(48), "image_size is");
    put64(&mut head, 48, 1 << 62);
    put64(&mut head, 40, i64::MAX.unsigned_abs() - ((1 << 30) - 1));
    refused(&head, Kind::Malformed, Some(40), "behind the end of any file");
    put64(&mut head, 40, u64::MAX - (u64::from(MAX_CLUSTER) - 1));
    refused(&head, Kind::Malformed, Some(40), "behind the end of any file");
    put32(&mut head, 12, u32::MAX);
    put64(&mut head, 40, 1 << 26);
    refused(&head, Kind::Malformed, Some(40), "lies in the header");
}

#[test]
fn a_disk_is_no_larger_than_its_tables_describe() {
    let mut head = header();
    put32(&mut head, 4, 4096);
    put32(&mut head, 8, 1);
    put64(&mut head, 40, 4096);
    // 512 entries of 512 clusters.
    put64(&mut head, 48, 512 * 512 * 4096);
    assert!(Header::decode(&head).is_ok());
    put64(&mut head, 48, 512 * 512 * 4096 + 512);
    refused(&head, Kind::Malformed, Some(48), "describe at most 1073741824");
    put64(&mut head, 48, 1000);
    refused(&head, Kind::Malformed, Some(48), "no multiple of 512");
}

#[test]
fn an_l1_table_off_its_place_is_refused() {
    for (offset, words) in [
        (0, "lies in the header"),
        (CLUSTER + 512, "not at a cluster boundary"),
        (u64::MAX - 65535, "behind the end of any file"),
    ] {
        let mut head = header();
        put64(&mut head, 40, offset);
        refused(&head, Kind::Malformed, Some(40), words);
    }
}

#[test]
fn features_that_are_not_known_are_refused_with_their_bits() {
    let mut head = header();
    put64(&mut head, 16, 0x8000_0000_0000_0012);
    refused(&head, Kind::Unsupported, Some(16), "features 0x8000000000000010");
    // Compatible and autoclear features may be anything.
    let mut head = header();
    head[24..40].fill(0xff);
    assert!(Header::decode(&head).is_ok());
}

#[test]
fn an_image_that_was_not_closed_is_read_and_says_so() {
    let mut head = header();
    put64(&mut head, 16, 0b110);
    assert!(Header::decode(&head).unwrap().facts().need_check);
}

#[test]
fn a_backing_file_is_refused_by_name() {
    let mut head = header();
    put64(&mut head, 16, 1);
    put32(&mut head, 56, 100);
    put32(&mut head, 60, 9);
    head[100..109].copy_from_slice(b"base\n.qed");
    refused(&head, Kind::BackingFile, Some(56), r#"backing file "base\n.qed", which"#);
    put32(&mut head, 60, 65536);
    refused(&head, Kind::Malformed, Some(56), "is not inside the header");
    put32(&mut head, 56, u32::MAX);
    put32(&mut head, 60, u32::MAX);
    refused(&head, Kind::Malformed, Some(56), "is not inside the header");
}

#[test]
fn what_is_shorter_than_a_header_is_refused() {
    let head = header();
    refused(&head[..63], Kind::Truncated, None, "needs 64 bytes, the file ends at 63");
    refused(&head[..3], Kind::Malformed, Some(0), "magic");
    assert!(Header::decode(&head[..64]).is_ok());
}
