//! qemu-img and qemu-io as the tests call them, and what they say about an image.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Makes images; they vanish with it.
pub(crate) struct Bench {
    dir: TempDir,
}

/// One line of `qemu-img map`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) data: bool,
    pub(crate) offset: Option<u64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty image; `options` as for `-o`, may be empty.
    pub(crate) fn create(&self, name: &str, options: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        let options = if options.is_empty() { "compat=1.1" } else { options };
        run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, text(&path), &size.to_string()]);
        path
    }

    /// A raw disk with these bytes.
    pub(crate) fn raw(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("the disk can be written");
        path
    }

    /// `qemu-img convert` to qcow2; `flags` are put in front.
    pub(crate) fn convert(&self, source: &Path, name: &str, flags: &[&str]) -> PathBuf {
        let path = self.path(name);
        let mut arguments = vec!["convert", "-O", "qcow2"];
        arguments.extend(flags);
        arguments.extend([text(source), text(&path)]);
        run("qemu-img", &arguments);
        path
    }

    /// The disk as qemu reads it.
    pub(crate) fn read(&self, image: &Path) -> Vec<u8> {
        let raw = self.path("read-by-qemu");
        run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", text(image), text(&raw)]);
        std::fs::read(raw).expect("the converted disk can be read")
    }
}

/// Runs qemu-io commands on an image, one process for all of them.
pub(crate) fn io(image: &Path, commands: &[String]) {
    let mut arguments = vec!["-f", "qcow2", "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

/// Runs `qemu-img` with `arguments`, then the image.
pub(crate) fn img(arguments: &[&str], image: &Path, rest: &[&str]) {
    run("qemu-img", &[arguments, &[text(image)], rest].concat());
}

/// What `qemu-img map` says.
pub(crate) fn map(image: &Path) -> Vec<Mapped> {
    let out = run("qemu-img", &["map", "--output=json", "-f", "qcow2", text(image)]);
    let lines: Vec<Value> = serde_json::from_str(&out).expect("qemu-img map prints JSON");
    let number = |line: &Value, field: &str| line[field].as_u64();
    lines
        .iter()
        .map(|line| Mapped {
            start: number(line, "start").expect("every line has a start"),
            length: number(line, "length").expect("every line has a length"),
            data: line["data"].as_bool().expect("every line says whether it is data"),
            offset: number(line, "offset"),
        })
        .collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Runs a tool and returns what it prints.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().expect("qemu-utils is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // qemu-io reports a failed command and goes on.
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let failed = !output.status.success() || said.contains("failed");
    assert!(!failed, "{tool} {}: {said}{complaint}", arguments.join(" "));
    said
}
