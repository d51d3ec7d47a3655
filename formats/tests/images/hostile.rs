//! Images made to hurt a reader: each class is refused, or read at a cost that counters bound.

use formats::probe::Format;
use formats::{Error, HostOffset, Kind, Lookup, Map};

use crate::reader::{Sizes, head, read_mapped, read_streamed};
use crate::writer::{Content, Image, Layout, Object};

const CLUSTER: u64 = 4096;

fn data(clusters: usize) -> Layout {
    Layout::new(12, (0..clusters).map(|at| Content::Data((at % 255) as u8 + 1)).collect())
}

/// Both readers refuse the file in the same way: kind, offset and words of the map's error.
fn refused(file: &[u8]) -> (Kind, Option<u64>, String) {
    let mapped = read_mapped(file, &mut Sizes::new(3, 1 << 20)).expect_err("the map refuses the image");
    let streamed = read_streamed(file, &mut Sizes::new(3, 5000)).expect_err("the stream refuses the image");
    assert_eq!(mapped.kind(), streamed.kind(), "{mapped} / {streamed}");
    // A stream no longer has the entry when the file ends before what it names.
    if mapped.kind() == Kind::Malformed {
        assert_eq!(mapped.offset(), streamed.offset(), "{mapped} / {streamed}");
    }
    (mapped.kind(), mapped.offset(), mapped.to_string())
}

/// The image with its first L2 entry replaced.
fn with_l2_entry(entry: u64) -> (Image, u64) {
    let mut image = data(2).write();
    let at = image.places[&Object::L2(0)];
    image.put64(at, entry);
    (image, at)
}

#[test]
fn reserved_bits_of_entries_are_refused_at_the_entry() {
    for bit in (1..9).chain(56..62) {
        let (image, at) = with_l2_entry((1 << bit) | (3 * CLUSTER));
        let (kind, offset, what) = refused(&image.file);
        assert_eq!((kind, offset), (Kind::Malformed, Some(at)), "{what}");
        assert!(what.contains("L2 entry") && what.contains("reserved"), "{what}");
    }
    for bit in (0..9).chain(56..63) {
        let mut image = data(2).write();
        let l1 = image.places[&Object::L1];
        image.put64(l1, (1 << bit) | (3 * CLUSTER));
        let (kind, offset, what) = refused(&image.file);
        assert_eq!((kind, offset), (Kind::Malformed, Some(l1)), "{what}");
        assert!(what.contains("L1 entry 0") && what.contains("reserved"), "{what}");
    }
}

#[test]
fn offsets_inside_a_cluster_are_refused() {
    let (image, at) = with_l2_entry(3 * CLUSTER + 512);
    assert_eq!(refused(&image.file).1, Some(at));
    let mut image = data(2).write();
    let l1 = image.places[&Object::L1];
    image.put64(l1, 3 * CLUSTER + 512);
    let (kind, offset, what) = refused(&image.file);
    assert_eq!((kind, offset), (Kind::Malformed, Some(l1)), "{what}");
}

#[test]
fn places_and_tables_past_the_end_are_truncated() {
    let far = (1 << 56) - CLUSTER;
    let (image, _) = with_l2_entry(far);
    assert_eq!(refused(&image.file).0, Kind::Truncated);
    let mut image = data(2).write();
    let l1 = image.places[&Object::L1];
    image.put64(l1, far);
    assert_eq!(refused(&image.file).0, Kind::Truncated);
    let mut image = data(2).write();
    image.put64(40, i64::MAX as u64 - (CLUSTER * 2 - 1));
    let (kind, _, what) = refused(&image.file);
    assert_eq!(kind, Kind::Truncated);
    assert!(what.contains("L1 table"), "{what}");
}

#[test]
fn encoded_clusters_in_the_header_or_past_the_end_are_refused() {
    for host in [0, 511, 4095] {
        let (image, at) = with_l2_entry(1 << 62 | host);
        let (kind, offset, what) = refused(&image.file);
        assert_eq!((kind, offset), (Kind::Malformed, Some(at)), "{what}");
    }
    let (image, _) = with_l2_entry(1 << 62 | 1 << 40);
    assert_eq!(refused(&image.file).0, Kind::Truncated);
    let (image, _) = with_l2_entry(1 << 62 | 1 << 56);
    assert_eq!(refused(&image.file).0, Kind::Malformed);
}

