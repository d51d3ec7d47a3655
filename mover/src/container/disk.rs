//! Which member of an archive is a disk image: one that its first bytes name, or whose name ends like a disk image's.
//!
//! A raw disk has no magic, so its name decides: `disk.raw`, `disk.img.gz`. The descriptor of an OVF package is not read:
//! it names its disks, and so do their own bytes.

use std::fmt;

use contract::{Code, Failure};
use formats::probe::{self, Format, Probe};

/// Ends of names that are disk images'.
const DISKS: &[&str] = &["img", "raw", "dd", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "qed", "iso"];
/// Ends that a compression adds.
const COMPRESSED: &[&str] = &["gz", "xz", "zst", "bz2", "lz4"];
/// Disks that a message lists.
const LISTED: usize = 20;

/// A disk image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The member's name, as `--disk` takes it.
    pub name: String,
    /// Bytes of the image file, where the archive says it beforehand.
    pub size: Option<u64>,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            Some(size) => write!(f, "{} ({size} bytes)", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Whether a name alone says that a member is a disk image.
pub(super) fn is_named_like_one(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    // Beside each file macOS keeps another with its attributes.
    if file.starts_with("._") {
        return false;
    }
    let ends_with = |name: &str, ends: &[&str]| {
        name.rsplit_once('.')
            .filter(|(_, end)| ends.iter().any(|known| end.eq_ignore_ascii_case(known)))
            .map(|(stem, _)| stem.len())
    };
    let stem = ends_with(file, COMPRESSED).map_or(file, |len| &file[..len]);
    ends_with(stem, DISKS).is_some()
}

/// Whether a member begins with a disk image's own bytes.
pub(super) fn begins_one(head: &[u8]) -> bool {
    matches!(probe::probe(head), Probe::Disk(format) if format != Format::Raw)
}

/// A disk that an OVF package stores in chunks, `NAME.000000000` and so on, is no image by itself.
pub(super) fn refuse_chunk(name: &str, archive: &str) -> Result<(), Failure> {
    match name.rsplit_once('.') {
        Some((whole, number)) if number.len() == 9 && number.bytes().all(|digit| digit.is_ascii_digit()) => {
            let what = format!("the disk {whole} is stored in chunks, which are not put together");
            let failure = Failure::new(Code::ImageUnsupported, what).at(archive);
            Err(failure
                .remedy("extract the chunks, join them with `cat` in the order of their numbers, and import that"))
        }
        _ => Ok(()),
    }
}

/// There are several disks and nobody has chosen.
pub(super) fn several(disks: &[Disk], archive: &str) -> Failure {
    let what = format!("the archive holds {} disk images: {}", disks.len(), listed(disks));
    Failure::new(Code::ImageSeveral, what).at(archive)
}

/// Two members have the name that was chosen.
pub(super) fn ambiguous(name: &str, archive: &str) -> Failure {
    let what = format!("the archive has two members named {name}");
    Failure::new(Code::ImageMalformed, what).at(archive).remedy("make the archive again with different names")
}

/// There is no disk, or none of the name that was chosen; `disks` are those that there are, `files` are all members.
pub(super) fn none(wanted: Option<&str>, disks: &[Disk], files: &[Disk], archive: &str) -> Failure {
    let what = match wanted {
        Some(name) if disks.is_empty() => format!("the archive has no member {name}; it has {}", listed(files)),
        Some(name) => format!("the archive has no member {name}; its disk images are {}", listed(disks)),
        None => format!("the archive holds no disk image; it has {}", listed(files)),
    };
    Failure::new(Code::ImageNoDisk, what).at(archive)
}

fn listed(disks: &[Disk]) -> String {
    let mut names: Vec<String> = disks.iter().take(LISTED).map(Disk::to_string).collect();
    match disks.len() {
        0 => "no files".to_owned(),
        len if len > LISTED => {
            names.push(format!("{} more", len - LISTED));
            names.join(", ")
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_disk_by_its_end_with_or_without_a_compression() {
        for disk in ["disk.raw", "a/b/DISK.IMG", "disk.img.gz", "debian.qcow2.XZ", "x.iso", "x-disk1.vmdk"] {
            assert!(is_named_like_one(disk), "{disk}");
        }
        for other in
            ["disk", "raw", "disk.raw.txt", "box.ovf", "disk.tar.gz", "__MACOSX/._disk.img", "disk.gz", "img/x"]
        {
            assert!(!is_named_like_one(other), "{other}");
        }
    }

    #[test]
    fn chunks_of_a_package_are_refused_with_the_name_of_the_disk() {
        let failure = refuse_chunk("disk1.vmdk.000000000", "x.ova").unwrap_err();
        assert!(failure.what().contains("disk disk1.vmdk is"), "{failure}");
        refuse_chunk("disk1.vmdk", "x.ova").unwrap();
        refuse_chunk("disk.0001", "x.ova").unwrap();
    }

    #[test]
    fn a_long_list_is_cut() {
        let disk = |number: usize| Disk { name: format!("{number}.img"), size: Some(number as u64) };
        let disks: Vec<Disk> = (0..25).map(disk).collect();
        let failure = several(&disks, "x.zip");
        assert!(failure.what().ends_with("19.img (19 bytes), 5 more"), "{failure}");
    }
}
