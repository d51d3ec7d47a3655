//! What the end-to-end tests share: running the real `gantry`, and reading what it says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fixtures::family;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

mod api;
pub mod bed;
mod bounded;
pub mod consumer;
pub mod data_volume;
pub mod metrics;
pub mod moment;
pub mod objects;
pub mod watch;

pub use fixtures::soak::{repeated, seed};

/// The binary under test: `GANTRY_BIN`, set by `cargo xtask test`.
///
/// # Panics
/// If the variable is not set: a test that silently runs nothing would be worth nothing.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("GANTRY_BIN").map(PathBuf::from).expect("GANTRY_BIN names the binary; run `cargo xtask test`")
}

/// `gantry import` as a command with a state directory of its own.
#[derive(Clone, Debug)]
pub struct Import {
    source: String,
    target: PathBuf,
    state: PathBuf,
    arguments: Vec<String>,
}

impl Import {
    /// Imports `source` into `target`; nonces are kept in `state`.
    #[must_use]
    pub fn new(source: impl AsRef<std::ffi::OsStr>, target: &Path, state: &Path) -> Self {
        let source = source.as_ref().to_string_lossy().into_owned();
        Self { source, target: target.to_owned(), state: state.to_owned(), arguments: Vec::new() }
    }

    /// The same import into `target`.
    #[must_use]
    pub fn onto(mut self, target: &Path) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The command, with JSON on its standard output.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("import").arg(&self.source).arg(&self.target).arg("--json").args(&self.arguments);
        command.env("XDG_STATE_HOME", &self.state).env_remove("OWNER_UID");
        command
    }

    /// Runs it until the main thread of its decoding process makes system call `call` for the `number`th time, and kills that
    /// process there. Returns false if it ended before.
    ///
    /// That thread prepares the target and finishes it, so this reaches every step of either.
    ///
    /// # Errors
    /// strace does not run, or the import fails by itself.
    pub fn killed_at(&self, call: &str, number: u32) -> Result<bool> {
        let (import, decoding) = self.halted()?;
        let decoding_id = decoding.as_raw_nonzero().to_string();
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-p", &decoding_id, "-e", &format!("trace={call}"), "-e"]);
        let mut strace = command.arg(format!("inject={call}:signal=KILL:when={number}")).spawn()?;
        let status = format!("/proc/{decoding_id}/status");
        while std::fs::read_to_string(&status)?.contains("TracerPid:\t0\n") {
            ensure!(strace.try_wait()?.is_none(), "strace cannot attach");
        }
        kill_process(decoding, Signal::CONT)?;
        let output = import.wait_with_output()?;
        strace.wait()?;
        let killed = !output.status.success() && failed(&output)?.1 == "internal";
        ensure!(killed || output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(killed)
    }

    /// Starts it, and stops its decoding process before that has opened anything.
    fn halted(&self) -> Result<(Child, Pid)> {
        loop {
            let mut import = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            let decoding = loop {
                if let Ok(decoding) = decoding_process(import.id()) {
                    break decoding;
                }
                ensure!(import.try_wait()?.is_none(), "{self:?} started no process that decodes");
            };
            let id = i32::try_from(decoding).ok().and_then(Pid::from_raw).context("a process has a number")?;
            kill_process(id, Signal::STOP)?;
            while !std::fs::read_to_string(format!("/proc/{decoding}/stat"))?.contains(") T ") {}
            let open = std::fs::read_dir(format!("/proc/{decoding}/fd"))?.flatten();
            let is_late = open.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| {
                let file = file.to_string_lossy().into_owned();
                file.contains(".gantry-") || Path::new(&file) == self.target
            });
            if !is_late {
                return Ok((import, id));
            }
            import.kill()?;
            import.wait()?;
            while family::is_alive(decoding) {}
        }
    }

    /// Starts it, kills it as soon as `now` holds, and returns whether it was still running then. Returns when both its
    /// processes are gone.
    ///
    /// # Errors
    /// It does not start.
    pub fn killed_when(&self, mut now: impl FnMut() -> bool) -> Result<bool> {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        while child.try_wait()?.is_none() && !now() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let running = child.try_wait()?.is_none();
        let decoding = decoding_process(child.id());
        child.kill()?;
        child.wait()?;
        while decoding.as_ref().is_ok_and(|decoding| family::is_alive(*decoding)) {}
        Ok(running)
    }

    /// Runs it to success and returns its report.
    ///
    /// # Errors
    /// It fails, or says something that is not JSON.
    pub fn succeed(&self) -> Result<Value> {
        let output = self.command().output()?;
        ensure!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        json(&output)
    }

    /// Runs it to a failure and returns exit code and failure code.
    ///
    /// # Errors
    /// It succeeds, or ends by a signal.
    pub fn fail(&self) -> Result<(i32, String)> {
        failed(&self.command().output()?)
    }
}

/// The process that decodes for the import `pid`.
///
/// # Errors
/// There is none.
pub fn decoding_process(pid: u32) -> Result<u32> {
    family::descendant_with(pid, "decoding-process")
}

/// The JSON document a run printed last.
///
/// # Errors
/// There is none.
pub fn json(output: &Output) -> Result<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().context("nothing was printed")?;
    Ok(serde_json::from_str(line)?)
}

/// Exit code and failure code of a run that failed.
///
/// # Errors
/// It succeeded, ended by a signal, or named no code.
pub fn failed(output: &Output) -> Result<(i32, String)> {
    if output.status.success() {
        bail!("succeeded: {}", String::from_utf8_lossy(&output.stdout));
    }
    let code = json(output)?["error"]["code"].as_str().context("no code")?.to_owned();
    Ok((output.status.code().context("ended by a signal")?, code))
}

/// Names of the hidden files that an import keeps beside `target` while it is unfinished.
///
/// # Errors
/// The folder cannot be read.
pub fn leftovers(target: &Path) -> Result<Vec<String>> {
    let folder = target.parent().context("a target is in a folder")?;
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.contains(".gantry-")).collect())
}

/// `sha256:HEX` of a file, by sha256sum.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let printed = fixtures::command::output(Command::new("sha256sum").arg(path))?;
    Ok(format!("sha256:{}", printed.split_whitespace().next().context("no digest")?))
}

/// The fingerprint of a disk, as `COMMAND fingerprint DISK` prints it; the command is [`binary`], wherever it runs.
///
/// # Errors
/// The disk cannot be read.
pub fn fingerprint(command: &mut Command, disk: &Path) -> Result<String> {
    let said = fixtures::command::output(command.arg("fingerprint").arg(disk))?;
    let word = said.split_whitespace().find(|word| word.starts_with("gantry1:"));
    Ok(word.with_context(|| format!("no fingerprint: {said}"))?.to_owned())
}

/// A number of the report.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().expect("the report has the number")
}
