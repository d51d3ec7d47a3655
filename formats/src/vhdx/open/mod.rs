//! From the first bytes to the map, reading what each step names for the next.
//!
//! ```text
//! Head --headers and region tables--> Log --its bytes, if one is pending--> Table --metadata--> Items --> Map
//! ```

use std::ops::Range;

use super::geometry::{Facts, Geometry};
use super::header::{self, Header};
use super::log;
use super::map::Map;
use super::metadata::{self, Table};
use super::overlay::Overlay;
use super::region::{self, Regions};
use crate::offset::saturated;
use crate::tables::{PART, Tables, joined};
use crate::{Error, HostOffset, Kind, Opening};

/// A VHDX image on its way to a map.
pub struct Opener {
    file_len: u64,
    read: Tables,
    overlay: Option<Overlay>,
    facts: Option<Facts>,
    step: Step,
}

/// What is known, and so what is read next.
enum Step {
    Head,
    Log(Header),
    Table(Regions),
    Items(Regions, Table),
    Done,
}

impl Opener {
    /// Opens a file of `file_len` bytes that begins with `head`.
    ///
    /// # Errors
    /// It does not begin as a VHDX file does.
    pub fn new(head: &[u8], file_len: u64) -> Result<Self, Error> {
        if !head.starts_with(header::IDENTIFIER) {
            return Err(Error::new(Kind::Malformed, "the file does not begin with the vhdx identifier").at(0));
        }
        Ok(Self { file_len, read: Tables::default(), overlay: None, facts: None, step: Step::Head })
    }

    /// What the metadata say, once the map is ready.
    #[must_use]
    pub const fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Keeps `host`, in parts; those that are missing.
    fn missing(&mut self, name: &str, host: Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        if host.end > self.file_len {
            let what = format!("{name} reaches to offset {:#x}, the file ends at {:#x}", host.end, self.file_len);
            return Err(Error::new(Kind::Truncated, what).at(host.start));
        }
        let mut missing = Vec::new();
        for start in host.clone().step_by(saturated(PART)) {
            let part = start..host.end.min(start + PART);
            if !self.read.want(part.start, part.end - part.start, u64::MAX) {
                missing.push(part);
            }
        }
        Ok(missing)
    }

    /// The bytes of `host`, of which nothing is missing, with what the log wrote over them.
    fn bytes(&self, host: &Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(saturated(host.end - host.start));
        for start in host.clone().step_by(saturated(PART)) {
            bytes.extend(self.read.get(start).expect("bytes are only taken once no part is missing"));
        }
        if let Some(overlay) = &self.overlay {
            overlay.patch(host.start, &mut bytes);
        }
        bytes
    }

    /// Host ranges that the step needs and that are missing.
    fn wants(&mut self) -> Result<Vec<Range<u64>>, Error> {
        match &self.step {
            Step::Head => {
                let headers = header::PLACES.map(|at| ("the header", at..at + header::LENGTH));
                let tables = region::PLACES.map(|at| ("the region table", at..at + region::LENGTH));
                self.all_missing(headers.into_iter().chain(tables))
            }
            Step::Log(header) => {
                let log = header.log.clone();
                self.missing("the log", log)
            }
            Step::Table(regions) => {
                let start = regions.metadata.start;
                self.missing("the metadata table", start..start + metadata::TABLE)
            }
            Step::Items(_, table) => {
                let items: Vec<_> = table.wanted().map(|place| ("a metadata item", place.clone())).collect();
                self.all_missing(items.into_iter())
            }
            Step::Done => Ok(Vec::new()),
        }
    }

    fn all_missing(
        &mut self,
        ranges: impl Iterator<Item = (&'static str, Range<u64>)>,
    ) -> Result<Vec<Range<u64>>, Error> {
        let mut missing = Vec::new();
        for (name, host) in ranges {
            missing.extend(self.missing(name, host)?);
        }
        Ok(missing)
    }

    /// Goes on from a step of which nothing is missing.
    fn advance(&mut self) -> Result<Option<Map>, Error> {
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Head => {
                let [first, second] = header::PLACES.map(|at| self.bytes(&(at..at + header::LENGTH)));
                let header = Header::current([&first, &second])?;
                self.behind_log(header)?
            }
            Step::Log(header) => {
                let bytes = self.bytes(&header.log);
                let guid = header.log_guid.expect("only a log with an identifier is read");
                self.overlay = Some(log::replay(bytes, header.log.start, guid, self.file_len)?);
                Step::Table(self.regions(&header)?)
            }
            Step::Table(regions) => {
                let start = regions.metadata.start;
                let table = self.bytes(&(start..start + metadata::TABLE));
                let table = Table::decode(&table, &regions.metadata)?;
                Step::Items(regions, table)
            }
            Step::Items(regions, table) => {
                let facts = table.facts(self.overlay.is_some(), |place| self.bytes(place))?;
                return self.map(regions, facts).map(Some);
            }
            Step::Done => return Err(Error::new(Kind::Malformed, "the image has been opened already")),
        };
        Ok(None)
    }

    fn behind_log(&self, header: Header) -> Result<Step, Error> {
        if header.log_guid.is_none() {
            return Ok(Step::Table(self.regions(&header)?));
        }
        let len = header.log.end - header.log.start;
        if len == 0 {
            let what = "the headers announce a log, and give it no room";
            return Err(Error::new(Kind::Malformed, what).at(header.log.start));
        }
        if len > log::MAX_LENGTH {
            let what = format!(
                "a log of {len} bytes is pending, the limit is {}; open the image once with its own software",
                log::MAX_LENGTH
            );
            return Err(Error::new(Kind::Unsupported, what).at(header.log.start));
        }
        Ok(Step::Log(header))
    }

    fn regions(&self, header: &Header) -> Result<Regions, Error> {
        let [first, second] = region::PLACES.map(|at| self.bytes(&(at..at + region::LENGTH)));
        let regions = Regions::decode([&first, &second], &header.log)?;
        if regions.metadata.is_empty() {
            let what = "the metadata region is empty";
            return Err(Error::new(Kind::Malformed, what).at(regions.metadata.start));
        }
        Ok(regions)
    }

    fn map(&mut self, regions: Regions, facts: Facts) -> Result<Map, Error> {
        let geometry = Geometry::new(&facts, regions.bat.clone());
        let (needed, len) = (geometry.bat_len(), regions.bat.end - regions.bat.start);
        if needed > len {
            let what = format!("the BAT has {len} bytes, a disk of {} bytes needs {needed}", facts.virtual_size);
            return Err(Error::new(Kind::Malformed, what).at(regions.bat.start));
        }
        let mut overlay = self.overlay.take().unwrap_or_default();
        overlay.keep(&(geometry.bat.start..geometry.bat.start + needed));
        self.facts = Some(facts);
        self.read = Tables::default();
        Ok(Map::new(geometry, self.file_len, regions, overlay))
    }
}

impl crate::Open for Opener {
    fn step(&mut self) -> Result<Opening, Error> {
        loop {
            let missing = self.wants()?;
            if !missing.is_empty() {
                return Ok(Opening::Wants(joined(missing)));
            }
            if let Some(map) = self.advance()? {
                return Ok(Opening::Ready(Box::new(map)));
            }
        }
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        self.read.feed(host.0, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
