//! What an image is and how much of it is data, from its tables alone.

use std::ops::Range;

use contract::Failure;
use formats::Place;
use formats::probe::Format;
use formats::qcow2::{Facts, Header};

use crate::failure::image_failure;
use crate::look::Look;
use crate::source::Source;
use crate::walker::{Step, Walker};

/// Facts about an image. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Size of the disk; `None` if only decoding everything would tell.
    pub virtual_size: Option<u64>,
    /// What holds data, if the tables could be read at random.
    pub allocation: Option<Allocation>,
    /// Facts of a qcow2 header.
    pub qcow2: Option<Facts>,
}

/// How much of a disk is data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocation {
    /// Disk bytes that are not known to be zero.
    pub guest: u64,
    /// Bytes of the file that hold them.
    pub host: u64,
    /// Of `guest`, bytes that are compressed inside the image.
    pub encoded: u64,
    /// Bytes of tables read to find out.
    pub tables: u64,
}

/// Inspects the image that `look` saw at the beginning of `source`. Reads tables, never data.
///
/// # Errors
/// The source cannot be read, or the image is refused.
pub fn inspect(source: &dyn Source, look: &Look) -> Result<Inspection, Failure> {
    let refused = |error| image_failure(&error, source.name());
    let qcow2 = match look.format {
        Format::Qcow2 => Some(Header::decode(look.image_head()).map_err(refused)?.facts().clone()),
        _ => None,
    };
    match source.len().filter(|_| source.has_ranges() && look.compression.is_none()) {
        Some(len) => {
            let mut walker = Walker::new(look.map(source, len)?.map);
            let virtual_size = Some(walker.virtual_size());
            let allocation = Some(walk(source, &mut walker)?);
            Ok(Inspection { virtual_size, allocation, qcow2 })
        }
        None => {
            let virtual_size = look.stream(source)?.virtual_size();
            Ok(Inspection { virtual_size, allocation: None, qcow2 })
        }
    }
}

fn walk(source: &dyn Source, walker: &mut Walker) -> Result<Allocation, Failure> {
    let mut allocation = Allocation::default();
    let mut wants: Vec<Range<u64>> = Vec::new();
    loop {
        let step = walker.next(&mut wants).map_err(|error| image_failure(&error, source.name()))?;
        for range in wants.drain(..) {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            let read = source.open(range.clone())?.fill(&mut bytes)?;
            allocation.tables += read as u64;
            walker.feed(range.start, &bytes[..read]).map_err(|error| image_failure(&error, source.name()))?;
        }
        match step {
            Step::Window(window) => {
                for extent in &window.extents {
                    allocation.guest += extent.len;
                    match extent.place {
                        Place::Zero => {}
                        Place::Data(_) => allocation.host += extent.len,
                        Place::Encoded { len, .. } => {
                            allocation.host += u64::from(len);
                            allocation.encoded += extent.len;
                        }
                    }
                }
            }
            Step::Waiting => {}
            Step::End => return Ok(allocation),
        }
    }
}
