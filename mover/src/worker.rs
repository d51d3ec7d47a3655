//! Decodes what was fetched and puts it on the volume: one plain thread per core.

use codecs::ClusterDecoder;
use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender};
use formats::ClusterCodec;

use crate::fetch::Filled;
use crate::parts::Part;
use crate::stop::Stop;
use crate::tracker::WINDOW;
use crate::volume::{Order, Volume};

/// Decoded bytes collected for one write.
const COLLECT: usize = 512 << 10;

/// One thing for a worker to do.
pub(crate) enum Work {
    /// Decode and write fetched bytes.
    Unit(Filled),
    /// The same with bytes that were counted before they were there: by an earlier attempt that a device only withheld
    /// them from, or when they flowed past before their table.
    Uncounted(Filled),
    /// Complete the fingerprint of a window in which there is nothing left to fetch.
    Close(u64),
}

/// One worker's tools.
pub(crate) struct Worker<'a> {
    /// Where bytes go.
    pub(crate) volume: &'a Volume<'a>,
    /// First failure.
    pub(crate) stop: &'a Stop,
    /// Told of every window that is complete.
    pub(crate) closed: Sender<u64>,
    /// Name of the source, for messages.
    pub(crate) source: &'a str,
    decoder: ClusterDecoder,
    /// Bytes every encoded cluster decodes to.
    max_encoded: usize,
    /// Room for decoded bytes, of which ...
    decoded: Vec<u8>,
    /// ... this many, the result of `run`, are in use.
    filled: usize,
    /// Consecutive encoded parts that are decoded and not written yet.
    run: Vec<Part>,
    /// Whether the parts at hand are counted as work.
    counted: bool,
}

impl<'a> Worker<'a> {
    /// A worker for clusters of up to `max_encoded` bytes.
    #[must_use]
    pub(crate) fn new(
        volume: &'a Volume<'a>,
        stop: &'a Stop,
        closed: Sender<u64>,
        source: &'a str,
        max_encoded: u64,
    ) -> Self {
        let max_encoded = max_encoded as usize;
        let decoded = if max_encoded == 0 { Vec::new() } else { vec![0; COLLECT.max(max_encoded)] };
        let decoder = ClusterDecoder::new();
        Self { volume, stop, closed, source, decoder, max_encoded, decoded, filled: 0, run: Vec::new(), counted: true }
    }

    /// Works until the channel is closed or something fails. After a stop it goes on with what was fetched already, so
    /// that the last record is worth something; after its own failure it stops.
    pub(crate) fn run(mut self, work: &Receiver<Work>) {
        self.volume.stages.decode.enter();
        self.volume.stages.write.enter();
        while let Ok(item) = self.volume.stages.decode.wait(|| work.recv()) {
            let done = match item {
                Work::Unit(filled) => self.unit(&filled, true),
                Work::Uncounted(filled) => self.unit(&filled, false),
                Work::Close(index) => self.close(index),
            };
            if let Err(failure) = done {
                self.stop.trip(failure);
                return;
            }
        }
    }

    fn unit(&mut self, filled: &Filled, counted: bool) -> Result<(), Failure> {
        self.counted = counted;
        for part in &filled.unit.parts {
            let from = (part.host - filled.unit.host.start) as usize;
            let bytes = &filled.slot[from..from + part.host_len as usize];
            match part.codec {
                None => self.put(&[*part], bytes)?,
                Some(codec) => self.decode(part, codec, bytes)?,
            }
        }
        self.flush()
    }

    fn decode(&mut self, part: &Part, codec: ClusterCodec, bytes: &[u8]) -> Result<(), Failure> {
        let follows = self.run.last().is_some_and(|last| last.guest_range().end == part.guest);
        if !follows || self.decoded.len() - self.filled < self.max_encoded {
            self.flush()?;
        }
        let codec = match codec {
            ClusterCodec::Deflate => codecs::ClusterCodec::Deflate,
            ClusterCodec::Zstd => codecs::ClusterCodec::Zstd,
            ClusterCodec::Zlib { at_least } => codecs::ClusterCodec::Zlib { at_least },
        };
        // A whole cluster, also where the disk ends inside it.
        let output = &mut self.decoded[self.filled..self.filled + self.max_encoded];
        self.volume.stages.decode.work(|| self.decoder.decode(codec, bytes, output)).map_err(|error| {
            let what = format!("the compressed cluster for guest offset {:#x} is damaged: {error}", part.guest);
            Failure::new(Code::ImageCorrupt, what).at(format!("{}, offset {:#x}", self.source, part.host))
        })?;
        self.filled += part.guest_len as usize;
        self.run.push(*part);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let put = self.put(&self.run, &self.decoded[..self.filled]);
        self.run.clear();
        self.filled = 0;
        put
    }

    fn put(&self, parts: &[Part], bytes: &[u8]) -> Result<(), Failure> {
        self.volume.put(parts, bytes, !self.counted)?;
        if !self.counted {
            return Ok(());
        }
        self.volume.finish(parts).into_iter().try_for_each(|index| self.close(index))
    }

    fn close(&self, index: u64) -> Result<(), Failure> {
        if self.volume.order == Order::Guest {
            self.volume.fingerprint.close(index * WINDOW, self.volume.target)?;
        }
        // The planner may have ended already: it only waits for windows while it has more to open.
        let _ = self.closed.send(index);
        Ok(())
    }
}
