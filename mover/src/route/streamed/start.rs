//! Where a flow begins: at its first byte, or at the checkpoint of an earlier attempt.

use blake3::Hasher as Blake3;
use contract::Failure;
use formats::Stream;

use super::marks;
use crate::checksum::{Algorithm, Hasher};
use crate::journal::Checkpoint;
use crate::look::{Look, decoder};
use crate::source::Source;
use crate::target::Target;

/// Bytes decoded at once.
const STEP: usize = 256 << 10;

/// Where a flow begins, and what digests have seen before.
pub(crate) struct Start {
    /// Offset in the source's file.
    pub(crate) host: u64,
    /// Offset in the stream inside the compression.
    pub(crate) position: u64,
    /// Digest of the bytes before `position` that a device withholds.
    pub(super) withheld: Blake3,
    /// Digests of the file before `host` and of the stream before `position`.
    hashers: Option<[Hasher; 2]>,
}

impl Start {
    /// The first byte.
    pub(crate) fn at_beginning(algorithm: Option<Algorithm>) -> Self {
        let hashers = algorithm.map(|algorithm| [Hasher::new(algorithm), Hasher::new(algorithm)]);
        Self { host: 0, position: 0, withheld: Blake3::new(), hashers }
    }

    /// The place of an earlier attempt's checkpoint; `None` if it cannot be taken up, and then `target` holds nothing that
    /// the flow from the beginning does not put there again.
    ///
    /// What a device only withheld was lost with that attempt, so it is decoded again from the beginning, and must be what
    /// the digests have seen.
    ///
    /// # Errors
    /// The source cannot be read.
    pub(crate) fn taken_up(
        from: &Checkpoint,
        algorithm: Option<Algorithm>,
        (source, look): (&dyn Source, &Look),
        stream: &mut dyn Stream,
        target: &dyn Target,
    ) -> Result<Option<Self>, Failure> {
        let Some((expected, hashers)) = marks::decode(from, algorithm) else { return Ok(None) };
        let (head, tail) = (target.withheld().first(), target.withheld().get(1));
        if tail.is_some_and(|tail| from.position > tail.start) || !stream.skip_to(from.position) {
            return Ok(None);
        }
        let withheld = match head {
            Some(head) => decode_again(head.end.min(from.position), source, look, target)?,
            None => Blake3::new(),
        };
        let start = Self { host: from.host, position: from.position, withheld, hashers };
        Ok((*start.withheld.finalize().as_bytes() == expected).then_some(start))
    }

    pub(super) fn hashers(&self) -> [Option<Hasher>; 2] {
        self.hashers.clone().map_or([None, None], |hashers| hashers.map(Some))
    }
}

/// Decodes the first `len` bytes of the stream onto the target and returns their digest.
fn decode_again(len: u64, source: &dyn Source, look: &Look, target: &dyn Target) -> Result<Blake3, Failure> {
    let mut reader = source.open(0..source.len().unwrap_or(u64::MAX))?;
    let mut hasher = Blake3::new();
    let Some(compression) = look.compression else { return Ok(hasher) };
    // No thread runs ahead for so little.
    let mut decoder = decoder(compression, source.name(), 0)?;
    let (mut input, mut output) = (vec![0; STEP], vec![0; STEP]);
    let (mut used, mut filled, mut position) = (0, 0, 0);
    while position < len {
        if used == filled {
            (used, filled) = (0, reader.fill(&mut input)?);
        }
        let room = (len - position).min(STEP as u64) as usize;
        let step = decoder.step(&input[used..filled], &mut output[..room]);
        let step = step.map_err(|error| crate::failure::codec_failure(&error, source.name(), 0))?;
        if step.produced == 0 && filled == 0 {
            break;
        }
        target.write(position, &output[..step.produced])?;
        hasher.update(&output[..step.produced]);
        used += step.consumed;
        position += step.produced as u64;
    }
    Ok(hasher)
}
