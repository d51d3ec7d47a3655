//! Rules of the forward decoder, on layouts that show one of them each.

use formats::probe::Format;
use formats::{ClusterCodec, Error, GuestOffset, Kind, Piece};

use super::reader::{check, read_mapped, read_streamed, refused};
use super::written::{Content, Image, Layout, Object, Shape};
use crate::reader::{Sizes, head};

const GRAIN: u64 = 4096;

/// Pieces of one push of the whole file.
fn pieces(file: &[u8]) -> Result<Vec<Piece>, Error> {
    let mut out = Vec::new();
    Format::Vmdk.stream(head(file), None)?.push(file, true, &mut out).map(|_| out)
}

/// Both shapes with compressed grains in which the tables come behind.
const BEHIND: [Shape; 2] = [Shape::Footer, Shape::Late];
const COMPRESSED: [Shape; 3] = [Shape::Front, Shape::Footer, Shape::Late];

/// The kind, place and words in which the stream refuses what the map reads.
fn only_streamed(image: &Image, disk: &[u8]) -> (Kind, Option<u64>, String) {
    assert!(read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)).expect("the map reads no markers") == disk);
    let refusal = read_streamed(&image.file, &mut Sizes::new(3, 5000)).expect_err("the stream refuses the image");
    let error = refusal.error();
    (error.kind(), error.offset(), error.to_string())
}

#[test]
fn a_compressed_grain_is_one_piece_that_says_its_place() {
    for shape in COMPRESSED {
        let mut layout = Layout::data(shape, 3);
        (layout.grains[1], layout.sectors) = (Content::Absent, 2 * 8 + 3);
        let image = layout.write();
        let piece = |number: usize, len: u64| Piece {
            at: image.places[&Object::Grain(number)] + 12,
            host_len: 2 + 5 + len as usize + 4,
            guest: GuestOffset(number as u64 * GRAIN),
            guest_len: len,
            codec: Some(ClusterCodec::Zlib { at_least: len as u32 }),
        };
        assert_eq!(pieces(&image.file), Ok(vec![piece(0, GRAIN), piece(2, 3 * 512)]), "{shape:?}");
    }
}

#[test]
fn plain_grains_that_follow_each_other_are_one_piece() {
    let image = Layout::data(Shape::Sparse, 20).write();
    let at = image.places[&Object::Grain(0)];
    let whole = Piece { at, host_len: 20 * 4096, guest: GuestOffset(0), guest_len: 20 * GRAIN, codec: None };
    assert_eq!(pieces(&image.file), Ok(vec![whole]));
}

#[test]
fn chunks_of_any_size_give_the_same_disk() {
    for shape in Shape::ALL {
        let layout = Layout { sectors: 37 * 8 - 3, ..Layout::data(shape, 37) };
        for chunk in [1, 13, 511, 5000, 1 << 20] {
            let disk = read_streamed(&layout.write().file, &mut Sizes::new(chunk, chunk));
            assert!(disk == Ok(layout.disk()), "{shape:?} in chunks of {chunk}");
        }
    }
}

#[test]
fn signs_of_life_are_passed() {
    for shape in BEHIND {
        let layout = Layout::data(shape, 2);
        let mut image = layout.write();
        // Behind the header's metadata, as an export that has nothing to say yet.
        let first = image.places[&Object::Grain(0)];
        let mut sign = vec![0; 512];
        sign[12] = 4;
        image.file.splice(first..first, sign);
        // Tables and footer now lie one sector further on.
        for place in image.places.values_mut() {
            *place += 512;
        }
        for (at, value) in [(Object::Table(0), 0), (Object::Table(0), 4), (Object::Directory, 0)] {
            let at = image.places[&at] + value;
            let old = u32::from_le_bytes(image.file[at..at + 4].try_into().unwrap());
            image.put32(at, old + 1);
        }
        let at = image.places[&Object::Footer] + 56;
        let directory = image.places[&Object::Directory] as u64 / 512;
        image.put64(at, directory);
        check(&image.file, &layout.disk(), 5);
    }
}

#[test]
fn zeros_between_grains_are_padding_only_where_the_tables_are_in_front() {
    let layout = Layout::data(Shape::Front, 3);
    let mut image = layout.write();
    image.file.extend([0; 1024]);
    check(&image.file, &layout.disk(), 5);
    let layout = Layout::data(Shape::Footer, 3);
    let mut image = layout.write();
    image.file.extend([0; 512]);
    let [map, stream] = refused(&image.file);
    assert_eq!((map.0, stream.0), (Kind::Malformed, Kind::Malformed));
    assert!(stream.2.contains("goes on"), "{}", stream.2);
}

