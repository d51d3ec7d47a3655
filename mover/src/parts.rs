//! From extents to what one buffer carries: pure.
//!
//! ```text
//! extents (guest order)  --parts_of-->  parts (host order)  --pack-->  units: one slot's worth of host bytes
//!
//! host   |----part----|--part--|   gap   |--part--|
//!        |------------ unit 1 ------------|- unit 2 ...     units overlap where encoded clusters share a sector
//! ```

use std::ops::Range;

use formats::{ClusterCodec, Extent, Place};

use crate::fingerprint::LEAF;

/// Some host bytes and where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Offset in the image file.
    pub(crate) host: u64,
    /// Bytes in the image file.
    pub(crate) host_len: u32,
    /// Offset on the disk.
    pub(crate) guest: u64,
    /// Bytes on the disk.
    pub(crate) guest_len: u32,
    /// How the host bytes are encoded; `None` for plain data.
    pub(crate) codec: Option<ClusterCodec>,
}

impl Part {
    /// The image bytes.
    #[must_use]
    pub(crate) fn host_range(&self) -> Range<u64> {
        self.host..self.host + u64::from(self.host_len)
    }

    /// The disk bytes.
    #[must_use]
    pub(crate) fn guest_range(&self) -> Range<u64> {
        self.guest..self.guest + u64::from(self.guest_len)
    }
}

/// Host bytes that are fetched into one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The image bytes the slot holds.
    pub(crate) host: Range<u64>,
    /// What in them goes to the disk.
    pub(crate) parts: Vec<Part>,
}

/// Appends the parts of one extent, each at most `slot` host bytes long and cut where fingerprint leaves begin.
pub(crate) fn parts_of(extent: &Extent, slot: usize, out: &mut Vec<Part>) {
    match extent.place {
        Place::Zero => {}
        Place::Encoded { at, len, codec } => out.push(Part {
            host: at.0,
            host_len: len,
            guest: extent.guest.0,
            guest_len: extent.len as u32,
            codec: Some(codec),
        }),
        Place::Data(host) => {
            let slot = slot as u64 / LEAF * LEAF;
            let (mut done, end) = (0, extent.len);
            while done < end {
                let guest = extent.guest.0 + done;
                let len = (end - done).min(slot - guest % LEAF) as u32;
                out.push(Part { host: host.0 + done, host_len: len, guest, guest_len: len, codec: None });
                done += u64::from(len);
            }
        }
    }
}

/// Decides how far apart host bytes may lie and still be fetched together.
///
/// A request saved is worth more than a few unused bytes, but a mapped import promises not to fetch more than 1 % (at
/// least 1 MiB) beside what it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gaps {
    allowance: u64,
}

/// Longest gap that is fetched along.
const MAX_GAP: u64 = 128 << 10;

impl Default for Gaps {
    fn default() -> Self {
        Self { allowance: 256 << 10 }
    }
}

impl Gaps {
    /// Accounts for `len` bytes that are needed; each brings 1/256 of itself as allowance.
    fn earn(&mut self, len: u64) {
        self.allowance += len / 256;
    }

    fn spend(&mut self, gap: u64) -> bool {
        let fits = gap <= MAX_GAP.min(self.allowance);
        if fits {
            self.allowance -= gap;
        }
        fits
    }
}

/// Packs parts, sorted by host offset, into units of at most `slot` bytes.
pub(crate) fn pack(parts: &[Part], slot: usize, gaps: &mut Gaps, out: &mut Vec<Unit>) {
    let mut current: Option<Unit> = None;
    for part in parts {
        let range = part.host_range();
        gaps.earn(u64::from(part.host_len));
        if let Some(unit) = &mut current {
            let end = unit.host.end.max(range.end);
            let gap = range.start.saturating_sub(unit.host.end);
            if end - unit.host.start <= slot as u64 && (gap == 0 || gaps.spend(gap)) {
                unit.host.end = end;
                unit.parts.push(*part);
                continue;
            }
        }
        out.extend(current.replace(Unit { host: range, parts: vec![*part] }));
    }
    out.extend(current);
}

/// Whether `next` can be fetched by the request that ends with `last`: it goes on there, begins a little later, or
/// shares its first bytes.
pub(crate) fn continues(last: &Unit, next: &Unit, gaps: &mut Gaps) -> bool {
    if next.host.start < last.host.end {
        return next.host.start >= last.host.start && next.host.end >= last.host.end;
    }
    let gap = next.host.start - last.host.end;
    gap == 0 || gaps.spend(gap)
}

#[cfg(test)]
mod tests {
    use formats::{GuestOffset, HostOffset};

    use super::*;

    const SLOT: usize = 512 << 10;

    fn encoded(host: u64, host_len: u32, cluster: u64) -> Part {
        Part { host, host_len, guest: cluster << 16, guest_len: 1 << 16, codec: Some(ClusterCodec::Deflate) }
    }

    #[test]
    fn plain_data_is_cut_where_leaves_begin() {
        let mut parts = Vec::new();
        let extent =
            Extent { guest: GuestOffset(LEAF + 512), len: 2 * SLOT as u64, place: Place::Data(HostOffset(3 << 20)) };
        parts_of(&extent, SLOT, &mut parts);
        assert_eq!(parts[0].guest_len as usize, SLOT - 512);
        assert!(parts[1..].iter().all(|part| part.guest % LEAF == 0));
        assert_eq!(parts.iter().map(|part| u64::from(part.guest_len)).sum::<u64>(), extent.len);
        assert!(parts.iter().all(|part| part.host - part.guest == (3 << 20) - LEAF - 512));
    }

    #[test]
    fn clusters_that_share_a_sector_stay_in_one_request() {
        let parts: Vec<_> = (0..20).map(|index| encoded(index * 40_000, 40_400, index)).collect();
        let (mut units, mut gaps) = (Vec::new(), Gaps::default());
        pack(&parts, SLOT, &mut gaps, &mut units);
        assert_eq!(units.len(), 2);
        assert!(units.iter().all(|unit| unit.host.end - unit.host.start <= SLOT as u64));
        assert!(units[1].host.start < units[0].host.end && continues(&units[0], &units[1], &mut gaps));
    }

    #[test]
    fn gaps_are_fetched_only_as_far_as_the_allowance_goes() {
        let parts: Vec<_> = (0..1000).map(|index| encoded(index * 100_000, 1000, index)).collect();
        let (mut units, mut gaps) = (Vec::new(), Gaps::default());
        pack(&parts, SLOT, &mut gaps, &mut units);
        let fetched: u64 = units.iter().map(|unit| unit.host.end - unit.host.start).sum();
        assert!(fetched <= 1000 * 1000 + (1 << 20), "{fetched}");
        assert_eq!(units.iter().map(|unit| unit.parts.len()).sum::<usize>(), 1000);
    }

    #[test]
    fn a_unit_inside_the_last_one_needs_a_request_of_its_own() {
        let unit = |host: Range<u64>| Unit { host, parts: Vec::new() };
        assert!(!continues(&unit(100..300), &unit(0..50), &mut Gaps::default()));
        assert!(!continues(&unit(100..300), &unit(150..200), &mut Gaps::default()));
    }
}
