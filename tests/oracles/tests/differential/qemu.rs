//! qemu-img as a reader: the disk, or why not.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use formats::probe::Format;

use crate::LARGEST;
use crate::ours::Seen;

/// Seconds of processor time after which an image counts as refused.
const SECONDS: u32 = 20;
/// A file grew over its limit.
const SIGXFSZ: i32 = 25;

/// qemu's name of a format.
pub(crate) fn name(format: Format) -> &'static str {
    if format == Format::Vhd { "vpc" } else { format.name() }
}

/// The disk as `qemu-img convert` writes it; `image` lies in a folder of its own, in which qemu runs, so that a name that
/// damage makes of another leads nowhere.
///
/// A pending log of a VHDX is replayed first, which writes to the image.
pub(crate) fn read(format: Format, image: &Path) -> Result<Seen, String> {
    let raw = image.with_extension("by-qemu");
    let _ = std::fs::remove_file(&raw);
    let convert = || run(image, &["convert", "-f", name(format), "-O", "raw"], Some(&raw));
    let mut output = convert();
    if needs_replay(&output) && replay(image)? {
        output = convert();
    }
    if output.status.success() {
        return Ok(Seen::Disk(std::fs::read(raw).expect("the converted disk can be read")));
    }
    let said = said(&output);
    if output.status.signal() == Some(SIGXFSZ) || said.contains("File too large") {
        return opened(format, image);
    }
    Err(said)
}

/// The size of the disk as `qemu-img info` sees it; the tables are not looked at.
pub(crate) fn opened(format: Format, image: &Path) -> Result<Seen, String> {
    let info = || run(image, &["info", "-f", name(format), "--output=json"], None);
    let mut output = info();
    if needs_replay(&output) && replay(image)? {
        output = info();
    }
    if !output.status.success() {
        return Err(said(&output));
    }
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).expect("qemu-img info prints JSON");
    Ok(Seen::Large(info["virtual-size"].as_u64().expect("an image has a size")))
}

fn needs_replay(output: &Output) -> bool {
    !output.status.success() && said(output).contains("contains a log that needs to be replayed")
}

/// Largest file in bytes that a replay may make of an image: a damaged log may ask for all the memory there is.
pub(crate) const REPLAYED: u64 = 64 << 20;

fn replay(image: &Path) -> Result<bool, String> {
    let output = limited(image, &["check", "-q", "-f", "vhdx", "-r", "all"], None, REPLAYED);
    if output.status.success() { Ok(true) } else { Err(said(&output)) }
}

fn run(image: &Path, arguments: &[&str], target: Option<&Path>) -> Output {
    limited(image, arguments, target, LARGEST + 512)
}

fn limited(image: &Path, arguments: &[&str], target: Option<&Path>, largest: u64) -> Output {
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={largest}")).arg(format!("--cpu={SECONDS}")).arg("--core=0");
    command.arg("qemu-img").args(arguments).arg(image).args(target);
    command.current_dir(image.parent().expect("an image is in a folder"));
    command.output().expect("prlimit and qemu-utils are installed")
}

fn said(output: &Output) -> String {
    match output.status.signal() {
        Some(signal) => format!("ended by signal {signal}: {}", String::from_utf8_lossy(&output.stderr)),
        None => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
