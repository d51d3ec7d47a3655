//! A byte patcher for VHDX files: fields by their place in the specification, checksums anew, and a log in front of what
//! it is to do. It shares nothing with the code under test.

/// Where structures are in the files that qemu-img makes.
pub(crate) const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
pub(crate) const REGIONS: [usize; 2] = [192 << 10, 256 << 10];
pub(crate) const SECTOR: usize = 4096;

pub(crate) const GUID: [u8; 16] = *b"an id of the log";

pub(crate) fn put16(file: &mut [u8], at: usize, value: u16) {
    file[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put32(file: &mut [u8], at: usize, value: u32) {
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put64(file: &mut [u8], at: usize, value: u64) {
    file[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn get64(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn get32(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
}

/// CRC-32C bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

/// Writes the checksum of the structure of `len` bytes at `at`.
pub(crate) fn sign(file: &mut [u8], at: usize, len: usize) {
    put32(file, at + 4, 0);
    let sum = crc(&file[at..at + len]);
    put32(file, at + 4, sum);
}

/// Writes the checksums of headers and region tables.
pub(crate) fn sign_all(file: &mut [u8]) {
    HEADERS.into_iter().for_each(|at| sign(file, at, SECTOR));
    REGIONS.into_iter().for_each(|at| sign(file, at, 64 << 10));
}

/// Where a region is: `number` 0 is the BAT, 1 the metadata, as qemu-img lists them.
pub(crate) fn region(file: &[u8], number: usize) -> (usize, usize) {
    let entry = REGIONS[0] + 16 + number * 32;
    (get64(file, entry + 16) as usize, get32(file, entry + 24) as usize)
}

pub(crate) fn bat(file: &[u8]) -> usize {
    region(file, 0).0
}

pub(crate) fn metadata(file: &[u8]) -> usize {
    region(file, 1).0
}

/// Where the metadata item `number` is, in the order in which qemu-img lists them.
pub(crate) fn item(file: &[u8], number: usize) -> usize {
    metadata(file) + get32(file, metadata(file) + 32 + number * 32 + 16) as usize
}

pub(crate) const FILE_PARAMETERS: usize = 0;
pub(crate) const DISK_SIZE: usize = 1;
pub(crate) const LOGICAL_SECTOR: usize = 3;

/// Sets the log's identifier, version and size in both headers.
pub(crate) fn announce(file: &mut [u8], guid: [u8; 16]) {
    for header in HEADERS {
        file[header + 48..header + 64].copy_from_slice(&guid);
    }
    sign_all(file);
}

/// What one descriptor is to do.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Data(u64, Box<[u8; SECTOR]>),
    Zero(u64, u64),
}

/// An entry of the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// Sector of the ring at which it begins, and at which its sequence does.
    pub(crate) sector: usize,
    pub(crate) tail: usize,
    pub(crate) flushed: u64,
    pub(crate) last: u64,
    pub(crate) writes: Vec<Write>,
}

impl Entry {
    /// An entry that is a sequence of its own, for a file of `len` bytes.
    pub(crate) fn alone(len: usize, writes: Vec<Write>) -> Self {
        Self { sequence: 7, sector: 0, tail: 0, flushed: len as u64, last: len as u64, writes }
    }

    /// Sectors it takes.
    pub(crate) fn sectors(&self) -> usize {
        let data = self.writes.iter().filter(|write| matches!(write, Write::Data(..))).count();
        (64 + 32 * self.writes.len()).div_ceil(SECTOR) + data
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; (64 + 32 * self.writes.len()).next_multiple_of(SECTOR)];
        out[..4].copy_from_slice(b"loge");
        put32(&mut out, 8, (self.sectors() * SECTOR) as u32);
        put32(&mut out, 12, (self.tail * SECTOR) as u32);
        put64(&mut out, 16, self.sequence);
        put32(&mut out, 24, self.writes.len() as u32);
        out[32..48].copy_from_slice(&GUID);
        put64(&mut out, 48, self.flushed);
        put64(&mut out, 56, self.last);
        for (number, write) in self.writes.iter().enumerate() {
            let at = 64 + number * 32;
            put64(&mut out, at + 24, self.sequence);
            match write {
                Write::Zero(host, len) => {
                    out[at..at + 4].copy_from_slice(b"zero");
                    put64(&mut out, at + 8, *len);
                    put64(&mut out, at + 16, *host);
                }
                Write::Data(host, bytes) => {
                    out[at..at + 4].copy_from_slice(b"desc");
                    out[at + 4..at + 8].copy_from_slice(&bytes[SECTOR - 4..]);
                    out[at + 8..at + 16].copy_from_slice(&bytes[..8]);
                    put64(&mut out, at + 16, *host);
                    let start = out.len();
                    out.extend(&bytes[..]);
                    out[start..start + 4].copy_from_slice(b"data");
                    put32(&mut out, start + 4, (self.sequence >> 32) as u32);
                    put32(&mut out, start + SECTOR - 4, self.sequence as u32);
                }
            }
        }
        let len = out.len();
        sign(&mut out, 0, len);
        out
    }
}

/// Where the log is, and its bytes.
pub(crate) fn log(file: &[u8]) -> (usize, usize) {
    (get64(file, HEADERS[0] + 72) as usize, get32(file, HEADERS[0] + 68) as usize)
}

/// Puts entries into the ring of an image's log, and announces it.
pub(crate) fn put_log(file: &mut [u8], entries: &[Entry]) {
    announce(file, GUID);
    let (start, len) = log(file);
    for entry in entries {
        for (number, sector) in entry.bytes().chunks_exact(SECTOR).enumerate() {
            let at = start + (entry.sector + number) * SECTOR % len;
            file[at..at + SECTOR].copy_from_slice(sector);
        }
    }
}

/// The sector at `at`.
pub(crate) fn sector(file: &[u8], at: usize) -> Box<[u8; SECTOR]> {
    Box::new(file[at..at + SECTOR].try_into().expect("a whole sector"))
}
