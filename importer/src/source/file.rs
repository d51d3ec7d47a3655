//! A regular file or a block device as a source, without leaving it in the page cache.
//!
//! Pages count against a pod's memory and push out what others use, so a reader drops the pages behind it, unless the
//! file was in the page cache before: then the pages are somebody's (often the previous command's), and evicting them
//! would make the next reader slow. Whether it was is seen once, at the start, by asking for a few pages spread over
//! the file with `RWF_NOWAIT`; later the kernel's read-ahead would be taken for somebody's pages.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use contract::{Code, Failure};
use mover::cancel::Cancel;
use mover::holes::data_in;
use mover::source::{Reader, Source};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

/// How much is read before the pages behind are dropped: large enough that the calls do not show (one per 8 MiB), small
/// enough that two readers keep 16 MiB of pages.
const WINDOW: u64 = 8 << 20;
/// Pages asked for to see whether a file is in the page cache.
const SAMPLES: u64 = 16;
/// Open file descriptions kept ready: one for each reader and each of its first looks.
const READERS: usize = 4;

/// A file or device that is read at random.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    name: String,
    stamp: Stamp,
    was_cached: bool,
    /// Asked where the file holds data.
    looked_at: Arc<File>,
    /// For readers: each has an open file description of its own, since the kernel keeps its read-ahead state there. All
    /// are opened at the beginning, so that the process that decodes can give up opening anything.
    spare: Spare,
    cancel: Cancel,
}

/// Open file descriptions that no reader has.
type Spare = Arc<Mutex<Vec<Arc<File>>>>;

impl FileSource {
    /// Opens `path` to see that it can be read, and remembers what it is.
    ///
    /// # Errors
    /// Code `source-not-found`, `source-denied`, or `source-read` for what is neither a regular file nor a block device.
    pub fn open_path(path: &Path, cancel: Cancel) -> Result<Self, Failure> {
        // Looked at before it is opened: opening a named pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(refuse_kind(path, kind));
        }
        let open = || File::open(path).map(Arc::new).map_err(|error| cannot_open(path, &error));
        let looked_at = open()?;
        let stamp = Stamp::of(&looked_at).map_err(|error| cannot_open(path, &error))?;
        let was_cached = is_cached(&looked_at, stamp.size);
        let spare = Arc::new(Mutex::new((0..READERS).map(|_| open()).collect::<Result<_, _>>()?));
        Ok(Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            stamp,
            was_cached,
            looked_at,
            spare,
            cancel,
        })
    }

    /// The same file as it is now; opens nothing.
    ///
    /// # Errors
    /// Code `source-changed` if its name is another file's by now.
    pub fn again(&self) -> Result<Self, Failure> {
        let named = std::fs::metadata(&self.path).map_err(|error| cannot_open(&self.path, &error))?;
        if (named.dev(), named.ino()) != (self.stamp.device, self.stamp.inode) {
            let what = "another file has taken the name of the source";
            return Err(Failure::new(Code::SourceChanged, what).at(self.name.clone()));
        }
        let stamp = Stamp::of(&self.looked_at).map_err(|error| cannot_open(&self.path, &error))?;
        let (looked_at, spare) = (Arc::clone(&self.looked_at), Arc::clone(&self.spare));
        let (path, name, cancel) = (self.path.clone(), self.name.clone(), self.cancel.clone());
        Ok(Self { path, name, stamp, was_cached: self.was_cached, looked_at, spare, cancel })
    }

    /// An open file description for a reader. One more than there are shares another's read-ahead.
    fn take(&self) -> Arc<File> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Arc::clone(&self.looked_at))
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        Some(self.stamp.size)
    }

    fn has_ranges(&self) -> bool {
        true
    }

    /// `file:device:inode:size:mtime:ctime`. A block device has none: nothing tells that its content was changed.
    fn identity(&self) -> Option<String> {
        let Stamp { device, inode, size, modified, changed, is_file } = self.stamp;
        is_file.then(|| format!("file:{device}:{inode}:{size}:{modified}:{changed}"))
    }

    fn parallelism(&self) -> usize {
        2
    }

    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        data_in(&self.looked_at, range)
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let reader = FileReader {
            file: self.take(),
            spare: Arc::clone(&self.spare),
            dropped_to: if self.was_cached { None } else { Some(range.start) },
            at: range.start,
            end: range.end.min(self.stamp.size),
            stamp: self.stamp,
            name: self.name.clone(),
            cancel: self.cancel.clone(),
        };
        reader.check_unchanged()?;
        // Advice that is refused costs nothing but speed.
        let _ = fadvise(&reader.file, 0, None, Advice::Sequential);
        Ok(Box::new(reader))
    }
}

