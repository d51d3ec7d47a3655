//! VHDX as qemu writes it, some with a pending log of its metadata.

use formats::probe::Format;

use super::{Base, create, size, write};
use crate::chance::Chance;
use crate::patch::{self, Entry, SECTOR, Write};
use crate::tool::Bench;

const VHDX: Format = Format::Vhdx;

pub(crate) fn make(bench: &Bench, chance: &mut Chance) -> Base {
    let size = size(chance);
    let options = ["block_size=1M", "block_size=1M,subformat=fixed", "block_size=2M"][chance.below(3)];
    let image = create(VHDX, bench, options, size);
    write(VHDX, &image, size, 10, chance);
    let mut file = std::fs::read(&image).expect("the image can be read");
    if chance.one_in(4) {
        put_log(&mut file, chance);
    }
    Base::new(file).sealed_by(seal)
}

/// One to three entries that write the first sectors of the BAT and of the metadata as they are, or zeros behind them.
fn put_log(file: &mut [u8], chance: &mut Chance) {
    let places = [patch::bat(file), patch::metadata(file), patch::metadata(file) + (64 << 10)];
    let (len, number) = (file.len(), chance.below(3) + 1);
    let (mut entries, mut next) = (Vec::new(), 0);
    for sequence in 0..number as u64 {
        let mut writes = Vec::new();
        for at in places {
            match chance.below(3) {
                0 => writes.push(Write::Data(at as u64, patch::sector(file, at))),
                1 => writes.push(Write::Zero((at + SECTOR * 2) as u64, SECTOR as u64)),
                _ => {}
            }
        }
        let entry = Entry { sequence: 7 + sequence, sector: next, tail: 0, ..Entry::alone(len, writes) };
        next += entry.sectors();
        entries.push(entry);
    }
    patch::put_log(file, &entries);
    // The log is what counts: in the file itself the BAT may be damaged.
    if let [Write::Data(at, _), ..] = entries[number - 1].writes[..] {
        file[at as usize..at as usize + SECTOR].fill(0xee);
    }
}

/// Checksums of headers, region tables, and of what begins the log.
fn seal(file: &mut [u8]) {
    if file.len() < 1 << 20 {
        return;
    }
    patch::sign_all(file);
    let (start, _) = patch::log(file);
    let Some(entry) = start.checked_add(SECTOR).and_then(|end| file.get(start..end)) else { return };
    if entry.starts_with(b"loge") {
        let len = patch::get32(entry, 8) as usize;
        if (64..1 << 20).contains(&len) && start + len <= file.len() {
            patch::sign(file, start, len);
        }
    }
}
