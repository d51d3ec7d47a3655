//! The bytes of an archive as they come: decompressed, hashed on both sides of the decompressor.

use std::io::{self, Read};

use codecs::StreamDecoder;
use contract::{Checked, Code, Failure};

use crate::checksum::{Algorithm, Hasher};
use crate::failure::codec_failure;
use crate::source::Reader;

/// Bytes read at once.
const INPUT: usize = 256 << 10;

/// Bytes inside a compression after the end mark; tar pads to a record, of 10 KiB unless it is told otherwise.
const MAX_PADDING: u64 = 64 << 20;

/// A file's bytes, decompressed. As [`Read`], a [`Failure`] travels inside the `io::Error`.
pub(crate) struct Flow<'a> {
    source: String,
    reader: Box<dyn Reader + 'a>,
    decoder: Option<Box<dyn StreamDecoder>>,
    input: Vec<u8>,
    used: usize,
    /// Bytes of the file before `input[used]`.
    offset: u64,
    /// Bytes handed out.
    pub(crate) position: u64,
    /// Bytes of the file that were read.
    pub(crate) fetched: u64,
    file: Option<Hasher>,
    inner: Option<Hasher>,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(
        source: &str,
        reader: Box<dyn Reader + 'a>,
        decoder: Option<Box<dyn StreamDecoder>>,
        algorithm: Option<Algorithm>,
    ) -> Self {
        let file = algorithm.map(Hasher::new);
        let inner = file.clone().filter(|_| decoder.is_some());
        let (source, input) = (source.to_owned(), Vec::new());
        Self { source, reader, decoder, input, used: 0, offset: 0, position: 0, fetched: 0, file, inner }
    }

    /// Digests of the file and of what is inside its compression.
    pub(crate) fn digests(&self) -> Vec<(Checked, String)> {
        let hashers = [(Checked::File, &self.file), (Checked::Decompressed, &self.inner)];
        hashers.into_iter().filter_map(|(of, hasher)| hasher.as_ref().map(|hasher| (of, hasher.hex()))).collect()
    }

    /// Reads to the end, so that it is known to be one.
    ///
    /// # Errors
    /// It cannot be read, or decompression makes more of it than any tar pads with.
    pub(crate) fn drain(&mut self) -> Result<(), Failure> {
        let (mut unused, start) = (vec![0; INPUT], self.position);
        while self.take(&mut unused)? > 0 {
            if self.decoder.is_some() && self.position - start > MAX_PADDING {
                let what = format!("the archive goes on for more than {MAX_PADDING} bytes after its end mark");
                return Err(Failure::new(Code::ImageTooLarge, what).at(&self.source));
            }
        }
        Ok(())
    }

    /// Reads at least one byte, or 0 at the end.
    pub(crate) fn take(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if buf.is_empty() {
            return Ok(0);
        }
        let taken = match self.decoder.take() {
            None => self.copy(buf)?,
            Some(mut decoder) => {
                let taken = self.decode(&mut *decoder, buf);
                self.decoder = Some(decoder);
                taken?
            }
        };
        if let Some(inner) = &mut self.inner {
            inner.update(&buf[..taken]);
        }
        self.position += taken as u64;
        Ok(taken)
    }

    fn copy(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.refill()?;
        let rest = &self.input[self.used..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.advance(len);
        Ok(len)
    }

    fn decode(&mut self, decoder: &mut dyn StreamDecoder, buf: &mut [u8]) -> Result<usize, Failure> {
        loop {
            self.refill()?;
            let step = decoder.step(&self.input[self.used..], buf);
            let step = step.map_err(|error| self.refused(&error))?;
            let at_end = self.input.is_empty();
            self.advance(step.consumed);
            if step.produced > 0 {
                return Ok(step.produced);
            }
            if at_end {
                decoder.finish().map_err(|error| self.refused(&error))?;
                return Ok(0);
            }
        }
    }

    fn refused(&self, error: &codecs::Error) -> Failure {
        codec_failure(error, &self.source, error.offset().unwrap_or(self.offset))
    }

    fn advance(&mut self, len: usize) {
        self.used += len;
        self.offset += len as u64;
    }

    /// Makes sure that there is input, unless the file has ended: then it is empty.
    fn refill(&mut self) -> Result<(), Failure> {
        if self.used < self.input.len() {
            return Ok(());
        }
        self.input.resize(INPUT, 0);
        let read = self.reader.fill(&mut self.input)?;
        self.input.truncate(read);
        self.used = 0;
        self.fetched += read as u64;
        if let Some(file) = &mut self.file {
            file.update(&self.input);
        }
        Ok(())
    }
}

impl Read for Flow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.take(buf).map_err(io::Error::other)
    }
}
