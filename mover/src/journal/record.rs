//! One record: 4 KiB, self-checking, the same on a file's journal and on a device.
//!
//! ```text
//!    0  magic "GANTRYJ1"        88  phase, attempt (4 + 4)    124  state, then windows:
//!    8  version, 0              96  watermark                        index (8), bitmap (128)
//!   16  sequence               104  checkpoint position      4064  BLAKE3 of all before
//!   24  volume (32)            112  checkpoint host offset
//!   56  plan (32)              120  state length, windows (2 + 2)
//! ```
//!
//! All numbers little-endian. A version that is not known is not believed.

use std::collections::BTreeMap;

use super::Identity;
use crate::bits::Bits;
use crate::tracker::Done;

/// Bytes of a record.
pub const RECORD: usize = 4096;

const MAGIC: &[u8; 8] = b"GANTRYJ1";
const VERSION: u32 = 1;
const BODY: usize = 124;
const DIGEST: usize = RECORD - 32;
const WINDOW: usize = 8 + Bits::BYTES;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The target is being sized and zeroed; nothing on it counts.
    Preparing,
    /// The target reads as zeros wherever nothing is recorded as done.
    Moving,
    /// All data is durable; withheld bytes are being written.
    Finishing,
}

/// Where a source that must be read in order can be taken up, with the state of what was computed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Position in plan order; everything below is done.
    pub position: u64,
    /// Offset in the source's file to read on from.
    pub host: u64,
    /// State of checksums, for whoever made the checkpoint.
    pub state: Vec<u8>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it must carry to be believed.
    pub identity: Identity,
    /// The higher one of two counts.
    pub sequence: u64,
    /// How far the import is.
    pub phase: Phase,
    /// Number of the attempt that wrote it, from 1.
    pub attempt: u32,
    /// What is on the target.
    pub done: Done,
    /// Where to take up the source.
    pub checkpoint: Checkpoint,
}

/// Whether `block` looks like a record of any version, believed or not.
#[must_use]
pub fn is_record(block: &[u8]) -> bool {
    block.starts_with(MAGIC)
}

impl Record {
    /// The stored form. Bitmaps that find no room are left out, the emptiest first: their windows are fetched again.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD] {
        let state = &self.checkpoint.state;
        assert!(BODY + state.len() <= DIGEST, "a checkpoint's state fits a record");
        let mut windows: Vec<_> = self.done.windows.iter().collect();
        windows.sort_by_key(|(_, bits)| std::cmp::Reverse(bits.count()));
        windows.truncate((DIGEST - BODY - state.len()) / WINDOW);

        let mut block = [0; RECORD];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(16, &self.sequence.to_le_bytes());
        put(24, &self.identity.volume);
        put(56, &self.identity.plan);
        put(88, &[self.phase as u8]);
        put(92, &self.attempt.to_le_bytes());
        put(96, &self.done.watermark.to_le_bytes());
        put(104, &self.checkpoint.position.to_le_bytes());
        put(112, &self.checkpoint.host.to_le_bytes());
        put(120, &(state.len() as u16).to_le_bytes());
        put(122, &(windows.len() as u16).to_le_bytes());
        put(BODY, state);
        for (slot, (index, bits)) in windows.into_iter().enumerate() {
            let at = BODY + state.len() + slot * WINDOW;
            put(at, &index.to_le_bytes());
            put(at + 8, &bits.to_bytes());
        }
        let digest = blake3::hash(&block[..DIGEST]);
        block[DIGEST..].copy_from_slice(digest.as_bytes());
        block
    }

    /// Reads the stored form; `None` if it is not a whole record of this version.
    #[must_use]
    pub fn decode(block: &[u8; RECORD]) -> Option<Self> {
        let digest = blake3::hash(&block[..DIGEST]);
        if !is_record(block) || number::<4>(block, 8)? != u64::from(VERSION) || digest.as_bytes()[..] != block[DIGEST..]
        {
            return None;
        }
        let phase = match block[88] {
            0 => Phase::Preparing,
            1 => Phase::Moving,
            2 => Phase::Finishing,
            _ => return None,
        };
        let (state_len, count) = (number::<2>(block, 120)? as usize, number::<2>(block, 122)? as usize);
        let state = block[..DIGEST].get(BODY..BODY + state_len)?.to_vec();
        let mut windows = BTreeMap::new();
        for slot in 0..count {
            let at = BODY + state_len + slot * WINDOW;
            let bits: &[u8; Bits::BYTES] = block[..DIGEST].get(at + 8..at + WINDOW)?.try_into().ok()?;
            windows.insert(number::<8>(block, at)?, Bits::from_bytes(bits));
        }
        Some(Self {
            identity: Identity { volume: block[24..56].try_into().ok()?, plan: block[56..88].try_into().ok()? },
            sequence: number::<8>(block, 16)?,
            phase,
            attempt: number::<4>(block, 92)? as u32,
            done: Done { watermark: number::<8>(block, 96)?, windows },
            checkpoint: Checkpoint { position: number::<8>(block, 104)?, host: number::<8>(block, 112)?, state },
        })
    }
}

/// The little-endian number of `N` bytes at `at`.
fn number<const N: usize>(block: &[u8], at: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(block.get(at..at + N)?);
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(windows: u64) -> Record {
        let bits = |index: u64| {
            let mut bits = Bits::default();
            bits.insert_range(0..index as usize + 1);
            bits
        };
        Record {
            identity: Identity { volume: [1; 32], plan: [2; 32] },
            sequence: 7,
            phase: Phase::Moving,
            attempt: 3,
            done: Done { watermark: 5 << 26, windows: (0..windows).map(|index| (index, bits(index))).collect() },
            checkpoint: Checkpoint { position: 9, host: 11, state: vec![3; 300] },
        }
    }

    #[test]
    fn what_is_stored_is_read_back() {
        assert_eq!(Record::decode(&record(20).encode()), Some(record(20)));
    }

    #[test]
    fn bitmaps_without_room_are_left_out_and_the_fullest_stay() {
        let read = Record::decode(&record(100).encode()).unwrap();
        assert_eq!(read.done.watermark, 5 << 26);
        assert_eq!(read.done.windows.len(), (DIGEST - BODY - 300) / WINDOW);
        assert!(read.done.windows.contains_key(&99) && !read.done.windows.contains_key(&0));
    }

    #[test]
    fn a_record_with_any_byte_changed_is_not_believed() {
        let block = record(3).encode();
        for at in 0..RECORD {
            let mut changed = block;
            changed[at] ^= 0x40;
            assert_eq!(Record::decode(&changed), None, "byte {at}");
        }
    }
}
