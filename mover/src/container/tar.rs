//! The members of a tar file: ustar, pax and GNU headers, names of any length and sizes of any size.
//!
//! ```text
//! [x pax header] [L long name]  header 512  data, padded to 512   ...   zeros 512  zeros 512
//!        \______________\__________/  kept for the next header only
//! ```
//!
//! The library reads the fields of a header. It does not walk: it takes as much memory as an extended header states and
//! does not read a size above 8 GiB where pax puts it.

use contract::{Code, Failure};
use tar::{EntryType, Header, PaxExtensions};

use super::input::Input;
use super::members::{Entry, MAX_MEMBERS, MAX_NAME, Members, shown};

/// Bytes of a header, and what data is padded to.
const BLOCK: usize = 512;
/// Bytes of an extended header; GNU tar writes a few hundred.
const MAX_EXTENDED: u64 = 64 << 10;
/// Where a header's sum stands.
const SUM: std::ops::Range<usize> = 148..156;

/// Whether a file begins with a header of a tar file, of the oldest kind too, which has no magic.
pub(super) fn begins(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| !is_zero(block) && has_its_sum(block))
}

/// A tar file that is walked through.
pub(super) struct Tar {
    input: Input,
    /// Bytes of the member's data that were not read yet.
    left: u64,
    /// Bytes behind them that fill a block.
    padding: u64,
    headers: u64,
    is_over: bool,
}

/// What extended headers said about the next header.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Tar {
    pub(super) fn new(input: Input) -> Self {
        Self { input, left: 0, padding: 0, headers: 0, is_over: false }
    }

    /// Where the member's data is in the file.
    pub(super) fn offset(&self) -> u64 {
        self.input.position
    }

    /// The next header; `None` where a block of zeros ends the archive.
    fn header(&mut self) -> Result<Option<Header>, Failure> {
        let block = self.input.peek(BLOCK)?;
        let Some(header) = block.first_chunk::<BLOCK>() else {
            let what = "the archive ends without its end mark";
            return Err(self.input.failure(Code::ImageTruncated, what));
        };
        if is_zero(header) {
            return Ok(None);
        }
        if !has_its_sum(header) {
            return Err(self.malformed("no tar header is here: its sum is wrong"));
        }
        let header = Header::from_byte_slice(header).clone();
        self.headers += 1;
        if self.headers > MAX_MEMBERS {
            let what = format!("the archive has more than {MAX_MEMBERS} headers");
            return Err(self.input.failure(Code::ImageTooLarge, what));
        }
        Ok(Some(header))
    }

    /// Takes the header that is at hand, whose data has `size` bytes.
    fn enter(&mut self, size: u64) {
        self.input.consume(BLOCK);
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// The data of an extended header, which only describes the next header.
    fn extended(&mut self, header: &Header) -> Result<Vec<u8>, Failure> {
        let size = self.size_in(header)?;
        if size > MAX_EXTENDED {
            let what = format!("an extended header has {size} bytes, at most {MAX_EXTENDED} are read");
            return Err(self.malformed(what));
        }
        self.enter(size);
        let bytes = self.input.peek(size as usize)?.to_vec();
        if bytes.len() < size as usize {
            return Err(self.input.truncated());
        }
        self.leave()?;
        Ok(bytes)
    }

    /// Passes over what is left of the member.
    fn leave(&mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.left).saturating_add(std::mem::take(&mut self.padding));
        self.input.skip(rest)
    }

    /// The size that a header states.
    fn size_in(&self, header: &Header) -> Result<u64, Failure> {
        // A size in binary has a flag and 95 bits, of which the library looks at the last 64.
        let field = &header.as_old().size;
        let is_huge = field[0] & 0x80 != 0 && field[..4] != [0x80, 0, 0, 0];
        match header.entry_size() {
            Ok(size) if !is_huge => Ok(size),
            _ => Err(self.malformed("the size in the header cannot be read")),
        }
    }

    fn records(&self, records: &[u8], said: &mut Said) -> Result<(), Failure> {
        for record in PaxExtensions::new(records) {
            let record =
                record.map_err(|error| self.malformed(format!("an extended header cannot be read: {error}")))?;
            match record.key_bytes() {
                b"path" => said.name = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|text| text.parse().ok());
                    said.size =
                        Some(size.ok_or_else(|| self.malformed("the size in an extended header is no number"))?);
                }
                key => said.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header, said: Said) -> Result<Entry, Failure> {
        let kind = header.entry_type();
        let name = said.name.unwrap_or_else(|| header.path_bytes().into_owned());
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(self.malformed(format!("a name has {} bytes, from 1 to {MAX_NAME} are read", name.len())));
        }
        let is_directory = kind == EntryType::Directory || name.ends_with(b"/");
        let name = shown(&name);
        if said.is_sparse || kind == EntryType::GNUSparse {
            let what = format!("the member {name} is stored sparse, which is not read");
            return Err(self
                .input
                .failure(Code::ImageUnsupported, what)
                .remedy("make the archive without --sparse; its compression takes care of zeros"));
        }
        // Links and devices have no data, whatever their size says.
        let has_data = !matches!(
            kind,
            EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo
        );
        let size = if !has_data { 0 } else { said.size.map_or_else(|| self.size_in(header), Ok)? };
        self.enter(size);
        let is_file = !is_directory && matches!(kind, EntryType::Regular | EntryType::Continuous);
        Ok(Entry { name, size: Some(size), is_file, is_deflated: false, refusal: None })
    }

    fn malformed(&self, what: impl Into<String>) -> Failure {
        self.input.failure(Code::ImageMalformed, what)
    }
}

impl Members for Tar {
    fn next(&mut self) -> Result<Option<Entry>, Failure> {
        self.leave()?;
        let mut said = Said::default();
        while !self.is_over {
            let Some(header) = self.header()? else { break };
            match header.entry_type() {
                EntryType::GNULongName => {
                    let mut name = self.extended(&header)?;
                    name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
                    said.name = Some(name);
                }
                EntryType::GNULongLink => drop(self.extended(&header)?),
                EntryType::XHeader => {
                    let records = self.extended(&header)?;
                    self.records(&records, &mut said)?;
                }
                EntryType::XGlobalHeader => {
                    let records = self.extended(&header)?;
                    let mut global = Said::default();
                    self.records(&records, &mut global)?;
                    if global.name.is_some() || global.size.is_some() || global.is_sparse {
                        return Err(self.malformed("a global header sets the name or the size of all members"));
                    }
                }
                other if other.as_byte() == b'M' => {
                    let what = "the archive is a further volume of another";
                    return Err(self.input.failure(Code::ImageUnsupported, what).remedy("join the volumes first"));
                }
                _ => return self.entry(&header, said).map(Some),
            }
        }
        self.is_over = true;
        Ok(None)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let most = self.left.min(buf.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut buf[..most])?;
        if read == 0 {
            return Err(self.input.truncated());
        }
        self.left -= read as u64;
        Ok(read)
    }

    fn input(&mut self) -> &mut Input {
        &mut self.input
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// Whether a block states the sum of its own bytes, with the field of the sum as spaces.
fn has_its_sum(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<BLOCK>() else { return false };
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let own = sum(block) - sum(&block[SUM]) + SUM.len() as u32 * u32::from(b' ');
    Header::from_byte_slice(block).cksum().is_ok_and(|stated| stated == own)
}
