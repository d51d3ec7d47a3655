//! Forward decoder of an image whose map has to be opened first, by what lies in front of its tables.

use std::ops::Range;

use super::Stream;
use super::kept::Kept;
use crate::offset::saturated;
use crate::tables::PART;
use crate::{Error, Extent, HostOffset, Kind, Open, Opening, Piece};

/// Forward decoder over an image on its way to a map.
pub struct OpenedStream {
    open: Box<dyn Open>,
    /// What opening still wants, in ascending order.
    wants: Vec<Range<u64>>,
    /// Host offset of the first byte that is not consumed.
    position: u64,
    /// What is consumed.
    kept: Kept,
    /// Whether the caller keeps what flows past.
    keeps: bool,
    stream: Option<Stream>,
}

impl OpenedStream {
    /// A decoder for the image behind `open`, whose first byte is pushed first. Until there is a map a few MiB are kept,
    /// since a table may stand in front of what names it.
    #[must_use]
    pub fn new(open: Box<dyn Open>) -> Self {
        Self { open, wants: Vec::new(), position: 0, kept: Kept::default(), keeps: false, stream: None }
    }

    /// Feeds what is wanted and in sight; the map's decoder, or the offset up to which no byte is needed any more.
    fn advance(&mut self, bytes: &[u8], end: u64) -> Result<Option<u64>, Error> {
        loop {
            if self.wants.is_empty() {
                match self.open.step()? {
                    Opening::Wants(wants) => self.wants = wants,
                    Opening::Ready(map) => {
                        let stream =
                            self.stream.insert(Stream::after(map, self.position, std::mem::take(&mut self.kept)));
                        if self.keeps {
                            crate::Stream::keep(stream);
                        }
                        return Ok(None);
                    }
                }
            }
            while let Some(want) = self.wants.first().cloned() {
                if let Some(bytes) = self.kept.get(&want) {
                    self.open.feed(HostOffset(want.start), &bytes)?;
                    self.wants.remove(0);
                    continue;
                }
                if want.start < self.position {
                    let what = format!("a table at offset {:#x} was named only after it had flowed past", want.start);
                    return Err(Error::new(Kind::Unplaced, what).at(want.start));
                }
                if want.end > end {
                    return Ok(Some(want.start.min(end)));
                }
                let index = |host: u64| saturated(host - self.position);
                self.open.feed(HostOffset(want.start), &bytes[index(want.start)..index(want.end)])?;
                self.wants.remove(0);
            }
        }
    }
}

impl crate::Stream for OpenedStream {
    fn virtual_size(&self) -> Option<u64> {
        self.stream.as_ref().and_then(crate::Stream::virtual_size)
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn hold_back(&self) -> usize {
        saturated(PART)
    }

    fn keep(&mut self) -> bool {
        self.keeps = true;
        true
    }

    fn late(&mut self) -> Result<Option<Range<u64>>, Error> {
        self.stream.as_mut().map_or(Ok(None), crate::Stream::late)
    }

    fn feed_late(&mut self, bytes: &[u8], out: &mut Vec<Extent>) -> Result<(), Error> {
        self.stream.as_mut().map_or(Ok(()), |stream| stream.feed_late(bytes, out))
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        if let Some(stream) = &mut self.stream {
            return stream.push(bytes, last, out);
        }
        let end = self.position.saturating_add(bytes.len() as u64);
        let Some(needed) = self.advance(bytes, end)? else { return self.push(bytes, last, out) };
        if last {
            let what = format!("a table goes on at offset {needed:#x}, the file ends at {end:#x}");
            return Err(Error::new(Kind::Truncated, what).at(needed));
        }
        let used = saturated(needed - self.position);
        self.kept.pass(&bytes[..used]);
        self.position = needed;
        Ok(used)
    }
}