/// What a file is known again by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    /// Nanoseconds since 1970; unlike the modification time no program can set it back.
    changed: i128,
    is_file: bool,
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        let is_file = metadata.is_file();
        // A device's inode has length 0, and its times say when the node was made.
        let size = if is_file { metadata.len() } else { rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))? };
        let nanoseconds =
            |seconds: i64, rest: i64| if is_file { i128::from(seconds) * 1_000_000_000 + i128::from(rest) } else { 0 };
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size,
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            is_file,
        })
    }
}

struct FileReader {
    file: Arc<File>,
    /// Where `file` goes at the end.
    spare: Spare,
    at: u64,
    end: u64,
    /// Pages before this offset are dropped; `None` if pages are left alone.
    dropped_to: Option<u64>,
    stamp: Stamp,
    name: String,
    cancel: Cancel,
}

impl FileReader {
    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = Stamp::of(&self.file).map_err(|error| self.cannot_read(&error))?;
        if now == self.stamp {
            return Ok(());
        }
        let what = if now.size == self.stamp.size {
            "the file was changed while it was being read".into()
        } else {
            format!(
                "the file was changed while it was being read: its size was {}, now it is {}",
                self.stamp.size, now.size
            )
        };
        Err(Failure::new(Code::SourceChanged, what).at(self.place()))
    }

    /// Drops the pages that were read since the last time.
    fn drop_behind(&mut self) {
        let Some(start) = self.dropped_to else { return };
        if let Some(length) = NonZeroU64::new(self.at - start) {
            // Advice that is refused costs nothing but memory that the kernel can take back.
            let _ = fadvise(&self.file, start, Some(length), Advice::DontNeed);
            self.dropped_to = Some(self.at);
        }
    }

    fn place(&self) -> String {
        format!("{}, offset {}", self.name, self.at)
    }

    fn cannot_read(&self, error: &std::io::Error) -> Failure {
        Failure::new(Code::SourceRead, format!("cannot read the source: {error}")).at(self.place())
    }
}

impl Reader for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.cancel.check()?;
        if self.at >= self.end {
            return Ok(0);
        }
        let most = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = loop {
            match self.file.read_at(&mut buf[..most], self.at) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cannot_read(&error)),
                Ok(read) => break read,
            }
        };
        if read == 0 && most > 0 {
            self.check_unchanged()?;
            return Err(Failure::new(
                Code::SourceTruncated,
                format!("the source ends at byte {} of {}", self.at, self.stamp.size),
            )
            .at(self.place()));
        }
        self.at += read as u64;
        if self.dropped_to.is_some_and(|start| self.at - start >= WINDOW) {
            self.drop_behind();
        }
        if self.at == self.end {
            self.check_unchanged()?;
        }
        Ok(read)
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        self.drop_behind();
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&self.file));
    }
}

/// Whether most of the file is in the page cache.
fn is_cached(file: &File, size: u64) -> bool {
    // Keeps a page that is missed from being read together with its neighbours; where refused, a little more is read.
    let _ = fadvise(file, 0, None, Advice::Random);
    let is_there = |sample: &u64| {
        let mut byte = [0];
        // File systems without RWF_NOWAIT refuse the flag; what they hold counts as not cached.
        matches!(
            preadv2(file, &mut [IoSliceMut::new(&mut byte)], size / SAMPLES * sample, ReadWriteFlags::NOWAIT),
            Ok(1)
        )
    };
    (0..SAMPLES).filter(is_there).count() as u64 > SAMPLES / 2
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Code::SourceNotFound,
        std::io::ErrorKind::PermissionDenied => Code::SourceDenied,
        _ => Code::SourceRead,
    };
    let failure = Failure::new(code, format!("cannot open the source: {error}")).at(path.display().to_string());
    if code == Code::SourceDenied {
        failure.remedy("check who may read the file and the directories above it")
    } else {
        failure
    }
}

