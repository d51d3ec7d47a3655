//! An image on its way to a map: the first bytes, then the header they place, or else the last bytes.
//!
//! ```text
//! first 512 bytes --"conectix"--> header at data_offset --> Map
//!                 \--otherwise--> last 512 bytes ---------> FixedMap
//! ```

use std::ops::Range;

use super::footer::LENGTH;
use super::header::Header;
use super::{Fixed, Map, begins_dynamic};
use crate::tables::Tables;
use crate::{Error, HostOffset, Kind, Opening};

/// Opens an image of either kind in a file of known length.
#[derive(Clone, Debug)]
pub struct Open {
    file_len: u64,
    head: Tables,
    /// The header or the last bytes.
    rest: Tables,
}

impl Open {
    /// Opens an image of `file_len` bytes.
    #[must_use]
    pub fn new(file_len: u64) -> Self {
        Self { file_len, head: Tables::default(), rest: Tables::default() }
    }

    fn require(&self, range: &Range<u64>, name: &str) -> Result<(), Error> {
        if range.end <= self.file_len {
            return Ok(());
        }
        let what = format!("the {name} reaches to offset {:#x}, the file ends at {:#x}", range.end, self.file_len);
        Err(Error::new(Kind::Truncated, what).at(range.start))
    }
}

/// The bytes of `range`, or `range` itself where they are missing.
fn bytes<'a>(parts: &'a mut Tables, range: &Range<u64>) -> Result<&'a [u8], Opening> {
    parts.want(range.start, range.end - range.start, u64::MAX);
    let wants = || Opening::Wants(vec![range.clone()]);
    parts.get(range.start).ok_or_else(wants)
}

impl crate::Open for Open {
    fn step(&mut self) -> Result<Opening, Error> {
        let first = 0..LENGTH;
        self.require(&first, "footer")?;
        let head = match bytes(&mut self.head, &first) {
            Ok(head) => head.to_vec(),
            Err(wants) => return Ok(wants),
        };
        if begins_dynamic(&head) {
            let place = Header::place(&head)?;
            self.require(&place, "header")?;
            return Ok(match bytes(&mut self.rest, &place) {
                Ok(header) => {
                    Opening::Ready(Box::new(Map::new(&Header::decode_at(&head, header)?, Some(self.file_len))))
                }
                Err(wants) => wants,
            });
        }
        Ok(match bytes(&mut self.rest, &(self.file_len - LENGTH..self.file_len)) {
            Ok(tail) => Opening::Ready(Box::new(Fixed::decode(tail, self.file_len)?.map())),
            Err(wants) => wants,
        })
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        self.head.feed(host.0, bytes);
        self.rest.feed(host.0, bytes);
        Ok(())
    }
}
