//! qcow2 of both versions: every cluster size up to 64 KiB, zlib and zstd clusters, extended L2 entries, snapshots, resizes.

use formats::probe::Format;

use super::{Base, convert, create, size, write};
use crate::chance::Chance;
use crate::tool::{Bench, img};

const QCOW2: Format = Format::Qcow2;

pub(crate) fn make(bench: &Bench, chance: &mut Chance) -> Base {
    let (options, size) = (options(chance), size(chance));
    if chance.one_in(3) {
        return Base::read(&convert(QCOW2, bench, &["-c", "-o", &options], size, chance));
    }
    let image = create(QCOW2, bench, &options, size);
    write(QCOW2, &image, size, 12, chance);
    if chance.one_in(6) {
        img(&["snapshot", "-c", "one"], &image, &[]);
        write(QCOW2, &image, size, 6, chance);
    } else if chance.one_in(4) {
        let larger = (size * 2).to_string();
        img(&["resize", "-q", "-f", "qcow2"], &image, &[&larger]);
        write(QCOW2, &image, size * 2, 6, chance);
    }
    Base::read(&image)
}

fn options(chance: &mut Chance) -> String {
    let bits = chance.below(8) + 9;
    if chance.one_in(3) {
        return format!("compat=0.10,cluster_size={}", 1 << bits);
    }
    if chance.one_in(4) {
        let bits = bits.max(14);
        return format!("compat=1.1,extended_l2=on,cluster_size={}", 1 << bits);
    }
    let compression = ["zlib", "zstd"][chance.below(2)];
    let lazy = ["on", "off"][chance.below(2)];
    format!("compat=1.1,cluster_size={},compression_type={compression},lazy_refcounts={lazy}", 1 << bits)
}
