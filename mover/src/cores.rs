//! How many threads the work is divided among.

use std::sync::OnceLock;
use std::thread::available_parallelism;

/// Cores this process may use, as affinity and cgroup say. Asked once: asking opens files, which a process that decodes
/// has given up.
#[must_use]
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| available_parallelism().map_or(1, usize::from))
}
