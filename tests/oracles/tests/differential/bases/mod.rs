//! Images to begin with: small disks with a random history, made by qemu's tools, and by byte writers where qemu never
//! writes what it reads (footers, pending logs).

mod blocks;
mod qcow2;
mod vhdx;
mod vmdk;

use std::ops::Range;
use std::path::{Path, PathBuf};

use formats::probe::Format;

use crate::chance::Chance;
use crate::mutate::hot;
use crate::qemu::name;
use crate::tool::{Bench, run, text};

/// Largest disk of an image that is made.
const DISK: u64 = 3 << 20;

/// An intact image.
pub(crate) struct Base {
    pub(crate) file: Vec<u8>,
    /// Where damage matters.
    pub(crate) hot: Vec<Range<usize>>,
    /// Writes the checksums of headers anew.
    pub(crate) seal: Option<fn(&mut [u8])>,
}

impl Base {
    fn new(file: Vec<u8>) -> Self {
        Self { hot: hot(&file), file, seal: None }
    }

    fn read(image: &Path) -> Self {
        Self::new(std::fs::read(image).expect("the image can be read"))
    }

    fn sealed_by(self, seal: fn(&mut [u8])) -> Self {
        Self { seal: Some(seal), ..self }
    }
}

/// An image of the format.
pub(crate) fn make(format: Format, bench: &Bench, chance: &mut Chance) -> Base {
    match format {
        Format::Qcow2 => qcow2::make(bench, chance),
        Format::Vmdk => vmdk::make(bench, chance),
        Format::Vdi => blocks::vdi(bench, chance),
        Format::Vhd => blocks::vhd(bench, chance),
        Format::Qed => blocks::qed(bench, chance),
        Format::Vhdx => vhdx::make(bench, chance),
        Format::Raw | Format::Iso => Base::new(raw(chance)),
    }
}

/// Bytes of any length; some begin like an image of another format.
fn raw(chance: &mut Chance) -> Vec<u8> {
    let mut file = content(size(chance), chance);
    let len = file.len() - [0, 0, 1, 100, 511][chance.below(5)];
    file.truncate(len);
    let magics: [&[u8]; 6] = [b"", b"QFI\xfb\0\0\0\x03", b"KDMV", b"vhdxfile", b"conectix", b"QED\0"];
    let magic = chance.pick(&magics);
    if magic.len() < file.len() {
        file[..magic.len()].copy_from_slice(magic);
    }
    file
}

/// Bytes of a disk, whole sectors, mostly 64 KiB and more.
fn size(chance: &mut Chance) -> u64 {
    let most = if chance.one_in(4) { 64 << 10 } else { DISK as usize };
    (chance.below(most / 512) as u64 + 1) * 512
}

/// A disk of sectors that each hold one byte over and over; runs of them are alike, or zeros.
fn content(size: u64, chance: &mut Chance) -> Vec<u8> {
    let mut disk = Vec::new();
    while (disk.len() as u64) < size {
        let sectors = chance.below(600) + 1;
        let (byte, step) = (chance.next() as u8, chance.below(3) as u8);
        let is_hole = chance.one_in(3);
        for sector in 0..sectors {
            let byte = byte.wrapping_add((sector as u8).wrapping_mul(step));
            disk.extend([if is_hole { 0 } else { byte }; 512]);
        }
    }
    disk.truncate(size as usize);
    disk
}

/// An empty image.
fn create(format: Format, bench: &Bench, options: &str, size: u64) -> PathBuf {
    let path = bench.path("image");
    let _ = std::fs::remove_file(&path);
    let mut arguments = vec!["create", "-q", "-f", name(format)];
    if !options.is_empty() {
        arguments.extend(["-o", options]);
    }
    let size = size.to_string();
    arguments.extend([text(&path), &size]);
    run("qemu-img", &arguments);
    path
}

/// An image that `qemu-img convert` makes of a disk.
fn convert(format: Format, bench: &Bench, flags: &[&str], size: u64, chance: &mut Chance) -> PathBuf {
    let (disk, path) = (bench.raw("disk", &content(size, chance)), bench.path("image"));
    let _ = std::fs::remove_file(&path);
    let base = ["convert", "-f", "raw", "-O", name(format)];
    run("qemu-img", &[&base[..], flags, &[text(&disk), text(&path)]].concat());
    path
}

/// Writes of data and of zeros, and discards where the format has them, at any sectors; one process for all.
fn write(format: Format, image: &Path, size: u64, most: usize, chance: &mut Chance) {
    let commands: Vec<String> = (0..chance.below(most)).map(|_| command(format, size, chance)).collect();
    if commands.is_empty() {
        return;
    }
    let mut arguments = vec!["-f", name(format), "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

fn command(format: Format, size: u64, chance: &mut Chance) -> String {
    let sectors = (size / 512) as usize;
    let start = chance.below(sectors);
    let len = (chance.below(sectors / 3 + 1) + 1).min(sectors - start);
    let (start, len) = (start * 512, len * 512);
    let discards = matches!(format, Format::Qcow2 | Format::Vmdk);
    match chance.below(6) {
        0 => format!("write -z {start} {len}"),
        1 if format == Format::Qcow2 => format!("write -z -u {start} {len}"),
        2 if discards => format!("discard {start} {len}"),
        _ => format!("write -P {} {start} {len}", chance.below(255) + 1),
    }
}
