//! Runs an import of something that was made to hurt: in little memory, and not for ever.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Result, ensure};
use fixtures::cgroup::MemoryGroup;
use fixtures::images::MIB;

use crate::{Import, failed};

/// Bytes that a process may use, page cache included.
const MEMORY: u64 = 96 * MIB;
/// Seconds after which an import counts as endless; nothing else is said of time.
const ENDLESS: &str = "300";

impl Import {
    /// Runs it to a failure; exit code and failure code.
    ///
    /// # Errors
    /// It succeeds, does not end, or wants more memory.
    pub fn refused(&self) -> Result<(i32, String)> {
        self.fail_bounded(None)
    }

    /// The same, with `first` on its standard input and then `again` for as long as anybody reads.
    ///
    /// # Errors
    /// As [`refused`](Self::refused).
    pub fn refused_while_fed(&self, first: &[u8], again: &[u8]) -> Result<(i32, String)> {
        self.fail_bounded(Some((first, again)))
    }

    fn fail_bounded(&self, input: Option<(&[u8], &[u8])>) -> Result<(i32, String)> {
        let group = MemoryGroup::with_limit(MEMORY)?;
        let mut confined = group.confine(&self.timed());
        confined.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = confined.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pipe = child.stdin.take();
        let output: Output = std::thread::scope(|scope| {
            if let (Some(mut pipe), Some((first, again))) = (pipe, input) {
                scope.spawn(move || {
                    let mut fed = pipe.write_all(first);
                    while fed.is_ok() {
                        fed = pipe.write_all(again);
                    }
                });
            }
            child.wait_with_output()
        })?;
        ensure!(group.counts()?.kills == 0, "killed for lack of memory: {self:?}");
        failed(&output)
    }

    fn timed(&self) -> Command {
        let import = self.command();
        let mut timed = Command::new("timeout");
        timed.args(["--signal=KILL", ENDLESS]).arg(import.get_program()).args(import.get_args());
        for (name, value) in import.get_envs() {
            match value {
                Some(value) => timed.env(name, value),
                None => timed.env_remove(name),
            };
        }
        timed
    }
}
