//! Images made to hurt a reader: each class is refused, or read at a cost that counters bound.

use formats::probe::Format;
use formats::{Error, GuestOffset, HostOffset, Kind, Lookup, Map};

use super::reader::{Refusal, map, read_mapped, read_streamed, refused};
use super::written::{Content, Image, Layout, Object, Shape};
use crate::reader::{Sizes, head};

fn sector(image: &Image, object: Object) -> u32 {
    (image.places[&object] / 512) as u32
}

/// The image of four grains with one of its table entries replaced, and where that is.
fn with_entry(shape: Shape, value: u32) -> (Image, u64) {
    let mut image = Layout::data(shape, 4).write();
    let at = image.places[&Object::Table(0)] + 4;
    image.put32(at, value);
    (image, at as u64)
}

#[test]
fn grains_in_the_header_or_the_descriptor_are_refused_at_their_entry() {
    for shape in Shape::ALL {
        for value in [2, 20] {
            let (image, at) = with_entry(shape, value);
            for (kind, offset, what) in refused(&image.file) {
                assert_eq!((kind, offset), (Kind::Malformed, Some(at)), "{shape:?} {what}");
                assert!(what.contains("header or descriptor"), "{what}");
            }
        }
    }
}

#[test]
fn an_entry_of_1_is_a_place_where_the_header_knows_no_grains_of_zeros() {
    let (mut image, at) = with_entry(Shape::Sparse, 1);
    assert!(read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)).is_ok());
    image.put32(8, 1);
    // qemu would read the descriptor as the guest's data.
    for (kind, offset, what) in refused(&image.file) {
        assert_eq!((kind, offset), (Kind::Malformed, Some(at)), "{what}");
    }
}

#[test]
fn places_and_tables_past_the_end_are_truncated() {
    for value in [1 << 20, u32::MAX] {
        for shape in Shape::ALL {
            let (image, at) = with_entry(shape, value);
            let refusal = read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)).expect_err("there is no such place");
            let error = refusal.error();
            assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(at)), "{shape:?} {error}");
            let mut image = Layout::data(shape, 20).write();
            let at = image.places[&Object::Directory] + 4;
            image.put32(at, value);
            let refusal = read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)).expect_err("there is no such table");
            assert_eq!(refusal.error().kind(), Kind::Truncated, "{shape:?} {refusal:?}");
            assert!(read_streamed(&image.file, &mut Sizes::new(3, 5000)).is_err(), "{shape:?}");
        }
    }
    for directory in [1 << 20, 1 << 53] {
        let mut image = Layout::data(Shape::Sparse, 4).write();
        image.put64(56, directory);
        let [map, stream] = refused(&image.file);
        assert_eq!((map.0, stream.0), (Kind::Truncated, Kind::Truncated), "{map:?} {stream:?}");
    }
}

#[test]
fn a_plain_grain_of_which_a_byte_is_missing_is_truncated() {
    // qemu reads what is missing as zeros; a download that was cut looks the same.
    let layout = Layout { sectors: 4 * 8 - 2, ..Layout::data(Shape::Sparse, 4) };
    let image = layout.write();
    let needed = image.places[&Object::Grain(3)] + 6 * 512;
    super::reader::check(&image.file[..needed], &layout.disk(), 4);
    let [map, stream] = refused(&image.file[..needed - 1]);
    assert_eq!((map.0, stream.0), (Kind::Truncated, Kind::Truncated), "{map:?} {stream:?}");
}

#[test]
fn metadata_that_the_file_does_not_hold_is_truncated_where_grains_are_looked_for_behind_it() {
    for shape in Shape::ALL {
        let layout = Layout::data(shape, 4);
        let mut image = layout.write();
        let far = image.file.len() as u64 / 512 + 1;
        image.put64(64, far);
        if shape == Shape::Sparse {
            super::reader::check(&image.file, &layout.disk(), 4);
            continue;
        }
        let [map, stream] = refused(&image.file);
        assert_eq!((map.0, stream.0), (Kind::Truncated, Kind::Truncated), "{shape:?} {map:?} {stream:?}");
    }
}

