//! Writes over writes, against an array of sectors that does the same the long way.

use super::*;
use proptest::prelude::*;

const SIZE: u64 = 4096;

/// Sectors of a log, each full of its number.
fn log(sectors: u8) -> Vec<u8> {
    (0..sectors).flat_map(|number| [number + 1; SECTOR]).collect()
}

fn data(sector: usize) -> Source {
    Source::Log(sector * SECTOR)
}

fn found(overlay: &Overlay, host: Range<u64>) -> Vec<(u64, u64, Source)> {
    overlay.touching(host).map(|(host, source)| (host.start, host.end, source)).collect()
}

#[test]
fn a_later_write_replaces_what_it_covers() {
    let mut overlay = Overlay::new(log(2), 0);
    overlay.write(0..10 * SIZE, Source::Zero);
    overlay.write(3 * SIZE..4 * SIZE, data(0));
    overlay.write(4 * SIZE..5 * SIZE, data(1));
    overlay.write(4 * SIZE..4 * SIZE, Source::Zero);
    let expected = [
        (0, 3 * SIZE, Source::Zero),
        (3 * SIZE, 4 * SIZE, data(0)),
        (4 * SIZE, 5 * SIZE, data(1)),
        (5 * SIZE, 10 * SIZE, Source::Zero),
    ];
    assert_eq!(found(&overlay, 0..u64::MAX), expected);
    overlay.write(2 * SIZE..4 * SIZE, Source::Zero);
    assert_eq!(found(&overlay, 3 * SIZE..4 * SIZE), [(3 * SIZE, 4 * SIZE, Source::Zero)]);
    assert_eq!(overlay.end, 10 * SIZE);
}

#[test]
fn what_is_found_is_cut_to_what_was_asked_for() {
    let mut overlay = Overlay::new(log(1), 0);
    overlay.write(SIZE..2 * SIZE, data(0));
    assert_eq!(found(&overlay, 5000..5100), [(5000, 5100, Source::Log(5000 - 4096))]);
    assert_eq!(found(&overlay, 0..SIZE), []);
    assert_eq!(found(&overlay, 2 * SIZE..3 * SIZE), []);
    assert!(overlay.touches(SIZE - 1..SIZE + 1) && !overlay.touches(0..0));
}

#[test]
fn bytes_are_patched_wherever_they_begin() {
    let mut overlay = Overlay::new(log(1), 0);
    overlay.write(SIZE..2 * SIZE, data(0));
    overlay.write(2 * SIZE..3 * SIZE, Source::Zero);
    let mut bytes = vec![9; 2 * SECTOR + 200];
    overlay.patch(SIZE - 100, &mut bytes);
    assert!(bytes[..100].iter().all(|&byte| byte == 9));
    assert!(bytes[100..100 + SECTOR].iter().all(|&byte| byte == 1));
    assert!(bytes[100 + SECTOR..100 + 2 * SECTOR].iter().all(|&byte| byte == 0));
    assert!(bytes[100 + 2 * SECTOR..].iter().all(|&byte| byte == 9));
}

#[test]
fn only_the_data_that_can_be_asked_for_are_kept() {
    let mut overlay = Overlay::new(log(100), 0);
    // In another order than in the log.
    for (place, sector) in [(7, 90), (5, 3), (6, 50), (90, 4)] {
        overlay.write(place * SIZE..(place + 1) * SIZE, data(sector));
    }
    overlay.write(91 * SIZE..95 * SIZE, Source::Zero);
    overlay.keep(&(5 * SIZE..8 * SIZE));
    assert!(overlay.memory() < 4 * SECTOR, "{}", overlay.memory());
    let mut bytes = vec![0; 3 * SECTOR];
    overlay.patch(5 * SIZE, &mut bytes);
    assert_eq!([bytes[0], bytes[SECTOR], bytes[2 * SECTOR + 4095]], [4, 51, 91]);
    let rest = [(90 * SIZE, 91 * SIZE, Source::Dropped), (91 * SIZE, 95 * SIZE, Source::Zero)];
    assert_eq!(found(&overlay, 8 * SIZE..u64::MAX), rest);
}

#[test]
fn without_a_log_there_is_nothing() {
    let mut overlay = Overlay::default();
    overlay.keep(&(0..u64::MAX));
    assert_eq!((overlay.memory(), found(&overlay, 0..u64::MAX)), (0, vec![]));
}

proptest! {
    #[test]
    fn any_writes_leave_what_an_array_has(
        writes in prop::collection::vec((0..64_usize, 0..20_usize, any::<bool>()), 0..40),
        kept in 0..60_u64,
    ) {
        let mut overlay = Overlay::new(log(40), 0);
        let mut model = vec![9_u8; 84 * SECTOR];
        for (number, &(at, len, is_data)) in writes.iter().enumerate() {
            let len = if is_data { 1 } else { len };
            let (source, byte) = if is_data { (data(number), u8::try_from(number).unwrap() + 1) } else { (Source::Zero, 0) };
            overlay.write(at as u64 * SIZE..(at + len) as u64 * SIZE, source);
            model[at * SECTOR..(at + len) * SECTOR].fill(byte);
        }
        let mut bytes = vec![9; model.len()];
        overlay.patch(0, &mut bytes);
        prop_assert!(bytes == model);
        let host = kept * SIZE..(kept + 20) * SIZE;
        overlay.keep(&host);
        let mut bytes = vec![9; 20 * SECTOR];
        overlay.patch(host.start, &mut bytes);
        prop_assert!(bytes == model[saturated(host.start)..saturated(host.end)]);
    }
}
