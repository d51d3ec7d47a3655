//! Runs of host bytes whose place is known: equal stretches with equal gaps between them.
//!
//! ```text
//! host   ---| left of this |--gap--| stretch |--gap--| stretch |--- ...     `more` stretches follow
//! guest     | left of this | stretch | stretch |                            without gaps
//! ```
//!
//! A dynamic VHD has a bitmap in front of each block, so its blocks never touch; as one run they take no more memory than
//! the blocks of a format without.

use crate::offset::saturated;
use crate::{Error, GuestOffset, Kind, Piece};

/// Pieces are cut at sectors, so that a disk is written in sectors however the bytes come.
const SECTOR: u64 = 512;

/// Bytes of one push.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start: u64,
    pub(super) end: u64,
}

impl<'a> Window<'a> {
    /// Bytes from host offset `from` as far as `to`, cut at what is there.
    pub(super) fn get(&self, from: u64, to: u64) -> &'a [u8] {
        let index = |host: u64| saturated(host.clamp(self.start, self.end) - self.start);
        self.bytes.get(index(from)..index(to)).unwrap_or_default()
    }
}

/// Host bytes that are guest bytes. The order of the fields is the order of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) host: u64,
    guest: u64,
    /// Bytes left of the stretch that `host` lies in.
    left: u64,
    /// Bytes of each stretch behind it; of this one, too, until it is begun.
    stretch: u64,
    gap: u64,
    more: u64,
}

impl Run {
    pub(super) const fn new(host: u64, guest: u64, len: u64) -> Self {
        Self { host, guest, left: len, stretch: len, gap: 0, more: 0 }
    }

    const fn host_end(&self) -> u64 {
        self.host + self.left + self.more * (self.gap + self.stretch)
    }

    const fn guest_end(&self) -> u64 {
        self.guest + self.left + self.more * self.stretch
    }

    /// Appends a run of one stretch to this one, none of which is emitted; false if it does not continue it.
    pub(super) fn append(&mut self, next: &Self) -> bool {
        let Some(gap) = next.host.checked_sub(self.host_end()) else { return false };
        if next.guest != self.guest_end() {
            return false;
        }
        match self.more {
            0 if gap == 0 => {
                self.left += next.left;
                self.stretch = self.left;
            }
            0 if next.left == self.stretch => (self.gap, self.more) = (gap, 1),
            1.. if next.left == self.stretch && gap == self.gap => self.more += 1,
            _ => return false,
        }
        true
    }

    /// How many bytes of the first stretch, which begins in sight, can be emitted.
    pub(super) fn in_sight(&self, end: u64) -> u64 {
        let seen = self.left.min(end - self.host);
        if seen == self.left { seen } else { seen - seen % SECTOR }
    }

    /// Whether `len` bytes are all of the first stretch.
    pub(super) const fn is_whole(&self, len: u64) -> bool {
        len == self.left
    }

    /// The first `len` bytes of the first stretch, in a push that begins at `start`.
    pub(super) fn piece(&self, len: u64, start: u64) -> Option<Piece> {
        let (at, host_len) = (saturated(self.host - start), saturated(len));
        (len > 0).then_some(Piece { at, host_len, guest: GuestOffset(self.guest), guest_len: len, codec: None })
    }

    /// What is left behind the first `len` bytes of the stretch.
    pub(super) fn after(&self, len: u64) -> Option<Self> {
        let (host, guest) = (self.host + len, self.guest + len);
        if len < self.left {
            return Some(Self { host, guest, left: self.left - len, ..*self });
        }
        let more = self.more.checked_sub(1)?;
        Some(Self { host: host + self.gap, guest, left: self.stretch, more, ..*self })
    }

    /// Refuses a run that the image, which ends at `end`, does not hold.
    pub(super) fn require(&self, end: u64) -> Result<(), Error> {
        if self.host_end() <= end {
            return Ok(());
        }
        let what = format!(
            "guest offset {:#x} lies at offset {:#x}, data reaches to {:#x}, the file ends at {end:#x}",
            self.guest,
            self.host,
            self.host_end()
        );
        Err(Error::new(Kind::Truncated, what).at(self.host))
    }
}
