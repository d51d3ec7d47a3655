//! A stream that is a raw disk unless its last bytes show that it was a fixed image, or one of a format that is not read.

use super::fixed::{FixedStream, HELD, given};
use crate::probe::{Format, Probe, probe_tail};
use crate::{Error, Kind, Piece, Stream, raw};

/// Forward decoder of what begins like a raw disk: holds back what may be a footer.
#[derive(Clone, Debug)]
pub struct RawOrFixed {
    raw: raw::Stream,
    fixed: Option<FixedStream>,
    position: u64,
}

impl RawOrFixed {
    /// A decoder of a file of `len` bytes, or of as many as come.
    #[must_use]
    pub const fn new(len: Option<u64>) -> Self {
        Self { raw: raw::Stream::new(len), fixed: None, position: 0 }
    }
}

impl Stream for RawOrFixed {
    fn virtual_size(&self) -> Option<u64> {
        self.fixed.as_ref().map_or_else(|| self.raw.virtual_size(), Stream::virtual_size)
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn hold_back(&self) -> usize {
        crate::offset::saturated(HELD)
    }

    fn skip_to(&mut self, position: u64) -> bool {
        self.position = position;
        self.raw.skip_to(position)
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        let given = if last { bytes.len() } else { given(self.position, bytes.len()) };
        if last {
            match probe_tail(bytes) {
                Some(Probe::Disk(Format::Vhd)) => {
                    let mut fixed = FixedStream::new();
                    fixed.skip_to(self.position);
                    return self.fixed.insert(fixed).push(bytes, true, out);
                }
                Some(other) => {
                    let what = format!("the last bytes show that the image is {}", other.name());
                    return Err(Error::new(Kind::Unsupported, what).at(self.position));
                }
                None => {}
            }
        }
        self.position += given as u64;
        self.raw.push(&bytes[..given], last, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `file` in pieces of `chunk` bytes; the bytes given away and the size of the disk.
    fn flow(file: &[u8], len: Option<u64>, chunk: usize) -> Result<(usize, Option<u64>), Error> {
        let mut stream = RawOrFixed::new(len);
        let (mut held, mut given, mut at) = (Vec::new(), 0, 0);
        loop {
            let end = file.len().min(at + chunk);
            held.extend(&file[at..end]);
            at = end;
            let mut pieces = Vec::new();
            let used = stream.push(&held, at == file.len(), &mut pieces)?;
            given += pieces.iter().map(|piece| piece.host_len).sum::<usize>();
            held.drain(..used);
            if at == file.len() {
                return Ok((given, stream.virtual_size()));
            }
        }
    }

    #[test]
    fn without_a_footer_every_byte_is_the_disks() {
        for len in [0, 1, 511, 512, 513, 5000] {
            for chunk in [1, 300, 512, 9000] {
                let size = (len as u64).next_multiple_of(512);
                assert_eq!(flow(&vec![7; len], None, chunk), Ok((len, Some(size))), "{len} {chunk}");
                assert_eq!(flow(&vec![7; len], Some(len as u64), chunk), Ok((len, Some(size))), "{len} {chunk}");
            }
        }
    }

    #[test]
    fn bytes_are_given_away_in_whole_blocks() {
        let mut stream = RawOrFixed::new(None);
        let mut pieces = Vec::new();
        let used = stream.push(&vec![1; 512 << 10], false, &mut pieces).expect("nothing is refused yet");
        assert_eq!(used, (512 << 10) - (64 << 10));
        assert_eq!(stream.push(&vec![1; 70_000], false, &mut pieces), Ok(65_536));
        assert!(pieces.iter().all(|piece| piece.guest.0 % 65_536 == 0 && piece.guest_len % 65_536 == 0), "{pieces:?}");
    }

    #[test]
    fn a_footer_of_a_format_that_is_not_read_is_named() {
        let mut file = vec![0; 4096];
        file[3584..3588].copy_from_slice(b"koly");
        assert_eq!(flow(&file, None, 1000).map_err(|error| error.kind()), Err(Kind::Unsupported));
    }
}
