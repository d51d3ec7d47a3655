//! Parts of tables that are in memory or asked for, by their offset in the image.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::Range;

use crate::offset::saturated;

/// Most bytes of a table that are wanted or kept in one part.
pub(crate) const PART: u64 = 64 * 1024;

/// Parts of one kind of table. Those of one table do not overlap, because it is divided at fixed places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    parts: BTreeMap<u64, Part>,
    bytes: usize,
}

/// Wanted until `bytes` has grown to `len`.
#[derive(Clone, Debug)]
struct Part {
    len: usize,
    bytes: Vec<u8>,
    /// First guest offset that does not need this part.
    until: u64,
}

impl Part {
    fn is_complete(&self) -> bool {
        self.bytes.len() == self.len
    }
}

impl Tables {
    /// Keeps the part at `host` until `until`; whether all of it is here.
    pub(crate) fn want(&mut self, host: u64, len: u64, until: u64) -> bool {
        let new = Part { len: saturated(len), bytes: Vec::new(), until };
        let part = self.parts.entry(host).or_insert(new);
        part.until = part.until.max(until);
        part.is_complete()
    }

    /// The part at `host`, if all of it is here.
    pub(crate) fn get(&self, host: u64) -> Option<&[u8]> {
        self.parts.get(&host).filter(|part| part.is_complete()).map(|part| part.bytes.as_slice())
    }

    /// Takes what is wanted out of `bytes`, which lie at `host` in the image.
    pub(crate) fn feed(&mut self, host: u64, bytes: &[u8]) {
        let end = host.saturating_add(bytes.len() as u64);
        for (&start, part) in self.parts.range_mut(host.saturating_sub(PART)..end) {
            let next = start + part.bytes.len() as u64;
            if part.is_complete() || next < host || next >= end {
                continue;
            }
            let fresh = &bytes[saturated(next - host)..];
            let missing = part.len - part.bytes.len();
            if part.bytes.is_empty() {
                part.bytes.reserve_exact(part.len);
                self.bytes += part.len;
            }
            part.bytes.extend_from_slice(&fresh[..fresh.len().min(missing)]);
        }
    }

    /// Drops parts that only guest offsets below `guest` need.
    pub(crate) fn release(&mut self, guest: u64) {
        self.parts.retain(|_, part| part.until > guest);
        self.bytes = self.parts.values().map(|part| part.bytes.capacity()).sum();
    }

    /// Bytes of memory in use.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.parts.len() * size_of::<(u64, Part)>()
    }
}

/// Joins neighbours among `wants` as far as a range may be long, in ascending order and each byte once.
pub(crate) fn joined(mut wants: Vec<Range<u64>>) -> Vec<Range<u64>> {
    wants.sort_unstable_by_key(|want| want.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for want in wants {
        let start = out.last().map_or(want.start, |last| want.start.max(last.end));
        match out.last_mut() {
            _ if start >= want.end => {}
            Some(last) if start == last.end && want.end - last.start <= PART => last.end = want.end,
            _ => out.push(start..want.end),
        }
    }
    out
}