fn refuse_kind(path: &Path, kind: std::fs::FileType) -> Failure {
    let (what, remedy) = if kind.is_dir() {
        ("a directory", "name the image file inside it")
    } else if kind.is_fifo() {
        ("a named pipe", "read it as standard input: `gantry import - TARGET < PIPE`")
    } else if kind.is_socket() {
        ("a socket", "name a regular file or a block device")
    } else {
        ("a character device", "name a regular file or a block device")
    };
    Failure::new(Code::SourceRead, format!("the source is {what}")).at(path.display().to_string()).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn source_of(file: &tempfile::NamedTempFile) -> FileSource {
        FileSource::open_path(file.path(), Cancel::new()).unwrap()
    }

    /// Bytes that differ at every offset a mistake could mix up.
    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()).collect()
    }

    #[test]
    fn any_range_can_be_read_and_ends_with_the_file() {
        let bytes = pattern(20 << 20);
        let file = file_of(&bytes);
        let source = source_of(&file);
        let length = bytes.len() as u64;
        assert_eq!(source.len(), Some(length));
        for range in [0..length, 5..(17 << 20) + 3, length - 10..length + 10, length..length + 1, 7..7] {
            let mut got = vec![0; bytes.len() + 1];
            let filled = source.open(range.clone()).unwrap().fill(&mut got).unwrap();
            let expected =
                &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end.min(length)).unwrap()];
            assert!(&got[..filled] == expected, "{range:?}");
        }
    }

    #[test]
    fn the_identity_changes_with_content_even_if_the_time_is_set_back() {
        let file = file_of(b"one");
        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        let before = source_of(&file).identity().unwrap();
        assert_eq!(before, source_of(&file).identity().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.as_file().write_all_at(b"two", 0).unwrap();
        file.as_file().set_modified(modified).unwrap();
        assert_ne!(before, source_of(&file).identity().unwrap());
    }

    #[test]
    fn a_file_that_changes_under_the_reader_is_noticed() {
        let file = file_of(&pattern(1 << 20));
        let source = source_of(&file);
        let mut reader = source.open(0..1 << 20).unwrap();
        reader.read(&mut [0; 4096]).unwrap();
        file.as_file().set_len(8192).unwrap();
        let failure = reader.fill(&mut vec![0; 1 << 20]).unwrap_err();
        assert_eq!(failure.code(), Code::SourceChanged);
        assert!(failure.what().contains("1048576") && failure.what().contains("8192"), "{failure}");
        assert_eq!(source.open(0..1).err().unwrap().code(), Code::SourceChanged);
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        for (path, kind) in [
            (at("."), "directory"),
            (at("socket"), "socket"),
            (at("pipe"), "named pipe"),
            ("/dev/zero".into(), "character device"),
        ] {
            let failure = FileSource::open_path(&path, Cancel::new()).unwrap_err();
            assert_eq!(failure.code(), Code::SourceRead);
            assert!(failure.what().contains(kind) && failure.place().is_some(), "{failure}");
        }
        assert_eq!(FileSource::open_path(&at("absent"), Cancel::new()).unwrap_err().code(), Code::SourceNotFound);
    }

    fn run(program: &str, arguments: &[&str], file: &tempfile::NamedTempFile) -> String {
        let done = std::process::Command::new(program).args(arguments).arg(file.path()).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    }

    /// Bytes of the file in the page cache, by util-linux.
    fn resident(file: &tempfile::NamedTempFile) -> u64 {
        run("fincore", &["--noheadings", "--bytes", "--output", "RES"], file).trim().parse().unwrap()
    }

    #[test]
    fn a_reader_leaves_the_page_cache_as_it_was() {
        let size = 64 << 20;
        let file = file_of(&pattern(size));
        file.as_file().sync_all().unwrap();
        let read_all = || source_of(&file).open(0..size as u64).unwrap().fill(&mut vec![0; size + 1]).unwrap();
        read_all();
        assert_eq!(resident(&file), size as u64, "pages that were there are gone");
        fadvise(file.as_file(), 0, None, Advice::DontNeed).unwrap();
        if resident(&file) > 0 {
            println!("skipped: this file system keeps its pages");
            return;
        }
        read_all();
        assert!(resident(&file) <= size as u64 / 2, "{} of {size} bytes stay in the page cache", resident(&file));
    }

    #[test]
    fn a_reader_stops_on_request() {
        let cancel = Cancel::new();
        let file = file_of(&pattern(64));
        let source = FileSource::open_path(file.path(), cancel.clone()).unwrap();
        let mut reader = source.open(0..64).unwrap();
        cancel.cancel();
        assert_eq!(reader.read(&mut [0; 8]).unwrap_err().code(), Code::Cancelled);
    }
}