#[test]
fn the_zero_flag_is_refused_in_version_2_and_beside_subclusters() {
    let mut old = data(2).write();
    old.put32(4, 2);
    old.file[72..112].fill(0);
    let at = old.places[&Object::L2(0)];
    old.put64(at, 1);
    assert_eq!(refused(&old.file).1, Some(at));
    let extended = Layout { extended: true, ..Layout::new(14, vec![Content::Data(1); 2]) };
    let mut image = extended.write();
    let at = image.places[&Object::L2(0)];
    image.put64(at, image.places[&Object::Cluster(0)] | 1);
    assert_eq!(refused(&image.file).1, Some(at));
}

#[test]
fn subcluster_bitmaps_that_contradict_are_refused() {
    let extended = Layout { extended: true, ..Layout::new(14, vec![Content::Data(1); 2]) };
    for (host, bitmap) in [(true, 1 << 32 | 1), (true, u64::MAX), (false, 1)] {
        let mut image = extended.write();
        let at = image.places[&Object::L2(0)];
        image.put64(at, if host { image.places[&Object::Cluster(0)] } else { 0 });
        image.put64(at + 8, bitmap);
        let (kind, offset, what) = refused(&image.file);
        assert_eq!((kind, offset), (Kind::Malformed, Some(at)), "{what}");
    }
    // qemu does not look at the bitmap of an encoded cluster.
    let encoded = Layout { extended: true, ..Layout::new(14, vec![Content::Encoded(1); 2]) };
    let mut image = encoded.write();
    let at = image.places[&Object::L2(0)];
    image.put64(at + 8, u64::MAX);
    assert_eq!(read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)), Ok(encoded.disk()));
}

#[test]
fn tables_that_point_at_tables_end_after_two_levels() {
    // The L1 table is its own L2 table, and that its own data.
    let mut image = data(2).write();
    let l1 = image.places[&Object::L1];
    image.put64(l1, l1);
    let disk = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect("entries are valid as such");
    assert_eq!(disk[..8], l1.to_be_bytes());
    // An L2 table that names itself, and the header.
    let mut image = data(2).write();
    let l2 = image.places[&Object::L2(0)];
    image.put64(l2, l2);
    let disk = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect("entries are valid as such");
    assert_eq!(disk[..8], l2.to_be_bytes());
    assert_eq!(read_streamed(&image.file, &mut Sizes::new(1, 5000)), Ok(disk));
}

/// Walks a disk in windows, up to 8 TiB of it, and counts: (bytes wanted, most memory, extents).
fn walk(map: &mut dyn Map, window: u64, serve: impl Fn(u64, usize) -> Vec<u8>) -> Result<(u64, usize, usize), Error> {
    let (mut wanted, mut memory, mut extents) = (0, 0, 0);
    let mut at = 0;
    let disk = map.virtual_size().min(8 << 40);
    while at < disk {
        let end = at.saturating_add(window).min(disk);
        let mut out = Vec::new();
        while let Lookup::Wants(wants) = map.lookup(at..end, &mut out)? {
            for want in wants {
                wanted += want.end - want.start;
                map.feed(HostOffset(want.start), &serve(want.start, (want.end - want.start) as usize))?;
            }
        }
        memory = memory.max(map.memory());
        extents += out.len();
        map.release(formats::GuestOffset(end));
        at = end;
    }
    Ok((wanted, memory, extents))
}

/// A header alone, of a disk of `size` bytes whose L1 table lies at the second cluster.
fn header(cluster_bits: u32, size: u64) -> Vec<u8> {
    let mut image = Layout::new(cluster_bits, vec![Content::Absent]).write();
    let coverage = 1_u64 << (2 * cluster_bits - 3);
    image.put64(24, size);
    image.put32(36, size.div_ceil(coverage) as u32);
    image.file
}

#[test]
fn an_empty_disk_of_8_tib_costs_its_l1_table() {
    let file = header(16, 8 << 40);
    let mut map = Format::Qcow2.map(head(&file), 1 << 40).expect("the header is valid");
    let (wanted, memory, extents) = walk(map.as_mut(), 64 << 20, |_, len| vec![0; len]).expect("nothing is allocated");
    assert_eq!(wanted, 8 * (8 << 40 >> 29));
    assert_eq!(extents, 8 << 40 >> 26, "one for each window");
    assert!(memory <= 66_000, "{memory}");
}

