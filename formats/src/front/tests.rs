//! A map of the test's own, whose tables and data lie wherever a test puts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{ClusterCodec, Stream as _};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Windows of 64 MiB. A table describes some of them, and may only be known once another was fed.
#[derive(Clone, Default)]
struct Model {
    size: u64,
    tables: Vec<Table>,
    extents: Vec<Extent>,
    lookups: Arc<AtomicUsize>,
    /// Memory that is said to be used for each table that is held.
    weight: usize,
}

#[derive(Clone)]
struct Table {
    guest: Range<u64>,
    host: Range<u64>,
    seen: u64,
}

impl Model {
    fn new(windows: u64) -> Self {
        Self { size: windows * MIN_WINDOW, ..Self::default() }
    }

    fn table(mut self, windows: Range<u64>, host: Range<u64>) -> Self {
        let guest = windows.start * MIN_WINDOW..windows.end * MIN_WINDOW;
        self.tables.push(Table { guest, seen: host.start, host });
        self
    }

    fn data(mut self, guest: u64, len: u64, host: u64) -> Self {
        self.extents.push(Extent { guest: GuestOffset(guest), len, place: Place::Data(HostOffset(host)) });
        self
    }

    fn stream(&self) -> Stream {
        Stream::new(Box::new(self.clone()))
    }
}

impl Map for Model {
    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let describes = |table: &&Table| table.guest.start < guest.end && guest.start < table.guest.end;
        // Level by level: of the tables that describe a window, the first that is missing.
        if let Some(table) = self.tables.iter().filter(describes).find(|table| table.seen < table.host.end) {
            return Ok(Lookup::Wants(vec![table.host.clone()]));
        }
        for extent in &self.extents {
            let (start, end) = (extent.guest.0.max(guest.start), extent.end().min(guest.end));
            if start < end {
                let place = match extent.place {
                    Place::Data(host) => Place::Data(HostOffset(host.0 + start - extent.guest.0)),
                    other => other,
                };
                out.push(Extent { guest: GuestOffset(start), len: end - start, place });
            }
        }
        Ok(Lookup::Found)
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        let end = host.0 + bytes.len() as u64;
        for table in self.tables.iter_mut().filter(|table| (host.0..end).contains(&table.seen)) {
            table.seen = end.min(table.host.end);
        }
        Ok(())
    }

    fn release(&mut self, guest: GuestOffset) {
        self.tables.retain(|table| table.guest.end > guest.0);
    }

    fn memory(&self) -> usize {
        self.tables.iter().filter(|table| table.seen == table.host.end).count() * self.weight
    }
}

/// Pieces as (host, guest, len), from pushes of `chunk` fresh bytes of a file of `len` bytes.
fn flow(model: &Model, len: u64, chunk: u64) -> Result<Vec<(u64, u64, u64)>, Error> {
    let file = vec![0; saturated(len)];
    let mut stream = model.stream();
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    while end < len {
        end = len.min(end + chunk);
        let mut out = Vec::new();
        let consumed = stream.push(&file[saturated(start)..saturated(end)], end == len, &mut out)?;
        pieces.extend(out.iter().map(|piece| (start + piece.at as u64, piece.guest.0, piece.guest_len)));
        start += consumed as u64;
        assert!(end - start <= stream.hold_back() as u64, "no more is held back than was said");
    }
    assert_eq!(start, len, "at the end everything is consumed");
    Ok(pieces)
}

/// The same whatever the chunks, neighbours joined.
fn placed(model: &Model, len: u64) -> Vec<(u64, u64, u64)> {
    let all: Vec<_> = [700, 65536, 1 << 30]
        .map(|chunk| {
            let mut joined: Vec<(u64, u64, u64)> = Vec::new();
            let mut pieces = flow(model, len, chunk).expect("the image is placed");
            assert!(pieces.iter().all(|piece| piece.1 % SECTOR == 0 && piece.2 % SECTOR == 0), "pieces are sectors");
            pieces.sort_unstable_by_key(|piece| piece.1);
            for piece in pieces {
                match joined.last_mut() {
                    Some(last) if last.0 + last.2 == piece.0 && last.1 + last.2 == piece.1 => last.2 += piece.2,
                    _ => joined.push(piece),
                }
            }
            joined
        })
        .into();
    assert!(all.iter().all(|one| *one == all[0]), "chunks change what is placed");
    all[0].clone()
}

