//! Reusable buffers in one shared-memory file.
//!
//! A memfd, so that a fetching process can fill a slot that a decoding process reads: what then crosses between them is
//! the slot's index and a length, never the bytes. The number of slots bounds the memory of everything in flight, and
//! waiting for a free one is the back-pressure that reaches down to the socket.

#![expect(unsafe_code, reason = "a shared mapping is lent out in disjoint slots; each block says why it is sound")]

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender, select};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::stop::Stop;

/// A fixed number of equal slots.
#[derive(Clone)]
pub(crate) struct Pool {
    memory: Arc<Memory>,
    /// One for every index in the free list.
    available: Receiver<()>,
}

struct Memory {
    base: *mut u8,
    slot_size: usize,
    slots: usize,
    /// The slot given back last is lent out first: its bytes are still in a core's cache.
    free: Mutex<Vec<usize>>,
    give_back: Sender<()>,
}

// SAFETY: `base` points to a mapping that lives as long as `Memory`; access goes through `Slot`s, each of which owns one
// index exclusively (an index is either in the free list or in exactly one `Slot`).
unsafe impl Send for Memory {}
// SAFETY: as above; `Memory` itself hands out nothing.
unsafe impl Sync for Memory {}

impl Pool {
    /// Maps `slots` slots of `slot_size` bytes each; pages cost memory once they are touched.
    ///
    /// # Errors
    /// The kernel refuses the memory.
    pub(crate) fn new(slots: usize, slot_size: usize) -> Result<Self, Failure> {
        let refused = |error| Failure::new(Code::Internal, format!("cannot map the buffer pool: {error}"));
        let bytes = slots * slot_size;
        let file = memfd_create("gantry-pool", MemfdFlags::CLOEXEC).map_err(refused)?;
        ftruncate(&file, bytes as u64).map_err(refused)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        }
        .map_err(refused)?;
        let (give_back, available) = crossbeam_channel::bounded(slots);
        for _ in 0..slots {
            give_back.send(()).expect("the channel has room for every slot");
        }
        let free = Mutex::new((0..slots).collect());
        Ok(Self { memory: Arc::new(Memory { base: base.cast(), slot_size, slots, free, give_back }), available })
    }

    /// Bytes one slot holds.
    #[must_use]
    pub(crate) fn slot_size(&self) -> usize {
        self.memory.slot_size
    }

    /// How many slots there are.
    #[must_use]
    pub(crate) fn slots(&self) -> usize {
        self.memory.slots
    }

    /// Waits for a free slot.
    ///
    /// # Errors
    /// The transfer stopped while waiting.
    pub(crate) fn take(&self, stop: &Stop) -> Result<Slot, Failure> {
        select! {
            recv(self.available) -> token => {
                token.expect("the memory holds a sender as long as the pool lives");
                let index = self.memory.free().pop().expect("a slot is in the free list before its token is sent");
                Ok(Slot { memory: Arc::clone(&self.memory), index, len: 0 })
            }
            recv(stop.tripped()) -> _ => Err(stop.reason()),
        }
    }
}

impl Memory {
    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length, and no slot outlives the last `Arc<Memory>`.
        let unmapped = unsafe { munmap(self.base.cast(), self.slots * self.slot_size) };
        debug_assert!(unmapped.is_ok(), "the pool's mapping is unmapped once");
    }
}

/// One buffer of the pool, given back when dropped. Dereferences to its first [`len`](Self::set_len) bytes.
pub(crate) struct Slot {
    memory: Arc<Memory>,
    index: usize,
    len: usize,
}

impl Slot {
    /// Sets how many bytes are in use.
    ///
    /// # Panics
    /// If `len` is above the slot size, which is a defect of the caller.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= self.memory.slot_size, "a slot holds {} bytes, not {len}", self.memory.slot_size);
        self.len = len;
    }

    /// Bytes the slot could hold.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.memory.slot_size
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: `index` is below `slots`, so the offset stays inside the mapping.
        unsafe { self.memory.base.add(self.index * self.memory.slot_size) }
    }
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot owns its index, `len` is at most the slot size, and mapped memory is initialised (zeros).
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.memory.free().push(self.index);
        // The channel has room for every slot; without a receiver left nobody needs the slot any more.
        let _ = self.memory.give_back.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_come_back() {
        let pool = Pool::new(2, 4096).unwrap();
        let stop = Stop::new();
        let mut first = pool.take(&stop).unwrap();
        let mut second = pool.take(&stop).unwrap();
        first.set_len(4096);
        second.set_len(4096);
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|&byte| byte == 1) && second.iter().all(|&byte| byte == 2));
        drop(first);
        pool.take(&stop).unwrap();
    }

    #[test]
    fn waiting_for_a_slot_ends_when_the_transfer_stops() {
        let pool = Pool::new(1, 4096).unwrap();
        let stop = Stop::new();
        let held = pool.take(&stop).unwrap();
        stop.trip(Failure::new(Code::TargetIo, "disk gone"));
        assert_eq!(pool.take(&stop).map(drop).unwrap_err().code(), Code::TargetIo);
        drop(held);
    }
}
