//! What each process gives up before the first byte of a source arrives: landlock for paths, seccomp for system calls.
//!
//! | | decoding process | fetching process |
//! |---|---|---|
//! | files | none by path; to give the target its name, its directory; an archive, below its directory | nothing is written, nothing is executed |
//! | sockets | none but the ones it was started with | as it likes |
//! | system calls | a list of those it needs; any other is answered `ENOSYS` | none to look into or start other processes, or to change the system |
//!
//! Landlock is in kernels since 5.13 and does what the running one can; seccomp is in every kernel that is supported, and
//! without it nothing is imported.

use std::os::fd::AsFd;

use contract::{Code, Failure};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, make_bitflags,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

use crate::work::Ready;

/// The newest landlock whose rights are all named here; an older kernel knows fewer.
const NEWEST: ABI = ABI::V6;

/// What the decoding process may call: its descriptors, its memory, its threads, and names in the target's directory.
const DECODING: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_tgkill,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// What unpacking an archive needs besides.
const UNPACKING: &[i64] = &[
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_openat,
    libc::SYS_symlinkat,
    libc::SYS_syncfs,
    libc::SYS_utimensat,
];

/// A call that the libc crate does not name for every C library.
const KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "aarch64") { 294 } else { 320 };

/// What the fetching process may not call.
const NOT_FETCHING: &[i64] = &[
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    KEXEC_FILE_LOAD,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// For the decoding process, once `ready` has everything open.
///
/// # Errors
/// The kernel refuses.
pub(super) fn decoding(ready: &Ready) -> Result<(), Failure> {
    let paths = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(|rules| match ready {
            Ready::Import(_, target) => beneath(rules, target.directory(), naming()),
            Ready::Unpack(directory, _) => beneath(rules, Some(directory), AccessFs::from_all(NEWEST)),
            Ready::Explain(..) | Ready::Inspect(..) => Ok(rules),
        })
        .and_then(RulesetCreated::restrict_self);
    paths.map_err(|error| refused(&error))?;
    let more = if matches!(ready, Ready::Unpack(..)) { UNPACKING } else { &[] };
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    filter([DECODING, more].concat(), SeccompAction::Allow, unknown)
}

/// For the fetching process, once the other one runs.
///
/// # Errors
/// The kernel refuses.
pub(super) fn fetching() -> Result<(), Failure> {
    let paths = Ruleset::default()
        .handle_access(AccessFs::from_write(NEWEST) | AccessFs::Execute)
        .and_then(Ruleset::create)
        .and_then(RulesetCreated::restrict_self);
    paths.map_err(|error| refused(&error))?;
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    filter(NOT_FETCHING.to_vec(), denied, SeccompAction::Allow)
}

/// What giving a file its name, and taking its temporary names away, needs in its directory.
fn naming() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{MakeReg | RemoveFile})
}

fn beneath(
    rules: RulesetCreated,
    directory: Option<&impl AsFd>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match directory {
        Some(directory) => rules.add_rule(PathBeneath::new(directory, access)),
        None => Ok(rules),
    }
}

fn filter(calls: Vec<i64>, listed: SeccompAction, others: SeccompAction) -> Result<(), Failure> {
    let rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().map_err(|error| refused(&error))?;
    let filter = SeccompFilter::new(rules, others, listed, architecture).map_err(|error| refused(&error))?;
    let program: BpfProgram = filter.try_into().map_err(|error: seccompiler::BackendError| refused(&error))?;
    apply_filter_all_threads(&program).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    let failure = Failure::new(Code::Internal, format!("cannot give up rights before reading the source: {error}"));
    failure.remedy("use a kernel with seccomp filters, and a container whose profile allows them")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// A lockdown is for good, so each runs in a process of its own: this test program, told by a variable which.
    const WHICH: &str = "GANTRY_TEST_LOCKDOWN";

    fn in_a_process(which: &str, test: &str, check: impl FnOnce()) {
        if std::env::var(WHICH).is_ok_and(|chosen| chosen == which) {
            return check();
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", test, "--test-threads=1"]).env(WHICH, which).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn the_decoding_process_opens_nothing_connects_to_nothing_and_runs_nothing() {
        in_a_process(
            "decoding",
            "split::lockdown::tests::the_decoding_process_opens_nothing_connects_to_nothing_and_runs_nothing",
            || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                TcpStream::connect(address).unwrap();
                decoding(&Ready::Inspect(None, None)).unwrap();
                assert!(std::fs::read("/etc/hostname").is_err());
                assert!(std::fs::write("/tmp/gantry-lockdown", "").is_err());
                assert!(TcpStream::connect(address).is_err());
                assert!(Command::new("/bin/true").status().is_err());
                assert!(std::thread::spawn(|| std::fs::read("/etc/hostname").is_err()).join().unwrap());
            },
        );
    }

    #[test]
    fn the_fetching_process_writes_nothing_and_runs_nothing_but_reads_and_connects() {
        in_a_process(
            "fetching",
            "split::lockdown::tests::the_fetching_process_writes_nothing_and_runs_nothing_but_reads_and_connects",
            || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let folder = tempfile::tempdir().unwrap();
                fetching().unwrap();
                assert!(std::fs::write(folder.path().join("file"), "").is_err());
                assert!(Command::new("/bin/true").status().is_err());
                assert!(std::fs::read("/etc/passwd").is_ok());
                TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            },
        );
    }
}
