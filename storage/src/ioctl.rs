//! The ioctls of loop devices and of freezing, and one call for mounts, of which no library has typed calls.
//!
//! Numbers and layouts are those of `linux/loop.h` and `linux/fs.h`; they are the same on all processors that Gantry runs on.

#![expect(unsafe_code, reason = "an ioctl's number fixes the type of its argument; each block names both")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Result;
use rustix::ioctl::{Getter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

const LOOP_CLR_FD: Opcode = 0x4c01;
const LOOP_GET_STATUS64: Opcode = 0x4c05;
const LOOP_SET_CAPACITY: Opcode = 0x4c07;
const LOOP_CONFIGURE: Opcode = 0x4c0a;
const LOOP_CTL_GET_FREE: Opcode = 0x4c82;
/// `_IOWR('X', 119, int)`.
const FIFREEZE: Opcode = 0xc004_5877;
/// `_IOWR('X', 120, int)`.
const FITHAW: Opcode = 0xc004_5878;

/// `LO_FLAGS_READ_ONLY`.
pub(crate) const READ_ONLY: u32 = 1;
/// `LO_FLAGS_AUTOCLEAR`: the kernel detaches the device at its last close.
pub(crate) const AUTOCLEAR: u32 = 4;
/// `LO_FLAGS_DIRECT_IO`.
pub(crate) const DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct LoopInfo {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    pub(crate) number: u32,
    encryption: u32,
    key_size: u32,
    pub(crate) flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// Attaches `file` to the unused loop device `device` with sectors of `block_size` bytes. `label` is kept by the kernel beside
/// the file.
pub(crate) fn configure(
    device: impl AsFd,
    file: BorrowedFd<'_>,
    flags: u32,
    block_size: u32,
    label: &str,
) -> Result<()> {
    let mut info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encryption: 0,
        key_size: 0,
        flags,
        file_name: [0; 64],
        crypt_name: [0; 64],
        key: [0; 32],
        init: [0; 2],
    };
    for (to, from) in info.file_name[..63].iter_mut().zip(label.bytes()) {
        *to = from;
    }
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| rustix::io::Errno::BADF)?;
    let config = LoopConfig { fd, block_size, info, reserved: [0; 8] };
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config`.
    unsafe { ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }
}

/// What a loop device is attached to; ENXIO if to nothing.
pub(crate) fn status(device: impl AsFd) -> Result<LoopInfo> {
    // SAFETY: LOOP_GET_STATUS64 fills one `struct loop_info64`, all of whose bit patterns are valid.
    unsafe { ioctl(device, Getter::<LOOP_GET_STATUS64, LoopInfo>::new()) }
}

/// Takes over the length that the attached file has now.
pub(crate) fn set_capacity(device: impl AsFd) -> Result<()> {
    // SAFETY: LOOP_SET_CAPACITY takes no argument.
    unsafe { ioctl(device, NoArg::<LOOP_SET_CAPACITY>::new()) }
}

/// Detaches the device, at its last close if it is open elsewhere.
pub(crate) fn detach(device: impl AsFd) -> Result<()> {
    // SAFETY: LOOP_CLR_FD takes no argument.
    unsafe { ioctl(device, NoArg::<LOOP_CLR_FD>::new()) }
}

/// Number of an unused loop device, made if there is none; asked of `/dev/loop-control`.
pub(crate) fn free_number(control: impl AsFd) -> Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and returns the number as the call's value.
    unsafe { ioctl(control, FreeNumber) }
}

/// Stops all writing to the file system of `folder`, what is under way finished and written out.
pub(crate) fn freeze(folder: impl AsFd) -> Result<()> {
    // SAFETY: FIFREEZE ignores its argument.
    unsafe { ioctl(folder, NoArg::<FIFREEZE>::new()) }
}

/// Undoes [`freeze`]; EINVAL if the file system is not frozen.
pub(crate) fn thaw(folder: impl AsFd) -> Result<()> {
    // SAFETY: FITHAW ignores its argument.
    unsafe { ioctl(folder, NoArg::<FITHAW>::new()) }
}

/// Makes the mount of `tree` read-only, before it is shown anywhere (mount_setattr(2), Linux 5.12).
pub(crate) fn make_mount_read_only(tree: impl AsFd) -> Result<()> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty text that lives on; the attributes are one `struct mount_attr` of the stated size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(rustix::io::Errno::from_raw_os_error(errno))
}

struct FreeNumber;

// SAFETY: the call has no argument, and its value is what the kernel returned.
unsafe impl Ioctl for FreeNumber {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut std::ffi::c_void) -> Result<u32> {
        u32::try_from(out).map_err(|_| rustix::io::Errno::RANGE)
    }
}
