//! Archives made by tar, zip and python, read at random and as they flow; then the same, damaged and hostile.

mod hostile;
mod packages;
mod read;

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::source::Reader;

/// A file in memory that can be read at random, or only once.
#[derive(Clone)]
struct Memory {
    bytes: Arc<Vec<u8>>,
    has_ranges: bool,
    fetched: Arc<AtomicU64>,
}

impl Memory {
    fn new(bytes: &[u8], has_ranges: bool) -> Self {
        Self { bytes: Arc::new(bytes.to_vec()), has_ranges, fetched: Arc::default() }
    }
}

struct MemoryReader(Memory, Range<u64>);

impl Reader for MemoryReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let len = buf.len().min((self.1.end - self.1.start) as usize);
        buf[..len].copy_from_slice(&self.0.bytes[self.1.start as usize..][..len]);
        self.1.start += len as u64;
        self.0.fetched.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

impl Source for Memory {
    fn name(&self) -> &str {
        "memory"
    }
    fn len(&self) -> Option<u64> {
        self.has_ranges.then_some(self.bytes.len() as u64)
    }
    fn has_ranges(&self) -> bool {
        self.has_ranges
    }
    fn identity(&self) -> Option<String> {
        Some("the same".into())
    }
    fn parallelism(&self) -> usize {
        1
    }
    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let end = range.end.min(self.bytes.len() as u64);
        assert!(range.start <= end, "nothing is asked for behind the end: {range:?}");
        assert!(self.has_ranges || range.start == 0);
        Ok(Box::new(MemoryReader(self.clone(), range.start..end)))
    }
}

const ANY: Wanted<'_> = Wanted { disk: None, format: None, decompress: true, algorithm: None };

/// The disk's name and bytes, and the digest that is to be verified.
fn read(source: Memory, wanted: &Wanted<'_>) -> Result<(String, Vec<u8>, Option<Checksum>), Failure> {
    let image = enter(Box::new(source), wanted)?.one()?;
    let mut reader = image.source.open(0..image.source.len().unwrap_or(u64::MAX))?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 100_000]);
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
    Ok((image.source.member().unwrap_or_default().to_owned(), bytes, image.checksum))
}

/// The disk of an archive, read both ways, which must come to the same.
fn disk(archive: &[u8], wanted: &Wanted<'_>) -> (String, Vec<u8>) {
    let [at_random, flowing] = [true, false].map(|has_ranges| {
        let (name, bytes, _) = read(Memory::new(archive, has_ranges), wanted).unwrap_or_else(|f| panic!("{f}"));
        (name, bytes)
    });
    assert!(at_random == flowing);
    at_random
}

/// The refusals of an archive, read at random and as it flows.
fn refusals(archive: &[u8], wanted: &Wanted<'_>) -> [Failure; 2] {
    [true, false].map(|has_ranges| read(Memory::new(archive, has_ranges), wanted).expect_err("it is refused"))
}

/// One refusal with the same code both ways.
fn refused(archive: &[u8], wanted: &Wanted<'_>) -> (Code, String) {
    let [at_random, flowing] = refusals(archive, wanted);
    assert_eq!(at_random.code(), flowing.code(), "{at_random} | {flowing}");
    (at_random.code(), format!("{at_random} | {flowing}"))
}

/// Runs `program` in `folder` and returns what it prints.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What a Python program writes by `out(bytes)`; `z(...)` makes a zip file in memory, `flow()` one that is not seekable.
fn python(folder: &Path, program: &str) -> Vec<u8> {
    let prelude = r"
import io, struct, sys, tarfile, zipfile, zlib
out = sys.stdout.buffer.write
class Pipe(io.RawIOBase):
    def __init__(self): self.bytes = bytearray()
    def writable(self): return True
    def write(self, data):
        self.bytes += data
        return len(data)
def z(members, method=zipfile.ZIP_DEFLATED, to=None, zip64=False):
    to = to if to is not None else io.BytesIO()
    with zipfile.ZipFile(to, 'w', method) as archive:
        for name, data in members:
            with archive.open(zipfile.ZipInfo(name) if method is None else name, 'w', force_zip64=zip64) as member:
                member.write(data)
    return to.getvalue() if hasattr(to, 'getvalue') else bytes(to.bytes)
disk = open('disk.raw', 'rb').read()
";
    run(folder, "python3", &["-c", &format!("{prelude}{program}")])
}

/// A folder with `disk.raw`, whose bytes are returned, and small files beside it.
fn folder() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let mut noise = 7_u32;
    let disk: Vec<u8> = (0..300_000)
        .map(|at| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at % 40_000 < 20_000 { 0 } else { (noise >> 24) as u8 }
        })
        .collect();
    std::fs::write(folder.path().join("disk.raw"), &disk).unwrap();
    std::fs::write(folder.path().join("README"), "read me").unwrap();
    std::fs::write(folder.path().join("._disk.raw"), "attributes").unwrap();
    (folder, disk)
}

fn bytes_of(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}
