//! Table entries to places: what an entry of the grain directory points at, and where grains lie.
//!
//! ```text
//! grain directory   0 nothing allocated            | sector of a grain table
//! grain table       0 not allocated | 1 zeros (if the header says so) | sector of a grain or of its marker
//! ```

use super::geometry::{ENTRY, Geometry, SECTOR};
use crate::field::le32;
use crate::offset::saturated;
use crate::{Error, Kind};

/// The entry of a table that means a grain of zeros where the header allows it (technical note, "zeroed-grain GTE").
const ZEROED: u32 = 1;

/// Entry `index` of a table.
pub(super) fn entry(table: &[u8], index: u64) -> u32 {
    le32(table, saturated(index * ENTRY))
}

/// Host offset of the grain table that entry `index` of the directory at `directory` names; `None` where nothing it
/// describes is allocated.
///
/// # Errors
/// It lies in the header or the descriptor.
pub(super) fn table(geometry: &Geometry, directory: u64, index: u64, value: u32) -> Result<Option<u64>, Error> {
    let host = u64::from(value) * SECTOR;
    if value == 0 || host >= geometry.reserved {
        return Ok((value != 0).then_some(host));
    }
    let what = format!("grain directory entry {index} is {value}: the grain table lies in the header or descriptor");
    Err(Error::new(Kind::Malformed, what).at(directory + index * ENTRY))
}

/// Whether a grain table's entry names a place in the file.
pub(super) const fn is_stored(geometry: &Geometry, value: u32) -> bool {
    value != 0 && !(value == ZEROED && geometry.has_zero_entries)
}

/// Host offset of the grain that the entry of the table at `table` names; `None` where it reads as zeros.
///
/// # Errors
/// It lies in the header or the descriptor.
pub(super) fn grain(geometry: &Geometry, table: u64, index: u64, value: u32) -> Result<Option<u64>, Error> {
    let host = u64::from(value) * SECTOR;
    if !is_stored(geometry, value) {
        return Ok(None);
    }
    if host < geometry.reserved {
        let what = format!("grain table entry {index} is {value}: the grain lies in the header or descriptor");
        return Err(Error::new(Kind::Malformed, what).at(table + index * ENTRY));
    }
    Ok(Some(host))
}
