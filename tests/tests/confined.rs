//! The process that decodes has nothing to give away: after its start it opens nothing, speaks to nobody, runs nothing, and
//! never had the credentials.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::images::{MIB, compare, compress, raw};
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tests::{Import, decoding_process, failed, sha256};

/// System calls that would open a path, reach the network, or run a program.
const FORBIDDEN: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "creat",
    "open_by_handle_at",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "kill",
];

/// What the decoding process called after the lockdown, with arguments.
fn calls_after_lockdown(trace: &str) -> Result<Vec<String>> {
    let call = |line: &str| line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().to_owned();
    let pid = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let start = trace.lines().position(|line| line.contains("execve(") && line.contains("decoding-process"));
    let start = start.context("no process decodes")?;
    let decoding = pid(trace.lines().nth(start).context("a line")?);
    let mut threads = BTreeSet::from([decoding.clone()]);
    let (mut is_locked, mut calls) = (false, Vec::new());
    for line in trace.lines().skip(start).filter(|line| !line.contains("resumed>")) {
        if !threads.contains(&pid(line)) {
            continue;
        }
        let call = call(line);
        if is_locked {
            calls.push(call.clone());
        }
        is_locked |= call.starts_with("seccomp(SECCOMP_SET_MODE_FILTER");
        if call.starts_with("clone") {
            // strace names the new thread at the end of the line or of its continuation.
            let new = trace.lines().filter(|other| pid(other) == pid(line) && other.contains("clone"));
            threads.extend(new.filter_map(|line| line.rsplit("= ").next()).map(str::to_owned));
        }
    }
    ensure!(is_locked, "the decoding process gave up nothing");
    Ok(calls)
}

/// Runs the import under strace and returns what its decoding process called after the lockdown.
fn traced(import: &Import, folder: &Path) -> Result<Vec<String>> {
    let (command, trace) = (import.command(), folder.join("trace"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-s", "64", "-o"]).arg(&trace).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    fixtures::command::run(&mut strace)?;
    calls_after_lockdown(&std::fs::read_to_string(&trace)?)
}

fn forbidden(calls: &[String]) -> Vec<&String> {
    let name = |call: &String| call.split('(').next().unwrap_or_default().to_owned();
    calls.iter().filter(|call| FORBIDDEN.contains(&name(call).as_str()) || call.contains("ENOSYS")).collect()
}

struct Images {
    folder: TempDir,
    disk: PathBuf,
}

impl Images {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), 24 * MIB, 5)?;
        let at = |name: &str| folder.path().join(name);
        Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&disk, &at("disk.qcow2"))?;
        compress::gzip(&disk, &at("disk.gz"), 1)?;
        compress::zstd(&disk, &at("disk.zst"), &["-1"])?;
        compress::filter(Command::new("xz").args(["-0", "-T2", "-c"]), &disk, &at("disk.xz"))?;
        for (archive, compression) in [("disk.tar", "--auto-compress"), ("disk.tar.gz", "--gzip")] {
            let mut tar = Command::new("tar");
            tar.arg(compression).arg("-cf").arg(at(archive)).arg("-C").arg(folder.path()).arg("disk.qcow2");
            fixtures::command::run(&mut tar)?;
        }
        Ok(Self { disk, folder })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn after_its_start_the_decoding_process_opens_nothing_speaks_to_nobody_and_runs_nothing() -> Result<()> {
    let images = Images::new()?;
    let (ranged, plain) =
        (Nginx::serve(images.folder.path())?, Settings::new(images.folder.path()).without_ranges().start()?);
    let file = |name: &str| images.at(name).to_string_lossy().into_owned();
    let checked = format!("--checksum={}", sha256(&images.at("disk.qcow2"))?);
    let target = images.at("disk.img");
    let import = |source: String| Import::new(source, &target, &images.at("state"));
    let device = LoopDevice::filled(24 * MIB)?;
    let imports = [
        import(file("disk.qcow2")).with("--preallocation=full"),
        import(ranged.url("disk.qcow2")),
        import(ranged.url("disk.qcow2")).with(&checked),
        import(plain.url("disk.qcow2")).with("--preallocation=falloc"),
        import(ranged.url("disk.gz")),
        import(ranged.url("disk.zst")).with("--size=32M"),
        import(file("disk.xz")),
        import(ranged.url("disk.raw")),
        import(ranged.url("disk.qcow2")).onto(device.path()),
        import(ranged.url("disk.tar")),
        import(plain.url("disk.tar.gz")),
        import("blank:16M".to_owned()),
    ];
    for import in imports {
        let calls = traced(&import, images.folder.path()).with_context(|| format!("{import:?}"))?;
        assert!(calls.iter().any(|call| call.starts_with("pwrite64(")), "{import:?} wrote nothing");
        assert_eq!(forbidden(&calls), Vec::<&String>::new(), "{import:?}");
        let _ = std::fs::remove_file(&target);
    }
    Ok(())
}

