//! Sparse and stream-optimised VMDK, as qemu writes them and as VMware does: footers, tables behind the grains.

use formats::probe::Format;

use super::{Base, convert, create, size, write};
use crate::chance::Chance;
use crate::tool::Bench;
use crate::written::{Content, Layout, Shape};

const VMDK: Format = Format::Vmdk;

pub(crate) fn make(bench: &Bench, chance: &mut Chance) -> Base {
    match chance.below(4) {
        0 => sparse(bench, chance),
        1 => {
            let size = size(chance);
            Base::read(&convert(VMDK, bench, &["-o", "subformat=streamOptimized"], size, chance))
        }
        _ => Base::new(written(chance)),
    }
}

fn sparse(bench: &Bench, chance: &mut Chance) -> Base {
    let (options, size) = (["zeroed_grain=on", "zeroed_grain=off"][chance.below(2)], size(chance));
    let image = create(VMDK, bench, &format!("subformat=monolithicSparse,{options}"), size);
    write(VMDK, &image, size, 10, chance);
    Base::read(&image)
}

fn written(chance: &mut Chance) -> Vec<u8> {
    let grains = (0..chance.below(60) + 1)
        .map(|_| match chance.below(4) {
            0 => Content::Absent,
            1 => Content::Zero,
            _ => Content::Data(chance.below(255) as u8 + 1),
        })
        .collect();
    let mut layout = Layout::new(Shape::ALL[chance.below(4)], grains);
    layout.whole = chance.one_in(2);
    if chance.one_in(2) {
        layout.sectors -= chance.below(layout.grain);
    }
    layout.write().file
}
