//! Random histories of writes, zeros and discards made by qemu-io, read as qemu-img reads them.

use proptest::prelude::*;

use super::oracle::{create, io, read};
use super::reader::check;
use crate::layouts::cases;
use crate::tool::Bench;

/// No multiple of a grain, and more than one grain table.
const SIZE: u64 = (36 << 20) + 3 * 512;

fn command() -> impl Strategy<Value = String> {
    let range = (0..SIZE / 512, 1..300_u64).prop_map(|(start, len)| (start * 512, len.min(SIZE / 512 - start) * 512));
    (range, 0..4_u8, 1..255_u8).prop_map(|((start, len), verb, byte)| match verb {
        0 => format!("write -z {start} {len}"),
        // Whole grains, which become entries of 1 where the image has them.
        1 => format!("write -z {} 65536", (start / 65_536).min(SIZE / 65_536 - 1) * 65_536),
        2 => format!("discard {start} {len}"),
        _ => format!("write -P {byte} {start} {len}"),
    })
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        commands in prop::collection::vec(command(), 1..20),
        zeroed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let bench = Bench::new();
        let options = format!("subformat=monolithicSparse,zeroed_grain={}", if zeroed { "on" } else { "off" });
        let image = create(&bench, "image", &options, SIZE);
        io(&image, &commands);
        let disk = read(&bench, &image).expect("qemu reads its own image");
        check(&std::fs::read(&image).unwrap(), &disk, seed);
    }
}
