//! Memory that two processes map: what one fetches into it, the other decodes from it.
//!
//! A memfd, sealed against any change of its size, so that neither process can make the other touch pages that are gone.
//! What crosses between the processes is then an offset and a length, never the bytes.

#![expect(unsafe_code, reason = "a shared mapping is lent out in disjoint ranges; each block says why it is sound")]

use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::{Code, Failure};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What keeps the size as it is.
const SIZED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// A mapping of memory that another process may map too.
pub struct SharedMemory {
    base: *mut u8,
    len: usize,
    file: OwnedFd,
    /// Ranges that are lent.
    lent: Mutex<Vec<Range<usize>>>,
}

// SAFETY: `base` points to a mapping that lives as long as `self`; this process reaches it only through ranges that are
// lent to one holder at a time.
unsafe impl Send for SharedMemory {}
// SAFETY: as above; the list of lent ranges is behind a lock.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes `len` bytes of zeros; pages cost memory once they are touched.
    ///
    /// # Errors
    /// The kernel refuses the memory.
    pub fn new(len: usize) -> Result<Self, Failure> {
        let made = memfd_create("gantry", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).and_then(|file| {
            ftruncate(&file, len as u64)?;
            fcntl_add_seals(&file, SIZED)?;
            Ok(file)
        });
        Self::map(made.map_err(refused)?, len)
    }

    /// Maps memory that another process made.
    ///
    /// # Errors
    /// It could be shrunk while it is mapped, or the kernel refuses.
    pub fn attach(file: OwnedFd) -> Result<Self, Failure> {
        if !fcntl_get_seals(&file).map_err(refused)?.contains(SIZED) {
            return Err(Failure::new(Code::Internal, "shared memory whose size is not sealed"));
        }
        let len = fstat(&file).map_err(refused)?.st_size;
        Self::map(file, usize::try_from(len).unwrap_or(0))
    }

    fn map(file: OwnedFd, len: usize) -> Result<Self, Failure> {
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base =
            unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0) };
        Ok(Self { base: base.map_err(refused)?.cast(), len, file, lent: Mutex::default() })
    }

    /// What another process maps.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where `bytes` lie in this memory, if they do.
    #[must_use]
    pub fn position_of(&self, bytes: &[u8]) -> Option<usize> {
        let at = (bytes.as_ptr() as usize).checked_sub(self.base as usize)?;
        (at + bytes.len() <= self.len).then_some(at)
    }

    /// Lends `range`; `None` if it is not inside, or some of it is lent already.
    #[must_use]
    pub fn lend(&self, range: Range<usize>) -> Option<Lent<'_>> {
        let mut lent = self.lent();
        let is_inside = range.start <= range.end && range.end <= self.len;
        if !is_inside || lent.iter().any(|other| other.start < range.end && range.start < other.end) {
            return None;
        }
        lent.push(range.clone());
        Some(Lent { memory: self, range })
    }

    fn lent(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first byte of `range`, which the caller owns.
    pub(crate) fn start(&self, at: usize) -> *mut u8 {
        assert!(at <= self.len, "offset {at} of {} shared bytes", self.len);
        // SAFETY: `at` is inside the mapping or one past it.
        unsafe { self.base.add(at) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length, and nothing that is lent outlives it.
        let unmapped = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping is unmapped once");
    }
}

fn refused(error: rustix::io::Errno) -> Failure {
    Failure::new(Code::Internal, format!("cannot map shared memory: {error}"))
}

/// A range of shared memory that nobody else in this process has.
pub struct Lent<'a> {
    memory: &'a SharedMemory,
    range: Range<usize>,
}

impl Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is inside the mapping, in the list of lent ranges, and mapped memory is initialised (zeros).
        unsafe { std::slice::from_raw_parts(self.memory.start(self.range.start), self.range.len()) }
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only access in this process. The other process lends its
        // range while this one has it.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start(self.range.start), self.range.len()) }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut lent = self.memory.lent();
        if let Some(index) = lent.iter().position(|range| *range == self.range) {
            lent.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_show_the_same_bytes_and_a_range_has_one_holder() {
        let ours = SharedMemory::new(8192).unwrap();
        let theirs = SharedMemory::attach(ours.descriptor().try_clone_to_owned().unwrap()).unwrap();
        let mut written = theirs.lend(100..200).unwrap();
        written.fill(7);
        assert!(theirs.lend(199..300).is_none() && theirs.lend(0..100).is_some());
        drop(written);
        assert!(theirs.lend(199..300).is_some());
        let read = ours.lend(100..200).unwrap();
        assert_eq!(*read, [7; 100]);
        assert_eq!((ours.position_of(&read), ours.position_of(&[0; 8])), (Some(100), None));
        assert!(ours.lend(8000..8193).is_none());
    }

    #[test]
    fn memory_that_could_shrink_is_not_mapped() {
        let file = memfd_create("open", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, 4096).unwrap();
        assert!(SharedMemory::attach(file).is_err());
        let sealed = SharedMemory::new(4096).unwrap();
        assert!(ftruncate(sealed.descriptor(), 0).is_err());
    }
}
