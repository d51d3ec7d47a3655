//! Rules of the forward decoder, on layouts that show one of them each.

use formats::{Error, Kind, Piece, Stream, probe::Format};

use crate::reader::{Sizes, head, read_mapped, read_streamed};
use crate::writer::{Content, Image, Layout, Object};

const CLUSTER: u64 = 4096;

fn data(clusters: usize) -> Layout {
    Layout::new(12, (0..clusters).map(|at| Content::Data((at % 255) as u8 + 1)).collect())
}

fn stream(image: &Image) -> Box<dyn Stream> {
    Format::Qcow2.stream(head(&image.file), None).expect("the header is valid")
}

/// Pieces of one push of the whole file.
fn pieces(image: &Image) -> Result<Vec<Piece>, Error> {
    let mut out = Vec::new();
    stream(image).push(&image.file, true, &mut out).map(|_| out)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> Kind {
    result.expect_err("the image is refused").kind()
}

#[test]
fn neighbours_in_file_and_disk_are_one_piece() {
    let image = data(8).write();
    let all = pieces(&image).expect("the image is placed");
    let at = image.places[&Object::Cluster(0)] as usize;
    let whole = Piece { at, host_len: 8 * 4096, guest: formats::GuestOffset(0), guest_len: 8 * CLUSTER, codec: None };
    assert_eq!(all, [whole]);
}

#[test]
fn pieces_come_in_the_order_of_the_file() {
    let order = [2, 0, 3, 1].map(Object::Cluster).to_vec();
    let image = Layout { order: [vec![Object::L1, Object::L2(0)], order].concat(), ..data(4) }.write();
    let guests: Vec<u64> =
        pieces(&image).expect("the image is placed").iter().map(|piece| piece.guest.0 / CLUSTER).collect();
    assert_eq!(guests, [2, 0, 3, 1]);
}

#[test]
fn two_guest_clusters_in_one_host_cluster_are_both_placed() {
    let layout = data(3);
    let mut image = layout.write();
    let (l2, first) = (image.places[&Object::L2(0)], image.places[&Object::Cluster(0)]);
    image.put64(l2 + 16, first);
    let disk = read_streamed(&image.file, &mut Sizes::new(5, 3000)).expect("the image is placed");
    assert_eq!([disk[0], disk[4096], disk[8192]], [1, 2, 1]);
    assert_eq!(read_mapped(&image.file, &mut Sizes::new(5, 9000)), Ok(disk));
}

#[test]
fn a_table_that_comes_soon_after_its_data_still_places_it() {
    let order = vec![Object::L1, Object::Cluster(0), Object::Waste(100), Object::L2(0)];
    let image = Layout { order, ..data(2) }.write();
    for chunk in [1, 700, 60_000, 1 << 20] {
        let disk = read_streamed(&image.file, &mut Sizes::new(9, chunk)).expect("the image is placed");
        assert_eq!([disk[0], disk[4096]], [1, 2]);
    }
}

#[test]
fn a_table_that_comes_too_late_is_refused_with_the_offset_it_names() {
    for order in [
        vec![Object::L1, Object::Cluster(0), Object::Waste(600), Object::L2(0)],
        vec![Object::L2(0), Object::Cluster(0), Object::Waste(600), Object::L1],
    ] {
        let lost = order.iter().find(|object| !matches!(object, Object::L1)).expect("something is lost");
        let image = Layout { order: order.clone(), ..data(1) }.write();
        let error = read_streamed(&image.file, &mut Sizes::new(9, 60_000)).expect_err("the data has flowed past");
        assert_eq!((error.kind(), error.offset()), (Kind::Unplaced, Some(image.places[lost])), "{error}");
    }
}

#[test]
fn nothing_is_lost_where_a_late_table_places_nothing() {
    let mut layout = data(1);
    layout.clusters[0] = Content::ZeroAllocated;
    layout.order = vec![Object::Cluster(0), Object::Waste(600), Object::L1, Object::L2(0)];
    let disk = read_streamed(&layout.write().file, &mut Sizes::new(9, 60_000));
    assert_eq!(disk, Ok(vec![0; 4096]));
}

#[test]
fn the_rest_of_a_last_sector_belongs_to_the_next_encoded_cluster() {
    // The second encoded cluster begins where the first ends, inside a sector; its table comes 200 clusters later.
    let far = 4096 / 8;
    let mut layout = data(far + 1);
    layout.clusters.fill(Content::Absent);
    (layout.clusters[0], layout.clusters[far], layout.zstd) = (Content::Encoded(1), Content::Encoded(2), true);
    layout.order =
        vec![Object::L1, Object::L2(0), Object::Cluster(0), Object::Cluster(far), Object::Waste(200), Object::L2(1)];
    let image = layout.write();
    assert_ne!(image.places[&Object::Cluster(far)] % 512, 0);
    for chunk in [100, 5000, 1 << 20] {
        assert_eq!(read_streamed(&image.file, &mut Sizes::new(2, chunk)), Ok(layout.disk()));
    }
}

#[test]
fn a_file_that_ends_in_its_last_cluster_reads_as_zeros_there() {
    let mut image = data(2).write();
    image.file.truncate(image.file.len() - 1536);
    let disk = read_streamed(&image.file, &mut Sizes::new(3, 1000)).expect("the cluster begins in the file");
    assert_eq!((disk[8191 - 1536], disk[8192 - 1536]), (2, 0));
    assert_eq!(read_mapped(&image.file, &mut Sizes::new(3, 9000)), Ok(disk));
}

#[test]
fn a_file_that_ends_before_a_cluster_or_a_table_is_truncated() {
    let image = data(4).write();
    let end = image.file.len();
    for length in [end - 4096, end - 8192, image.places[&Object::L2(0)] as usize + 4095] {
        let cut = Image { file: image.file[..length].to_vec(), places: image.places.clone() };
        assert_eq!(kind(pieces(&cut)), Kind::Truncated, "{length}");
        assert_eq!(kind(read_streamed(&cut.file, &mut Sizes::new(3, 5000))), Kind::Truncated, "{length}");
        assert_eq!(kind(read_mapped(&cut.file, &mut Sizes::new(3, 9000))), Kind::Truncated, "{length}");
    }
}

#[test]
fn plain_pieces_end_at_sectors_however_the_bytes_come() {
    let image = data(40).write();
    let mut stream = stream(&image);
    let (mut start, mut end) = (0, 0);
    while end < image.file.len() {
        end = (end + 777).min(image.file.len());
        let mut out = Vec::new();
        start += stream.push(&image.file[start..end], end == image.file.len(), &mut out).expect("the image is placed");
        assert!(out.iter().all(|piece| piece.guest.0 % 512 == 0 && piece.guest_len % 512 == 0));
    }
}

#[test]
fn what_is_held_back_does_not_grow_with_the_image() {
    for (cluster_bits, most) in [(9, 1 << 20), (16, 1 << 20), (18, 1 << 20), (21, 6 << 20)] {
        let image = Layout::new(cluster_bits, vec![Content::Absent; 4]).write();
        assert_eq!(stream(&image).hold_back(), most);
    }
}