#[test]
fn grains_out_of_order_are_left_to_the_map() {
    // Two grains of the same size change places, and the tables with them.
    for shape in COMPRESSED {
        let layout = Layout::data(shape, 4);
        let mut image = layout.write();
        let [one, two] = [1, 2].map(|number| image.places[&Object::Grain(number)]);
        let len = two - one;
        let (first, second) = (image.file[one..two].to_vec(), image.file[two..two + len].to_vec());
        image.put(one, &second);
        image.put(two, &first);
        let table = image.places[&Object::Table(0)];
        image.put32(table + 4, (two / 512) as u32);
        image.put32(table + 8, (one / 512) as u32);
        let (kind, offset, what) = only_streamed(&image, &layout.disk());
        assert_eq!((kind, offset), (Kind::Unplaced, Some(two as u64)), "{what}");
    }
}

#[test]
fn markers_that_lie_are_refused_at_the_marker() {
    let disk = 4 * GRAIN / 512;
    for shape in COMPRESSED {
        let layout = Layout::data(shape, 4);
        for (sector, kind) in [
            (7, Kind::Malformed),
            (disk, Kind::Malformed),
            (u64::MAX / 512, Kind::Malformed),
            (u64::MAX, Kind::Malformed),
            (0, Kind::Unplaced),
        ] {
            let mut image = layout.write();
            let at = image.places[&Object::Grain(2)];
            image.put64(at, sector);
            let (found, offset, what) = only_streamed(&image, &layout.disk());
            assert_eq!((found, offset), (kind, Some(at as u64)), "{shape:?} {sector}: {what}");
        }
        for size in [2 * GRAIN as u32 + 1, u32::MAX] {
            let mut image = layout.write();
            let at = image.places[&Object::Grain(2)];
            image.put32(at + 8, size);
            let (found, offset, what) = only_streamed(&image, &layout.disk());
            assert_eq!((found, offset), (Kind::Malformed, Some(at as u64 + 8)), "{shape:?} {size}: {what}");
        }
    }
}

#[test]
fn a_size_of_zero_makes_a_grain_a_marker_of_no_known_type() {
    for shape in COMPRESSED {
        let layout = Layout::data(shape, 4);
        let mut image = layout.write();
        let at = image.places[&Object::Grain(2)];
        image.put32(at + 8, 0);
        let (kind, offset, what) = only_streamed(&image, &layout.disk());
        assert_eq!((kind, offset), (Kind::Malformed, Some(at as u64)), "{what}");
        assert!(what.contains("not known"), "{what}");
    }
}

#[test]
fn a_grain_that_its_table_does_not_name_is_no_part_of_the_disk() {
    for shape in COMPRESSED {
        let layout = Layout::data(shape, 20);
        for number in [0, 5, 12, 19] {
            let mut image = layout.write();
            let table = image.places[&Object::Table(number / 8)];
            image.put32(table + number % 8 * 4, 0);
            let mut disk = layout.disk();
            disk[number * 4096..(number + 1) * 4096].fill(0);
            let (kind, _, what) = only_streamed(&image, &disk);
            // In front, the last table can only be compared when the file ends.
            let expected = match (shape, number / 8) {
                (Shape::Front, 2) => Kind::Truncated,
                (Shape::Front, _) => Kind::Unplaced,
                _ => Kind::Malformed,
            };
            assert_eq!(kind, expected, "{shape:?} {number}: {what}");
            assert!(what.contains(&format!("directory entry {}", number / 8)), "{what}");
        }
    }
}

#[test]
fn a_table_in_front_that_names_a_grain_which_never_comes_is_truncated() {
    let layout = Layout::data(Shape::Front, 20);
    let image = layout.write();
    let cut = &image.file[..image.places[&Object::Grain(19)]];
    let [map, stream] = refused(cut);
    assert_eq!((map.0, stream.0), (Kind::Truncated, Kind::Truncated), "{map:?} {stream:?}");
}