#[test]
fn an_archive_is_unpacked_by_a_process_that_opens_only_below_its_directory() -> Result<()> {
    let images = Images::new()?;
    let (archive, directory) = (images.at("archive.tar"), images.at("directory"));
    fixtures::command::run(
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(images.folder.path()).args(["disk.gz", "disk.zst"]),
    )?;
    let import = Import::new(&archive, &directory, &images.at("state")).with("--content-type=archive");
    let calls = traced(&import, images.folder.path())?;
    let (opened, others): (Vec<_>, Vec<_>) =
        forbidden(&calls).into_iter().partition(|call| call.starts_with("openat("));
    assert_eq!(others, Vec::<&String>::new());
    assert!(opened.len() >= 2 && opened.iter().all(|call| !call.contains("AT_FDCWD")), "{opened:?}");
    compare::by_cmp(&images.at("disk.gz"), &directory.join("disk.gz"))
}

/// Whether `secret` is anywhere in the memory of a process that it can write to, in its arguments or its environment.
fn knows(pid: u32, secret: &str) -> Result<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split_whitespace().next().and_then(|range| range.split_once('-')).context("a range")?;
        let (from, to) = (u64::from_str_radix(range.0, 16)?, u64::from_str_radix(range.1, 16)?);
        let mut bytes = vec![0; usize::try_from(to - from)?];
        // A guard page cannot be read.
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        if bytes[..read].windows(secret.len()).any(|window| window == secret.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_decoding_process_that_is_killed_is_reported_at_once_even_if_the_server_says_nothing() -> Result<()> {
    let images = Images::new()?;
    let nginx = Settings::new(images.folder.path()).directive("limit_rate_after 1m; limit_rate 2k;").start()?;
    let import = Import::new(nginx.url("disk.raw"), &images.at("disk.img"), &images.at("state"));
    let mut running = import.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let journal = images.at(".disk.img.gantry-journal");
    while std::fs::metadata(&journal).map_or(0, |journal| journal.len()) == 0 {
        ensure!(running.try_wait()?.is_none(), "the import ended by itself");
    }
    // By then every lane has the part that comes fast, and waits.
    std::thread::sleep(Duration::from_secs(1));
    fixtures::command::run(Command::new("kill").args(["-9", &decoding_process(running.id())?.to_string()]))?;
    let killed = Instant::now();
    while running.try_wait()?.is_none() {
        // At this rate the slots that are being filled take minutes.
        ensure!(killed.elapsed() < Duration::from_secs(30), "the import goes on without its decoding process");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(failed(&running.wait_with_output()?)?, (1, "internal".to_owned()));
    assert!(!images.at("disk.img").exists());
    Ok(())
}

#[test]
fn the_decoding_process_never_has_the_password() -> Result<()> {
    let images = Images::new()?;
    let secret = "correct-horse-battery-staple";
    let nginx = Settings::new(images.folder.path()).login("user", secret).start()?;
    let import = Import::new(nginx.url("disk.raw"), &images.at("disk.img"), &images.at("state"));
    let mut command = import.with("--user=user").with("--rate-limit=8M").command();
    let mut running = command.env("GANTRY_PASSWORD", secret).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(800));
    let decoding = decoding_process(running.id())?;
    assert!(knows(running.id(), secret)?, "the search finds what is there");
    assert!(!knows(decoding, secret)?);
    assert!(running.wait()?.success());
    compare::same_disk(&images.disk, &images.at("disk.img"))
}
