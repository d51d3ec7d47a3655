//! Random valid layouts, among them VMware's, against a model of the disk and against qemu.

use proptest::prelude::*;

use super::oracle::read;
use super::reader::{check, extents};
use super::written::{Content, Layout, Shape};
use crate::layouts::cases;
use crate::reader::Sizes;
use crate::tool::Bench;

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![3 => Just(Content::Absent), 1 => Just(Content::Zero), 5 => any::<u8>().prop_map(Content::Data)]
}

fn layout() -> impl Strategy<Value = Layout> {
    let shape = prop::sample::select(Shape::ALL.to_vec());
    let sizes = (0..6_u32, prop::sample::select(vec![1, 3, 8, 100, 128, 512]), any::<bool>(), any::<u64>());
    (shape, sizes, prop::collection::vec(content(), 1..150)).prop_flat_map(|(shape, sizes, grains)| {
        let (bits, entries, whole, cut) = sizes;
        let grain = 1 << bits;
        let sectors = grains.len() * grain - cut as usize % grain;
        let order: Vec<usize> = (0..grains.len()).collect();
        let order = if shape == Shape::Sparse { Just(order).prop_shuffle().boxed() } else { Just(order).boxed() };
        order.prop_map(move |order| Layout { shape, sectors, grain, entries, grains: grains.clone(), whole, order })
    })
}

proptest! {
    #[test]
    fn any_layout_is_read_as_the_model_says(layout in layout(), seed in any::<u64>()) {
        check(&layout.write().file, &layout.disk(), seed);
    }
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn any_layout_is_read_as_qemu_reads_it(layout in layout(), seed in any::<u64>()) {
        let (image, disk) = (layout.write(), layout.disk());
        check(&image.file, &disk, seed);
        let bench = Bench::new();
        let path = bench.raw("image", &image.file);
        prop_assert!(read(&bench, &path) == Some(disk), "qemu differs from the model");
    }
}

#[test]
fn grains_of_every_size_are_read_in_every_shape() {
    for shape in Shape::ALL {
        for bits in 0..=12 {
            let layout = Layout { grain: 1 << bits, sectors: (4 << bits) - bits, ..Layout::data(shape, 4) };
            check(&layout.write().file, &layout.disk(), 3);
        }
    }
}

#[test]
fn a_footer_costs_one_round_more() {
    for (shape, expected) in [(Shape::Front, 2), (Shape::Footer, 3), (Shape::Late, 3)] {
        let layout = Layout::data(shape, 20);
        let (_, rounds) = extents(&layout.write().file, &mut Sizes::new(1, 1)).expect("the layout is valid");
        assert_eq!(rounds, expected, "{shape:?}");
    }
}