#[test]
fn a_file_without_the_footer_it_needs_is_refused() {
    for shape in [Shape::Footer, Shape::Late] {
        let image = Layout::data(shape, 4).write();
        for cut in [1, 512, 1024, 1536, 4096] {
            let file = &image.file[..image.file.len() - cut];
            let [map, stream] = refused(file);
            assert_eq!((map.0, stream.0), (Kind::Malformed, Kind::Truncated), "{cut}: {map:?} {stream:?}");
        }
        let short = refused(&image.file[..21 * 512 + 1000]);
        assert_eq!((short[0].0, short[1].0), (Kind::Truncated, Kind::Truncated), "{short:?}");
    }
}

#[test]
fn a_footer_that_contradicts_the_header_is_refused_by_both() {
    for (at, value) in [(4, 2), (8, 1), (12, 1), (20, 16), (44, 9), (77, 0), (0, 0), (56, 21)] {
        let mut image = Layout::data(Shape::Footer, 4).write();
        let footer = image.places[&Object::Footer];
        image.put(footer + at, &[value]);
        // A directory that lies elsewhere is not what its own marker says; the map takes the footer's word for it.
        let refusal = read_streamed(&image.file, &mut Sizes::new(3, 5000)).expect_err("they contradict");
        let error = refusal.error();
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some((footer + at) as u64)), "{error}");
        if at != 56 {
            let refusal = read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)).expect_err("they contradict");
            assert_eq!(refusal.error(), error);
        }
    }
}

#[test]
fn tables_that_point_at_tables_end_after_two_levels() {
    // The directory is its own first table, and that the grain of its own entry.
    let mut image = Layout::data(Shape::Sparse, 4).write();
    let directory = sector(&image, Object::Directory);
    let at = image.places[&Object::Directory];
    image.put32(at, directory);
    let disk = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect("entries are valid as such");
    assert_eq!(disk[..4], directory.to_le_bytes());
    // A table that names itself; two entries with one grain.
    let mut image = Layout::data(Shape::Sparse, 4).write();
    let (table, at) = (sector(&image, Object::Table(0)), image.places[&Object::Table(0)]);
    image.put32(at, table);
    image.put32(at + 4, table);
    let disk = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect("entries are valid as such");
    assert_eq!((&disk[..4], &disk[4096..4100]), (&table.to_le_bytes()[..], &table.to_le_bytes()[..]));
}

#[test]
fn compressed_grains_that_overlap_are_refused_by_their_check_value_or_read() {
    // The second begins inside the first, which the map takes for the end of the first.
    let mut image = Layout::data(Shape::Front, 4).write();
    let (first, at) = (sector(&image, Object::Grain(0)), image.places[&Object::Table(0)]);
    image.put32(at + 4, first + 1);
    let refusal = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect_err("the first is cut");
    assert!(matches!(refusal, Refusal::Grain(_)), "{refusal:?}");
    // Two entries may share a grain; markers cannot say so.
    let layout = Layout::data(Shape::Front, 4);
    let mut image = layout.write();
    image.put32(at + 4, first);
    let disk = read_mapped(&image.file, &mut Sizes::new(1, 1 << 20)).expect("each is whole");
    assert!(disk[..4096] == disk[4096..8192]);
    assert!(read_streamed(&image.file, &mut Sizes::new(1, 5000)).is_err());
}

