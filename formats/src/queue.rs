//! What is known about bytes that have not flowed past yet, in the order in which they will, in bounded memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Error, Kind};

/// The least element first, in bounded memory.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord + Copy> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Most elements: a power of two, so that the heap's doubling ends exactly there, at 8 MiB for runs.
    pub(crate) const LIMIT: usize = 1 << 18;

    /// # Errors
    /// The queue is full.
    pub(crate) fn push(&mut self, element: T) -> Result<(), Error> {
        if self.heap.len() == Self::LIMIT {
            let what = format!("the tables name more than {} places that come later in the image", Self::LIMIT);
            return Err(Error::new(Kind::Unplaced, what));
        }
        self.heap.push(Reverse(element));
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|Reverse(element)| element)
    }

    pub(crate) fn first(&self) -> Option<T> {
        self.heap.peek().map(|Reverse(element)| *element)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(element)| element)
    }

    /// Takes the first element if it is one that `ready` accepts.
    pub(crate) fn pop_if(&mut self, ready: impl Fn(&T) -> bool) -> Option<T> {
        self.first().filter(ready).and_then(|_| self.pop())
    }
}
