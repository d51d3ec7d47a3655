//! VDI, VHD and QED as qemu writes them, with a random history.

use formats::probe::Format;

use super::{Base, convert, create, size, write};
use crate::chance::Chance;
use crate::tool::Bench;

pub(crate) fn vdi(bench: &Bench, chance: &mut Chance) -> Base {
    made(Format::Vdi, bench, ["static=off", "static=on"][chance.below(2)], chance)
}

pub(crate) fn vhd(bench: &Bench, chance: &mut Chance) -> Base {
    let kinds =
        ["subformat=dynamic", "subformat=dynamic,force_size=on", "subformat=fixed", "subformat=fixed,force_size=on"];
    made(Format::Vhd, bench, kinds[chance.below(4)], chance).sealed_by(seal)
}

pub(crate) fn qed(bench: &Bench, chance: &mut Chance) -> Base {
    let options = format!("cluster_size={},table_size={}", 4096 << chance.below(4), 2 << chance.below(3));
    made(Format::Qed, bench, &options, chance)
}

fn made(format: Format, bench: &Bench, options: &str, chance: &mut Chance) -> Base {
    let size = size(chance);
    if chance.one_in(4) {
        return Base::read(&convert(format, bench, &["-o", options], size, chance));
    }
    let image = create(format, bench, options, size);
    write(format, &image, size, 10, chance);
    Base::read(&image)
}

/// Checksums of both footers and of the header of a dynamic VHD.
fn seal(file: &mut [u8]) {
    let last = file.len().saturating_sub(512);
    for (at, len, field) in [(0, 512, 64), (512, 1024, 36), (last, 512, 64)] {
        let magic: &[u8] = if len == 512 { b"conectix" } else { b"cxsparse" };
        let Some(part) = file.get_mut(at..at + len) else { continue };
        // In front of a fixed disk there is guest data.
        if part[..8].iter().zip(magic).filter(|(left, right)| left == right).count() >= 7 {
            part[field..field + 4].fill(0);
            let sum: u32 = part.iter().map(|&byte| u32::from(byte)).sum();
            part[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
        }
    }
}