#[test]
fn a_directory_that_names_no_table_or_another_is_refused_at_its_entry() {
    for shape in BEHIND {
        let layout = Layout::data(shape, 20);
        for (index, other) in [(0, 1), (1, 2), (2, 0)] {
            let mut image = layout.write();
            let at = image.places[&Object::Directory] + index * 4;
            let table = image.places[&Object::Table(other)] as u32 / 512;
            image.put32(at, table);
            let error = read_streamed(&image.file, &mut Sizes::new(3, 5000)).expect_err("it names other grains");
            assert_eq!((error.error().kind(), error.error().offset()), (Kind::Malformed, Some(at as u64)));
            image.put32(at, table + 1);
            let error = read_streamed(&image.file, &mut Sizes::new(3, 5000)).expect_err("there is no table");
            assert!(error.error().to_string().contains("no grain table is"), "{error:?}");
        }
    }
}

#[test]
fn markers_of_tables_say_how_many_sectors_follow() {
    for (object, back) in [(Object::Table(0), 512), (Object::DirectoryMarker, 0), (Object::FooterMarker, 0)] {
        for value in [0, 2, u64::MAX] {
            let layout = Layout::data(Shape::Footer, 4);
            let mut image = layout.write();
            let at = image.places[&object] - back;
            image.put64(at, value);
            let (kind, offset, what) = only_streamed(&image, &layout.disk());
            assert_eq!((kind, offset), (Kind::Malformed, Some(at as u64)), "{object:?}: {what}");
            assert!(what.contains("sectors"), "{what}");
        }
    }
}

#[test]
fn footer_directory_and_end_come_in_their_order() {
    let layout = Layout::data(Shape::Footer, 4);
    let refusal = |object: Object, kind: u32| {
        let mut image = layout.write();
        let at = image.places[&object] - if object == Object::Table(0) { 512 } else { 0 };
        image.put32(at + 12, kind);
        let refusal = read_streamed(&image.file, &mut Sizes::new(3, 5000)).expect_err("the order is wrong");
        let error = refusal.error();
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(at as u64)), "{error}");
        error.to_string()
    };
    assert!(refusal(Object::Table(0), 3).contains("before a grain directory"));
    assert!(refusal(Object::DirectoryMarker, 3).contains("before a grain directory"));
    assert!(refusal(Object::Table(0), 9).contains("type 9"));
    assert!(refusal(Object::FooterMarker, 1).contains("no footer"));
    assert!(refusal(Object::End, 1).contains("no end-of-stream"));
    // A marker of tables where they are in front.
    let layout = Layout::data(Shape::Front, 4);
    let mut image = layout.write();
    let end = image.file.len().next_multiple_of(512);
    image.file.resize(end + 512, 0);
    image.put32(end + 12, 2);
    let (kind, offset, what) = only_streamed(&image, &layout.disk());
    assert_eq!((kind, offset), (Kind::Malformed, Some(end as u64)), "{what}");
}

#[test]
fn a_stream_that_ends_anywhere_is_never_complete() {
    for shape in COMPRESSED {
        let image = Layout { sectors: 9 * 8, ..Layout::data(shape, 9) }.write();
        // What is left out at the very end of a grain with tables in front may be padding.
        for end in (image.file.len() / 2..image.file.len() - 511).step_by(97) {
            let file = &image.file[..end];
            let refusal = read_streamed(file, &mut Sizes::new(end as u64, 3000)).expect_err("something is missing");
            assert_eq!(refusal.error().kind(), Kind::Truncated, "{shape:?} at {end}: {refusal:?}");
        }
    }
}

#[test]
fn what_a_stream_cannot_place_is_refused_before_its_first_byte() {
    // Plain grains with a footer; compressed ones without markers; a directory behind the grains.
    let mut footer = Layout::data(Shape::Sparse, 4).write();
    footer.put64(56, u64::MAX);
    let mut bare = Layout::data(Shape::Front, 4).write();
    bare.put32(8, 0x1_0005);
    let mut behind = Layout::data(Shape::Footer, 4).write();
    let directory = behind.places[&Object::Directory] as u64 / 512;
    behind.put64(56, directory);
    for image in [footer, bare, behind] {
        let error = pieces(&image.file).expect_err("the tables come too late");
        assert_eq!(error.kind(), Kind::Unplaced, "{error}");
    }
}

#[test]
fn compressed_grains_without_markers_are_read_by_the_map() {
    // The streams move twelve bytes to the front of their sectors.
    let layout = Layout::data(Shape::Front, 4);
    let mut image = layout.write();
    image.put32(8, 0x1_0005);
    for number in 0..4 {
        let at = image.places[&Object::Grain(number)];
        let end = (at + 4096 + 23).min(image.file.len());
        image.file.copy_within(at + 12..end, at);
    }
    assert!(read_mapped(&image.file, &mut Sizes::new(3, 1 << 20)) == Ok(layout.disk()));
}
