//! Damage where it matters: in the sectors that hold something else than one byte over and over, which are tables, headers
//! and encoded data, whatever the format; guest data of these images is one byte a sector.

use std::ops::Range;

use crate::bases::Base;
use crate::chance::Chance;

const SECTOR: usize = 512;

/// A copy of the image with one to four changes; half of the time with checksums that hold, so that what is behind them is
/// looked at.
pub(crate) fn mutated(base: &Base, chance: &mut Chance) -> Vec<u8> {
    let mut file = base.file.clone();
    for _ in 0..=chance.below(4) {
        change(&mut file, &base.hot, chance);
    }
    if let Some(seal) = base.seal
        && !chance.one_in(2)
    {
        seal(&mut file);
    }
    if chance.one_in(24) {
        let cut = if chance.one_in(2) { chance.below(1024) } else { chance.below(file.len() + 1) };
        file.truncate(file.len().saturating_sub(cut));
    } else if chance.one_in(48) {
        file.resize(file.len() + chance.below(2048), 0);
    }
    file
}

/// Runs of sectors that are not one byte over and over.
pub(crate) fn hot(file: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, sector) in file.chunks(SECTOR).enumerate() {
        if sector.iter().any(|&byte| byte != sector[0]) {
            let (start, end) = (number * SECTOR, number * SECTOR + sector.len());
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => runs.push(start..end),
            }
        }
    }
    runs
}

fn change(file: &mut [u8], hot: &[Range<usize>], chance: &mut Chance) {
    if file.is_empty() {
        return;
    }
    let at = place(file, hot, chance);
    let width = [1, 1, 2, 4, 8][chance.below(5)].min(file.len() - at);
    match chance.below(6) {
        0 => file[at] ^= 1 << chance.below(8),
        1 => file[at] = file[at].wrapping_add(chance.pick(&[&1, &2, &255, &128]).to_owned()),
        2 => file[at..at + width].fill([0, 0xff, 1, 0x80][chance.below(4)]),
        3 => file[at..at + width].fill_with(|| chance.next() as u8),
        // An entry of another place, as a table that is shared or shifted has it.
        4 => {
            let width = [4, 8][chance.below(2)];
            let (from, to) = (place(file, hot, chance) / width * width, at / width * width);
            if from.max(to) + width <= file.len() {
                file.copy_within(from..from + width, to);
            }
        }
        _ => file[at] = [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff][chance.below(8)],
    }
}

/// Mostly a byte of some run near one that is not 0, else any.
fn place(file: &[u8], hot: &[Range<usize>], chance: &mut Chance) -> usize {
    if hot.is_empty() || chance.one_in(16) {
        return chance.below(file.len());
    }
    let run = hot[chance.below(hot.len())].clone();
    // Long runs are encoded data; their beginnings count.
    let len = if chance.one_in(2) { run.len() } else { run.len().min(SECTOR) };
    let start = chance.below(len);
    let used = (start..len).find(|&at| chance.one_in(3) && file[run.start + at] != 0);
    run.start + used.unwrap_or(start)
}