/// Walks a disk in windows of 64 MiB, up to 8 TiB of it, and counts: (rounds, bytes wanted, most memory, extents).
fn walk(map: &mut dyn Map, serve: impl Fn(u64, usize) -> Vec<u8>) -> Result<(u64, u64, usize, usize), Error> {
    let (mut rounds, mut wanted, mut memory, mut extents) = (0, 0, 0, 0);
    let mut at = 0;
    let disk = map.virtual_size().min(8 << 40);
    while at < disk {
        let end = (at + (64 << 20)).min(disk);
        let mut out = Vec::new();
        while let Lookup::Wants(wants) = map.lookup(at..end, &mut out)? {
            rounds += 1;
            for want in wants {
                wanted += want.end - want.start;
                map.feed(HostOffset(want.start), &serve(want.start, (want.end - want.start) as usize))?;
            }
        }
        memory = memory.max(map.memory());
        extents += out.len();
        map.release(GuestOffset(end));
        at = end;
    }
    Ok((rounds, wanted, memory, extents))
}

/// A header alone, of a disk of `size` bytes with grains of 64 KiB and the directory at 1 MiB.
fn header(size: u64) -> Vec<u8> {
    let mut image = Layout { grain: 128, entries: 512, ..Layout::new(Shape::Sparse, vec![Content::Absent]) }.write();
    image.put64(12, size / 512);
    image.put64(56, 2048);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=monolithicSparse\nRW {} ",
        size / 512
    );
    image.put(512, &[0; 20 * 512]);
    image.put(512, format!("{text} SPARSE \"x\"\n").as_bytes());
    image.file
}

#[test]
fn an_empty_disk_of_8_tib_costs_its_directory() {
    let mut map = Format::Vmdk.map(head(&header(8 << 40)), 1 << 41).expect("the header is valid");
    let (rounds, wanted, memory, extents) = walk(map.as_mut(), |_, len| vec![0; len]).expect("nothing is allocated");
    assert_eq!((rounds, wanted, extents), (16, 4 << 18, 8 << 40 >> 26));
    assert!(memory <= 66_000, "{memory}");
}

#[test]
fn one_table_that_serves_a_whole_disk_is_asked_for_once_a_group() {
    let mut map = Format::Vmdk.map(head(&header(1 << 40)), 1 << 41).expect("the header is valid");
    let serve =
        |at: u64, len: usize| if at == 1 << 30 { vec![0; len] } else { (1_u32 << 21).to_le_bytes().repeat(len / 4) };
    let (rounds, wanted, memory, _) = walk(map.as_mut(), serve).expect("entries are valid as such");
    assert_eq!((rounds, wanted), (2 + (1 << 10), 2 * 65_536 + (1 << 10) * 2048));
    assert!(memory <= 3 * 66_000, "{memory}");
}

#[test]
fn the_smallest_tables_cost_no_more_memory_than_they_have_bytes() {
    // One entry a table, one sector a grain: the densest directory there is.
    let layout = Layout { grain: 1, entries: 1, sectors: 4000, ..Layout::data(Shape::Sparse, 4000) };
    let file = layout.write().file;
    let mut map = map(&file).expect("the layout is valid");
    let serve = |at: u64, len: usize| file[at as usize..][..len].to_vec();
    let (rounds, _, memory, extents) = walk(map.as_mut(), serve).expect("the layout is valid");
    assert_eq!((rounds, extents), (2, 1));
    assert!(memory < 300_000, "{memory}");
}

#[test]
fn a_failed_lookup_appends_nothing_and_says_the_same_again() {
    let (image, _) = with_entry(Shape::Sparse, 3);
    let mut map = map(&image.file).expect("the header is valid");
    let mut out = Vec::new();
    let error = loop {
        match map.lookup(0..16_384, &mut out) {
            Ok(Lookup::Wants(wants)) => {
                for want in wants {
                    let bytes = &image.file[want.start as usize..want.end as usize];
                    map.feed(HostOffset(want.start), bytes).expect("tables are only looked at later");
                }
            }
            Ok(Lookup::Found) => panic!("the second entry is not valid"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), out.len()), (Kind::Malformed, 0));
    assert_eq!(map.lookup(0..16_384, &mut out), Err(error));
    assert_eq!(map.lookup(0..4096, &mut out), Ok(Lookup::Found), "what comes before the damage can be read");
}
