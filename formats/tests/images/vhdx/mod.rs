//! VHDX images made and changed by qemu's tools are read as qemu reads them, with a pending log too; damaged ones as well,
//! or they are refused.

mod damage;
mod features;
mod patch;
mod pending;

use std::path::Path;

use formats::probe::Format;

const VHDX: Format = Format::Vhdx;

/// No multiple of a block.
const SIZE: u64 = (5 << 20) + 512;

fn commands(list: &[&str]) -> Vec<String> {
    list.iter().map(|&command| command.to_owned()).collect()
}

fn file(image: &Path) -> Vec<u8> {
    std::fs::read(image).expect("the image can be read")
}