const SECTOR: u64 = 512;

fn refusal(model: &Model, len: u64) -> (Kind, Option<u64>, String) {
    let error = flow(model, len, 3000).expect_err("the image is refused");
    (error.kind(), error.offset(), error.to_string())
}

#[test]
fn data_behind_its_table_is_placed_and_the_rest_passed_over() {
    let model = Model::new(1).table(0..1, 1024..2048).data(0, MIB, 4096).data(8 * MIB, 512, 2 * MIB);
    assert_eq!(placed(&model, 3 * MIB), [(4096, 0, MIB), (2 * MIB, 8 * MIB, 512)]);
}

#[test]
fn pieces_come_in_the_order_of_the_file() {
    let model = Model::new(1).data(0, 4096, 9 * KIB).data(4096, 4096, KIB).data(MIB, 512, 5 * KIB);
    let hosts: Vec<_> = flow(&model, 16 * KIB, 1 << 20).expect("placed").iter().map(|piece| piece.0).collect();
    assert_eq!(hosts, [KIB, 5 * KIB, 9 * KIB]);
}

#[test]
fn two_guest_ranges_in_one_host_range_are_both_placed() {
    let model = Model::new(1).data(0, 8192, 1024).data(MIB, 4096, 1024).data(2 * MIB, 8192, 1024 + 4096 + 512);
    let expected = [(1024, 0, 8192), (1024, MIB, 4096), (5632, 2 * MIB, 8192)];
    assert_eq!(placed(&model, MIB), expected);
}

#[test]
fn blocks_with_equal_gaps_are_one_run() {
    let mut model = Model::new(40);
    for block in 0..1000 {
        model = model.data(block * 2 * MIB, 2 * MIB, 4096 + block * (2 * MIB + 512));
    }
    let mut stream = model.stream();
    stream.push(&[0; 512], false, &mut Vec::new()).expect("nothing is wrong");
    assert_eq!(stream.runs.iter().count(), 1);
    let mut small = Model::new(1);
    for block in 0..10 {
        small = small.data(block * 4096, 4096, 1024 + block * (4096 + 512));
    }
    let expected: Vec<_> = (0..10).map(|block| (1024 + block * 4608, block * 4096, 4096)).collect();
    assert_eq!(placed(&small, 1024 + 10 * 4608), expected);
}

#[test]
fn tables_in_another_order_than_the_guest_are_read_as_they_come() {
    let part = 64 * KIB;
    let model = Model::new(3)
        .table(2..3, 0..part)
        .table(0..1, part..2 * part)
        .table(1..2, 2 * part..3 * part)
        .data(2 * MIN_WINDOW, 4096, part + part / 2)
        .data(0, 4096, 3 * part);
    // The data of the first table lies inside the second, which is held until it is whole.
    assert_eq!(placed(&model, MIB), [(3 * part, 0, 4096), (part + part / 2, 2 * MIN_WINDOW, 4096)]);
}

#[test]
fn a_table_that_names_a_table_is_followed() {
    let model = Model::new(2).table(0..2, 512..1024).table(1..2, 8192..9216).data(MIN_WINDOW, 4096, 12 * KIB);
    assert_eq!(placed(&model, 16 * KIB), [(12 * KIB, MIN_WINDOW, 4096)]);
}

#[test]
fn data_and_tables_that_have_flowed_past_are_unplaced_with_their_offset() {
    let late = Model::new(1).table(0..1, 128 * KIB..129 * KIB).data(0, 512, KIB);
    let (kind, offset, what) = refusal(&late, MIB);
    assert_eq!((kind, offset), (Kind::Unplaced, Some(KIB)), "{what}");
    let far = Model::new(1).table(0..1, 128 * KIB..129 * KIB).table(0..1, 4096..8192);
    let (kind, offset, what) = refusal(&far, MIB);
    assert_eq!((kind, offset), (Kind::Unplaced, Some(4096)), "{what}");
}