#[test]
fn one_lookup_over_an_empty_disk_is_one_extent() {
    let file = header(16, 8 << 40);
    let mut map = Format::Qcow2.map(head(&file), 1 << 40).expect("the header is valid");
    let counts = walk(map.as_mut(), u64::MAX >> 1, |_, len| vec![0; len]).expect("nothing is allocated");
    assert_eq!((counts.0, counts.2), (8 * (8 << 40 >> 29), 1));
}

#[test]
fn the_largest_l1_table_is_never_in_memory_as_a_whole() {
    // 2^22 entries, all of which name the same L2 table.
    let file = header(16, 1 << 51);
    let mut map = Format::Qcow2.map(head(&file), 1 << 40).expect("the header is valid");
    let table = (1_u64 << 30).to_be_bytes();
    let serve = |at: u64, len: usize| if at < 1 << 30 { table.repeat(len / 8) } else { vec![0; len] };
    let (wanted, memory, extents) = walk(map.as_mut(), 1 << 40, serve).expect("entries are valid as such");
    assert_eq!(extents, 8);
    assert!(memory <= 3 * 66_000, "{memory}");
    assert_eq!(wanted, 2 * 65536 + 8 * 65536, "a shared table is asked for once a window");
}

#[test]
fn a_forward_decoder_bounds_what_it_remembers() {
    // Places far ahead, none beside another: 2^18 subclusters of 16 KiB clusters.
    let clusters = vec![Content::Parts { byte: 1, data: 0x5555_5555, zero: 0 }; 1024];
    let mut layout = Layout { extended: true, ..Layout::new(14, clusters.repeat(20)) };
    layout.clusters.truncate(17 * 1024);
    layout.size = (17 * 1024) << 14;
    let mut image = Layout { clusters: vec![Content::Absent; 17 * 1024], ..layout.clone() }.write();
    let (l1, tables) = (image.places[&Object::L1], 17);
    // Tables follow the L1 table, their data would be terabytes further on.
    let first = image.file.len() as u64;
    for table in 0..tables {
        image.put64(l1 + table * 8, first + table * (1 << 14));
    }
    for cluster in 0..tables * 1024 {
        image.file.extend((1_u64 << 40 | cluster << 14).to_be_bytes());
        image.file.extend(0x5555_5555_u64.to_be_bytes());
    }
    let error = read_streamed(&image.file, &mut Sizes::new(4, 1 << 20)).expect_err("the memory is bounded");
    assert_eq!(error.kind(), Kind::Unplaced, "{error}");
    assert!(error.to_string().contains("262144"), "{error}");
}

#[test]
fn a_failed_lookup_appends_nothing_and_says_the_same_again() {
    let mut image = data(3).write();
    let at = image.places[&Object::L2(0)];
    image.put64(at + 16, 1 << 60);
    let mut map = Format::Qcow2.map(head(&image.file), image.file.len() as u64).expect("the header is valid");
    let mut out = Vec::new();
    let error = loop {
        match map.lookup(0..3 * CLUSTER, &mut out) {
            Ok(Lookup::Wants(wants)) => {
                for want in wants {
                    map.feed(HostOffset(want.start), &image.file[want.start as usize..want.end as usize])
                        .expect("tables are only looked at later");
                }
            }
            Ok(Lookup::Found) => panic!("the third entry is not valid"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), out.len()), (Kind::Malformed, 0));
    assert_eq!(map.lookup(0..3 * CLUSTER, &mut out), Err(error));
    // What comes before the damage can be read.
    assert_eq!(map.lookup(0..2 * CLUSTER, &mut out), Ok(Lookup::Found));
}

/// Found by fuzzing: data and encoded clusters on the same bytes, cut by the end of a push in another order than they begin.
#[test]
fn runs_that_overlap_go_on_where_each_was_cut() {
    let file = include_bytes!("found/overlapping-runs.qcow2");
    let found = usize::from(file[file.len() - 1]).pow(2);
    for chunk in [found, 1, 7, 100, 1000, 4096] {
        let mut stream = Format::Qcow2.stream(head(file), None).expect("the header is valid");
        let (mut start, mut end) = (0, 0);
        while end < file.len() {
            end = file.len().min(end + chunk);
            let mut pieces = Vec::new();
            let Ok(used) = stream.push(&file[start..end], end == file.len(), &mut pieces) else { break };
            assert!(pieces.iter().all(|piece| piece.at + piece.host_len <= end - start));
            start += used;
        }
    }
}
