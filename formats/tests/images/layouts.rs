//! Random valid layouts against a model of the disk, and against qemu.

use formats::Kind;
use proptest::prelude::*;

use crate::reader::{Sizes, check_places, read_mapped, read_streamed};
use crate::tool::{Bench, map};
use crate::writer::{Content, Image, Layout, Object};

/// Most fresh bytes of one push in these tests.
const CHUNK: u64 = 60_000;

/// What a decoder of these small clusters holds back.
const HOLD: u64 = 1 << 20;

fn content(version: u32, extended: bool) -> BoxedStrategy<Content> {
    let plain = prop_oneof![
        3 => Just(Content::Absent),
        4 => any::<u8>().prop_map(Content::Data),
        2 => any::<u8>().prop_map(Content::Encoded),
    ];
    if version == 2 {
        return plain.boxed();
    }
    let zeros = prop_oneof![Just(Content::Zero), Just(Content::ZeroAllocated)];
    if !extended {
        return prop_oneof![4 => plain, 1 => zeros].boxed();
    }
    let parts = (any::<u8>(), any::<u32>(), any::<u32>());
    let parts = parts.prop_map(|(byte, data, zero)| Content::Parts { byte, data, zero });
    prop_oneof![4 => plain, 1 => zeros, 3 => parts].boxed()
}

fn layout() -> impl Strategy<Value = Layout> {
    let shape = prop_oneof![
        Just((2, false, false)),
        Just((3, false, false)),
        Just((3, false, true)),
        Just((3, true, false)),
        Just((3, true, true)),
    ];
    shape.prop_flat_map(|(version, extended, zstd)| {
        let bits = if extended { 14..=15_u32 } else { 9..=13_u32 };
        let clusters = prop::collection::vec(content(version, extended), 1..if extended { 30 } else { 180 });
        (bits, clusters, 0..4_u64).prop_flat_map(move |(cluster_bits, clusters, cut)| {
            let full = Layout { version, extended, zstd, ..Layout::new(cluster_bits, clusters) };
            let size = full.size - cut.min((full.size >> 9) - 1) * 512 % (1 << cluster_bits);
            order(&full).prop_map(move |order| Layout { size, order, ..full.clone() })
        })
    })
}

/// As qemu-img writes them, or in any order; unused clusters, few or many, among them.
fn order(layout: &Layout) -> BoxedStrategy<Vec<Object>> {
    let tables = layout.clusters.len().div_ceil(layout.entries());
    let mut objects = vec![Object::L1];
    objects.extend((0..tables).map(Object::L2));
    objects.extend((0..layout.clusters.len()).map(Object::Cluster));
    objects.push(Object::Waste(3));
    let gap = Object::Waste((1 << 20 | 300_000) >> layout.cluster_bits);
    let far = [objects.clone(), vec![gap]].concat();
    prop_oneof![Just(Vec::new()), Just(objects.clone()).prop_shuffle(), Just(far).prop_shuffle()].boxed()
}

/// How many bytes behind the beginning of a place its table ends, over all places; negative when tables come first.
fn lateness(layout: &Layout, image: &Image) -> i64 {
    let l1_end = image.places[&Object::L1] + layout.cluster() as u64;
    let behind = |place: u64, table_end: u64| table_end as i64 - place as i64;
    let mut worst = i64::MIN;
    for (object, &place) in &image.places {
        match object {
            Object::L2(_) => worst = worst.max(behind(place, l1_end)),
            Object::Cluster(at) if layout.clusters[*at] != Content::ZeroAllocated => {
                let l2 = image.places[&Object::L2(at / layout.entries())];
                // An L2 table is only known for one once the L1 table has been read.
                worst = worst.max(behind(place, l1_end.max(l2 + layout.cluster() as u64)));
            }
            _ => {}
        }
    }
    worst
}

fn check(layout: &Layout, qemu: bool, seed: u64) -> Result<(), TestCaseError> {
    let (image, disk) = (layout.write(), layout.disk());
    let mapped = read_mapped(&image.file, &mut Sizes::new(seed, 200_000)).expect("the layout is valid");
    prop_assert!(mapped == disk, "the map differs from the model");
    let late = lateness(layout, &image);
    match read_streamed(&image.file, &mut Sizes::new(seed, CHUNK)) {
        Ok(streamed) => {
            prop_assert!(streamed == disk, "the stream differs from the model");
            prop_assert!(late <= (HOLD + CHUNK) as i64, "placed although its table came {late} bytes late");
        }
        Err(error) => {
            prop_assert_eq!(error.kind(), Kind::Unplaced);
            prop_assert!(late > HOLD as i64, "refused although no table came later than {} bytes: {}", late, error);
        }
    }
    if qemu {
        let bench = Bench::new();
        let path = bench.raw("image", &image.file);
        prop_assert!(bench.read(&path) == disk, "qemu differs from the model");
        check_places(&image.file, &map(&path));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_layout_is_read_as_the_model_says(layout in layout(), seed in any::<u64>()) {
        check(&layout, false, seed)?;
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_layout_is_read_as_qemu_reads_it(layout in layout(), seed in any::<u64>()) {
        check(&layout, true, seed)?;
    }
}

/// `few` cases, or as many as `PROPTEST_CASES` says: each starts processes.
pub(crate) fn cases(few: u32) -> ProptestConfig {
    let chosen = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig::default();
    if chosen { config } else { ProptestConfig { cases: few, ..config } }
}