#[test]
fn a_file_that_ends_before_its_tables_or_data_is_truncated() {
    let model = Model::new(1).table(0..1, 1024..2048).data(0, 4096, 4096);
    for len in [512, 1024, 2047, 2048, 4096, 8191] {
        assert_eq!(refusal(&model, len).0, Kind::Truncated, "{len}");
    }
    assert_eq!(placed(&model, 8192), [(4096, 0, 4096)]);
    let mut gaps = Model::new(1);
    for block in 0..3 {
        gaps = gaps.data(block * 4096, 4096, block * 8192);
    }
    assert_eq!(refusal(&gaps, 20479).0, Kind::Truncated, "the last of three blocks is cut");
    assert_eq!(placed(&gaps, 20480).len(), 3);
}

#[test]
fn an_empty_file_is_no_disk_unless_the_disk_is_empty() {
    let empty = |model: &Model| model.stream().push(&[], true, &mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(empty(&Model::default()), Ok(0));
    assert_eq!(empty(&Model::new(1).data(0, 512, 0)), Err(Kind::Truncated));
}

#[test]
fn encoded_data_is_refused_by_name() {
    let mut model = Model::new(1);
    let place = Place::Encoded { at: HostOffset(600), len: 100, codec: ClusterCodec::Deflate };
    model.extents.push(Extent { guest: GuestOffset(0), len: 4096, place });
    let (kind, offset, what) = refusal(&model, MIB);
    assert_eq!((kind, offset), (Kind::Unsupported, Some(600)), "{what}");
}

#[test]
fn a_large_disk_is_looked_up_in_a_bounded_number_of_windows() {
    for size in [1 << 40, 1 << 60, u64::MAX] {
        let model = Model { size, ..Model::default() };
        model.stream().push(&[0; 512], true, &mut Vec::new()).expect("the disk is empty");
        assert!(model.lookups.load(Ordering::Relaxed) as u64 <= MAX_WINDOWS, "{size}");
    }
}

#[test]
fn windows_that_wait_for_the_same_table_take_the_place_of_one() {
    let model = Model::new(5000).table(0..5000, MIB..MIB + 512);
    let mut stream = model.stream();
    stream.push(&[0; 512], false, &mut Vec::new()).expect("nothing is wrong");
    assert_eq!((stream.waiting.iter().count(), stream.tables.len()), (1, 1));
}

#[test]
fn what_is_remembered_of_later_data_is_bounded() {
    let mut model = Model::new(3);
    // Host offsets that fall make no runs; one more than may be kept.
    let most = Queue::<Run>::LIMIT as u64;
    for block in 0..=most {
        model = model.data(block * 512, 512, (most - block) * 512 + MIB);
    }
    let (kind, _, what) = refusal(&model, MIB);
    assert_eq!(kind, Kind::Unplaced);
    assert!(what.contains("262144"), "{what}");
}

#[test]
fn tables_that_the_map_must_keep_are_bounded() {
    let reversed = |weight| {
        let mut model = Model { weight, ..Model::new(100) };
        for table in 0..100 {
            model = model.table(99 - table..100 - table, table * 512..(table + 1) * 512);
        }
        flow(&model, MIB, 1000).map(|pieces| pieces.len()).map_err(|error| error.kind())
    };
    assert_eq!(reversed(100 * 1024), Ok(0));
    assert_eq!(reversed(1024 * 1024), Err(Kind::Unplaced));
    let mut forward = Model { weight: 1024 * 1024, ..Model::new(100) };
    for table in 0..100 {
        forward = forward.table(table..table + 1, table * 512..(table + 1) * 512);
    }
    assert_eq!(flow(&forward, MIB, 1000), Ok(Vec::new()), "tables that were used are released");
}
