//! Reusable buffers in shared memory.
//!
//! Shared, so that a fetching process can fill a slot that a decoding process reads. The number of slots bounds the memory
//! of everything in flight, and waiting for a free one is the back-pressure that reaches down to the socket.

#![expect(unsafe_code, reason = "shared memory is lent out in disjoint slots; each block says why it is sound")]

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::Failure;
use crossbeam_channel::{Receiver, Sender, select};

use crate::shared::SharedMemory;
use crate::stop::Stop;

/// A fixed number of equal slots.
#[derive(Clone)]
pub(crate) struct Pool {
    slots: Arc<Slots>,
    /// One for every index in the free list.
    available: Receiver<()>,
}

struct Slots {
    memory: Arc<SharedMemory>,
    size: usize,
    count: usize,
    /// The slot given back last is lent out first: its bytes are still in a core's cache.
    free: Mutex<Vec<usize>>,
    give_back: Sender<()>,
}

impl Pool {
    /// Makes `count` slots of `size` bytes each; pages cost memory once they are touched.
    ///
    /// # Errors
    /// The kernel refuses the memory.
    pub(crate) fn new(count: usize, size: usize) -> Result<Self, Failure> {
        let memory = Arc::new(SharedMemory::new(count * size)?);
        let (give_back, available) = crossbeam_channel::bounded(count);
        for _ in 0..count {
            give_back.send(()).expect("the channel has room for every slot");
        }
        let free = Mutex::new((0..count).collect());
        Ok(Self { slots: Arc::new(Slots { memory, size, count, free, give_back }), available })
    }

    /// The memory that all slots are in.
    pub(crate) fn memory(&self) -> &Arc<SharedMemory> {
        &self.slots.memory
    }

    /// Bytes one slot holds.
    #[must_use]
    pub(crate) fn slot_size(&self) -> usize {
        self.slots.size
    }

    /// How many slots there are.
    #[must_use]
    pub(crate) fn slots(&self) -> usize {
        self.slots.count
    }

    /// Waits for a free slot.
    ///
    /// # Errors
    /// The transfer stopped while waiting.
    pub(crate) fn take(&self, stop: &Stop) -> Result<Slot, Failure> {
        select! {
            recv(self.available) -> token => {
                token.expect("the slots hold a sender as long as the pool lives");
                let index = self.slots.free().pop().expect("a slot is in the free list before its token is sent");
                Ok(Slot { slots: Arc::clone(&self.slots), index, len: 0 })
            }
            recv(stop.tripped()) -> _ => Err(stop.reason()),
        }
    }
}

impl Slots {
    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One buffer of the pool, given back when dropped. Dereferences to its first [`len`](Self::set_len) bytes.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    index: usize,
    len: usize,
}

impl Slot {
    /// Sets how many bytes are in use.
    ///
    /// # Panics
    /// If `len` is above the slot size, which is a defect of the caller.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= self.slots.size, "a slot holds {} bytes, not {len}", self.slots.size);
        self.len = len;
    }

    /// Bytes the slot could hold.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.size
    }

    fn start(&self) -> *mut u8 {
        self.slots.memory.start(self.index * self.slots.size)
    }
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the slot owns its index (which is in the free list or in exactly one slot), `len` is at most the slot size, and mapped memory is initialised (zeros).
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
        self.slots.free().push(self.index);
        // The channel has room for every slot; without a receiver left nobody needs the slot any more.
        let _ = self.slots.give_back.send(());
    }
}

#[cfg(test)]
mod tests {
    use contract::Code;

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
