//! The smallest caller of [`Open`] and of the map it gives, for any format without encoded clusters; it checks what
//! their documentation promises.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use formats::probe::Format;
use formats::{Error, Extent, GuestOffset, HostOffset, Lookup, Map, Opening, Place};

use crate::reader::{Sizes, head};
use crate::tool::{Bench, run, text};

const WANT: u64 = 64 * 1024;

/// The map of an image.
pub(crate) fn open(format: Format, file: &[u8]) -> Result<Box<dyn Map>, Error> {
    let mut opener = format.open(head(file), file.len() as u64)?;
    for _ in 0..8 {
        match opener.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => {
                check_wants(&wants, file);
                for piece in wants.into_iter().flat_map(|want| pieces(want, file)) {
                    opener.feed(HostOffset(piece.start as u64), &file[piece])?;
                }
            }
        }
    }
    unreachable!("an image is open after a few steps")
}

/// The disk as the map places it, by lookups of at most `window` bytes.
pub(crate) fn read(format: Format, file: &[u8], window: &mut Sizes) -> Result<Vec<u8>, Error> {
    let mut map = open(format, file)?;
    let (kept, mut disk) = (map.memory(), Vec::new());
    while (disk.len() as u64) < map.virtual_size() {
        let start = disk.len() as u64;
        let end = (start + window.next()).min(map.virtual_size());
        for extent in lookup(map.as_mut(), file, start..end)? {
            assert_eq!(extent.guest.0, disk.len() as u64, "extents follow each other");
            assert_ne!(extent.len, 0, "no extent is empty");
            match extent.place {
                Place::Zero => disk.resize(disk.len() + extent.len as usize, 0),
                Place::Data(host) => disk.extend(&file[host.0 as usize..][..extent.len as usize]),
                Place::Encoded { .. } => unreachable!("nothing is encoded"),
            }
        }
        assert_eq!(disk.len() as u64, end, "extents cover what was asked for");
        map.release(GuestOffset(end));
    }
    assert_eq!(map.memory(), kept, "no table is kept behind the disk");
    Ok(disk)
}

/// The extents of `guest`.
pub(crate) fn lookup(map: &mut dyn Map, file: &[u8], guest: Range<u64>) -> Result<Vec<Extent>, Error> {
    let mut out = Vec::new();
    for _ in 0..3 {
        match map.lookup(guest.clone(), &mut out)? {
            Lookup::Found => return Ok(out),
            Lookup::Wants(wants) => {
                assert!(out.is_empty(), "nothing is appended before the answer is complete");
                check_wants(&wants, file);
                for piece in wants.into_iter().flat_map(|want| pieces(want, file)) {
                    map.feed(HostOffset(piece.start as u64), &file[piece])?;
                }
            }
        }
    }
    unreachable!("tables are wanted level by level")
}

fn check_wants(wants: &[Range<u64>], file: &[u8]) {
    assert!(!wants.is_empty());
    assert!(wants.iter().all(|want| want.start < want.end && want.end - want.start <= WANT));
    assert!(wants.windows(2).all(|pair| pair[0].end <= pair[1].start), "wants ascend");
    assert!(wants.iter().all(|want| want.end <= file.len() as u64), "what is wanted is in the file");
}

/// A range in two pieces and with a neighbour's bytes, as a caller that reads in its own blocks would feed it.
fn pieces(want: Range<u64>, file: &[u8]) -> [Range<usize>; 2] {
    let (start, end) = (want.start as usize, want.end as usize);
    let middle = start + (end - start) / 3;
    [start.saturating_sub(100)..middle, middle..(end + 100).min(file.len())]
}

/// An empty image; `options` as for `-o`, may be empty.
pub(crate) fn create(bench: &Bench, format: Format, name: &str, options: &str, size: u64) -> PathBuf {
    let (path, size) = (bench.path(name), size.to_string());
    let mut arguments = vec!["create", "-q", "-f", format.name()];
    if !options.is_empty() {
        arguments.extend(["-o", options]);
    }
    run("qemu-img", &[&arguments[..], &[text(&path), &size]].concat());
    path
}

/// Runs qemu-io commands on an image, one process for all of them.
pub(crate) fn io(format: Format, image: &Path, commands: &[String]) {
    let mut arguments = vec!["-f", format.name(), "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

/// The disk as qemu reads it, or nothing where it refuses the image.
pub(crate) fn read_by_qemu(bench: &Bench, format: Format, image: &Path) -> Option<Vec<u8>> {
    let raw = bench.path("read-by-qemu");
    let arguments = ["convert", "-f", format.name(), "-O", "raw", text(image), text(&raw)];
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-utils is installed");
    output.status.success().then(|| std::fs::read(raw).expect("the converted disk can be read"))
}

/// The map agrees with the disk as qemu reads it.
pub(crate) fn check(bench: &Bench, format: Format, image: &Path, seed: u64) -> Vec<u8> {
    let file = std::fs::read(image).expect("the image can be read");
    let ours = read(format, &file, &mut Sizes::new(seed, 3 << 20)).expect("the map reads the image");
    let theirs = read_by_qemu(bench, format, image).expect("qemu reads the image");
    assert_same(&ours, &theirs);
    ours
}

pub(crate) fn assert_same(ours: &[u8], theirs: &[u8]) {
    assert_eq!(ours.len(), theirs.len(), "the size of the disk");
    let difference = ours.iter().zip(theirs).position(|(one, other)| one != other);
    assert_eq!(difference, None, "the first byte that differs");
}
