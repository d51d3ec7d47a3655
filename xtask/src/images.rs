//! `cargo xtask images`: makes every big image ahead of time, so that a bench or a test run only measures.

use std::fs;
use std::path::Path;

use anyhow::Result;
use fixtures::debian_disk::{DebianDisk, FULL};
use fixtures::images::Clusters;
use fixtures::{packages, synthetic_disk};

/// Images of other formats: file name, qemu-img's name of the format, its options.
pub(crate) const OTHER_IMAGES: [(&str, &str, &str); 6] = [
    ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
    ("disk.vmdk", "vmdk", ""),
    ("disk.vdi", "vdi", ""),
    ("disk.vhd", "vpc", "force_size=on"),
    ("disk.vhdx", "vhdx", ""),
    ("disk.qed", "qed", ""),
];

/// Makes what is missing and prints path, size and allocated bytes of each.
///
/// # Errors
/// When a package cannot be installed or a tool fails.
pub(crate) fn run() -> Result<()> {
    packages::ensure(packages::BENCH)?;
    let debian = DebianDisk::get(FULL)?;
    print(&debian.raw())?;
    for clusters in [Clusters::Plain, Clusters::Zlib, Clusters::Zstd] {
        print(&debian.qcow2(clusters)?)?;
    }
    print(&debian.gzip()?)?;
    print(&debian.zstd()?)?;
    print(&debian.xz()?)?;
    for (name, format, options) in OTHER_IMAGES {
        print(&debian.image(name, format, options)?)?;
    }
    for size in [synthetic_disk::DENSE, synthetic_disk::DENSE_LARGE] {
        let (raw, qcow2) = synthetic_disk::dense(size)?;
        print(&raw)?;
        print(&qcow2)?;
    }
    for size in [synthetic_disk::SMALL, synthetic_disk::HUGE] {
        print(&synthetic_disk::sparse(size)?)?;
    }
    Ok(())
}

fn print(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    println!("{:>14} bytes {:>14} allocated  {}", metadata.len(), metadata.blocks() * 512, path.display());
    Ok(())
}
