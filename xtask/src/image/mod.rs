//! `cargo xtask image`: the product's OCI image, and that of gantry-csi, without a container engine.

mod machine;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use fixtures::kubernetes::Written;

pub(crate) use self::machine::{AMD64, build};
use self::machine::{ARM64, Machine};
use crate::cargo::{RELEASE, target};

/// An image that is larger has something in it that does not belong there.
const LIMIT: u64 = 60 << 20;

/// Writes an image and says what came out.
///
/// # Errors
/// When something cannot be installed or built, or the product's image is too large.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let wanted = Wanted::of(words)?;
    let binaries = build(wanted.machine, RELEASE)?;
    let folder = target().join("image");
    fs::create_dir_all(&folder)?;
    let (name, image) =
        if wanted.csi { ("gantry-csi", binaries.driver(&folder)?) } else { ("gantry", binaries.product(&folder)?) };
    let file = format!("{name}-{}-{}.tar", env!("CARGO_PKG_VERSION"), wanted.machine.architecture);
    let to = wanted.output.unwrap_or_else(|| folder.join(file));
    let Written { digest, size } = image.write(&to)?;
    println!("{}: {digest}, {} KiB", to.display(), size >> 10);
    ensure!(wanted.csi || size <= LIMIT, "the image is larger than {} KiB", LIMIT >> 10);
    Ok(())
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    csi: bool,
    machine: Machine,
    output: Option<PathBuf>,
}

impl Wanted {
    fn of(words: &[&str]) -> Result<Self> {
        let mut wanted = Self { csi: false, machine: AMD64, output: None };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match (word, words.len()) {
                ("csi", _) => wanted.csi = true,
                ("--arch", 1..) => wanted.machine = machine(words.next().unwrap_or_default())?,
                ("--output", 1..) => wanted.output = words.next().map(PathBuf::from),
                _ => bail!("usage: cargo xtask image [csi] [--arch amd64|arm64] [--output FILE]"),
            }
        }
        ensure!(
            !wanted.csi || wanted.machine == AMD64,
            "the image of gantry-csi has Debian's mkfs.ext4 in it, so it is made on a machine of its own kind"
        );
        Ok(wanted)
    }
}

fn machine(architecture: &str) -> Result<Machine> {
    match architecture {
        "amd64" => Ok(AMD64),
        "arm64" => Ok(ARM64),
        other => bail!("there is no image for {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_an_image_a_machine_and_a_file() {
        let wanted = |csi, output: Option<&str>| Wanted { csi, machine: AMD64, output: output.map(PathBuf::from) };
        assert_eq!(Wanted::of(&[]).unwrap(), wanted(false, None));
        assert_eq!(Wanted::of(&["csi", "--arch", "amd64"]).unwrap(), wanted(true, None));
        assert_eq!(Wanted::of(&["--arch", "arm64"]).unwrap(), Wanted { machine: ARM64, ..wanted(false, None) });
        assert!(Wanted::of(&["csi", "--arch", "arm64"]).is_err(), "its tools are Debian's of this machine");
        assert_eq!(Wanted::of(&["--output", "a.tar"]).unwrap(), wanted(false, Some("a.tar")));
        for wrong in [&["--arch"][..], &["--arch", "z80"], &["--output"], &["volume"]] {
            assert!(Wanted::of(wrong).is_err(), "{wrong:?}");
        }
    }
}
