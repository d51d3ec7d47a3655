//! One compressed cluster inside an image: its decoded size is known, its compressed size only roughly.
//!
//! qcow2 counts the compressed size in 512-byte sectors, so bytes of a neighbour may follow the stream; they are ignored
//! as qemu ignores them. A stream that fills the cluster is accepted, one that cannot is refused. Only zlib streams (vmdk)
//! are read to their end, where the check value is.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};
use zstd_safe::DCtx;

use crate::{Error, Kind};

/// How a cluster is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterCodec {
    /// Raw deflate without a header (qcow2 compression type 0, "zlib").
    Deflate,
    /// zstd frames (qcow2 compression type 1).
    Zstd,
    /// One zlib stream (RFC 1950) with its Adler-32, a vmdk grain.
    Zlib {
        /// Bytes it decodes to at least. qemu writes the last grain of a disk only as far as the disk goes, VMware writes
        /// it whole; both are read.
        at_least: u32,
    },
}

/// Decodes clusters one after another; each worker keeps one.
///
/// Memory: about 48 KiB each for deflate and zlib and 160 KiB for zstd, made at the start; zstd decodes in one piece into the
/// caller's output, so a frame's window costs nothing.
pub struct ClusterDecoder {
    inflate: Decompress,
    zlib: Decompress,
    zstd: DCtx<'static>,
}

impl fmt::Debug for ClusterDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterDecoder").finish_non_exhaustive()
    }
}

impl Default for ClusterDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ClusterDecoder {
    /// A decoder for all codecs.
    #[must_use]
    pub fn new() -> Self {
        Self { inflate: Decompress::new(false), zlib: Decompress::new(true), zstd: DCtx::create() }
    }

    /// Fills `output` with the first `output.len()` decoded bytes of `input`; what follows the stream is ignored. Behind the
    /// end of a zlib stream that may be shorter, `output` holds nothing of meaning.
    ///
    /// # Errors
    /// `input` is damaged, or decodes to fewer bytes; a zstd frame or a zlib stream also if it decodes to more.
    pub fn decode(&mut self, codec: ClusterCodec, input: &[u8], output: &mut [u8]) -> Result<(), Error> {
        match codec {
            ClusterCodec::Deflate => self.inflate(input, output),
            ClusterCodec::Zstd => self.unzstd(input, output),
            ClusterCodec::Zlib { at_least } => self.unzlib(input, output, at_least),
        }
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), Error> {
        self.inflate.reset(false);
        self.inflate
            .decompress(input, output, FlushDecompress::Finish)
            .map_err(|error| Error::new(Kind::Corrupt, format!("deflate cluster: {error}")))?;
        let produced = self.inflate.total_out();
        if produced != output.len() as u64 {
            return Err(too_short("deflate", produced, output.len()));
        }
        Ok(())
    }

    fn unzlib(&mut self, input: &[u8], output: &mut [u8], at_least: u32) -> Result<(), Error> {
        self.zlib.reset(true);
        let status = self
            .zlib
            .decompress(input, output, FlushDecompress::Finish)
            .map_err(|error| Error::new(Kind::Corrupt, format!("zlib cluster: {error}")))?;
        let produced = self.zlib.total_out();
        if status != Status::StreamEnd {
            let full = if produced == output.len() as u64 { " and does not end there" } else { "" };
            let what = format!("zlib cluster decodes to {produced} of {} bytes{full}", output.len());
            return Err(Error::new(Kind::Corrupt, what));
        }
        if produced < u64::from(at_least) {
            return Err(too_short("zlib", produced, at_least as usize));
        }
        Ok(())
    }

    fn unzstd(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), Error> {
        let mut rest = input;
        let mut produced = 0;
        while produced < output.len() {
            if rest.is_empty() {
                return Err(too_short("zstd", produced as u64, output.len()));
            }
            let length = zstd_safe::find_frame_compressed_size(rest).map_err(zstd_error)?;
            let (frame, after) = rest.split_at(length);
            produced += self.zstd.decompress(&mut output[produced..], frame).map_err(zstd_error)?;
            rest = after;
        }
        Ok(())
    }
}

fn too_short(codec: &str, produced: u64, wanted: usize) -> Error {
    Error::new(Kind::Corrupt, format!("{codec} cluster decodes to {produced} of {wanted} bytes"))
}

fn zstd_error(code: usize) -> Error {
    Error::new(Kind::Corrupt, format!("zstd cluster: {}", zstd_safe::get_error_name(code)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outside::{python, run, sample};

    const CLUSTER: usize = 64 << 10;

    /// Raw deflate with a window of 2^`bits` bytes, as an image writer makes it.
    fn deflate(data: &[u8], bits: u32) -> Vec<u8> {
        python(&format!("c = zlib.compressobj(6, zlib.DEFLATED, -{bits})\nout(c.compress(data) + c.flush())"), data)
    }

    fn zlib(data: &[u8], level: u32) -> Vec<u8> {
        python(&format!("out(zlib.compress(data, {level}))"), data)
    }

    fn zlib_of(at_least: usize) -> ClusterCodec {
        ClusterCodec::Zlib { at_least: at_least as u32 }
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        run("zstd", &["-q", "-c"], data)
    }

    fn decode(codec: ClusterCodec, input: &[u8], length: usize) -> Result<Vec<u8>, Error> {
        let mut output = vec![0xa5; length];
        ClusterDecoder::new().decode(codec, input, &mut output).map(|()| output)
    }

    #[test]
    fn a_cluster_decodes_whatever_follows_it() {
        let data = sample(CLUSTER);
        let written = [
            (ClusterCodec::Deflate, deflate(&data, 12)),
            (ClusterCodec::Deflate, deflate(&data, 15)),
            (ClusterCodec::Zstd, zstd(&data)),
            (ClusterCodec::Zstd, [zstd(&data[..1000]), zstd(b""), zstd(&data[1000..])].concat()),
            (zlib_of(CLUSTER), zlib(&data, 0)),
            (zlib_of(CLUSTER), zlib(&data, 9)),
            (zlib_of(1), zlib(&data, 1)),
        ];
        for (codec, stream) in written {
            for tail in [vec![], vec![0; 511], vec![0xff; 511], sample(300), stream.clone()] {
                let input = [stream.clone(), tail].concat();
                assert!(decode(codec, &input, CLUSTER).unwrap() == data, "{codec:?}");
            }
        }
    }

    #[test]
    fn a_stream_that_cannot_fill_the_cluster_is_corrupt() {
        let data = sample(CLUSTER - 1);
        let streams = [
            (ClusterCodec::Deflate, deflate(&data, 12)),
            (ClusterCodec::Zstd, zstd(&data)),
            (zlib_of(CLUSTER), zlib(&data, 6)),
        ];
        for (codec, stream) in streams {
            let error = decode(codec, &stream, CLUSTER).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{codec:?}");
            assert!(error.to_string().contains("65535 of 65536"), "{error}");
        }
    }

    #[test]
    fn a_stream_cut_anywhere_before_its_last_data_is_corrupt() {
        let data = sample(1000);
        // The last code only ends the block: its bits, in the last two bytes, carry no data.
        let deflate = deflate(&data, 12);
        for end in 0..deflate.len() - 2 {
            assert_eq!(decode(ClusterCodec::Deflate, &deflate[..end], 1000).unwrap_err().kind(), Kind::Corrupt);
        }
        let zstd = zstd(&data);
        for end in 0..zstd.len() {
            assert_eq!(decode(ClusterCodec::Zstd, &zstd[..end], 1000).unwrap_err().kind(), Kind::Corrupt);
        }
    }

    #[test]
    fn more_data_than_the_cluster_holds_is_cut_off_in_deflate_and_refused_in_zstd_as_qemu_does() {
        let data = sample(CLUSTER + 100);
        assert!(decode(ClusterCodec::Deflate, &deflate(&data, 12), CLUSTER).unwrap() == data[..CLUSTER]);
        assert_eq!(decode(ClusterCodec::Zstd, &zstd(&data), CLUSTER).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn a_bomb_fills_the_cluster_and_no_more() {
        let bomb = vec![0; 20 << 20];
        assert!(decode(ClusterCodec::Deflate, &deflate(&bomb, 12), CLUSTER).unwrap() == vec![0; CLUSTER]);
        assert_eq!(decode(ClusterCodec::Zstd, &zstd(&bomb), CLUSTER).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(decode(zlib_of(CLUSTER), &zlib(&bomb, 9), CLUSTER).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn a_zlib_stream_may_be_shorter_as_far_as_it_is_said_and_never_longer() {
        let data = sample(CLUSTER + 1);
        for length in [1, 512, 17_920, CLUSTER - 1, CLUSTER] {
            let stream = zlib(&data[..length], 6);
            let output = decode(zlib_of(length), &stream, CLUSTER).unwrap();
            assert!(output[..length] == data[..length], "{length}");
            let error = decode(zlib_of(length + 1), &stream, CLUSTER).unwrap_err();
            assert!(error.to_string().contains(&format!("{length} of {}", length + 1)), "{error}");
        }
        let error = decode(zlib_of(1), &zlib(&data, 6), CLUSTER).unwrap_err();
        assert!(error.to_string().contains("does not end there"), "{error}");
    }

    #[test]
    fn a_damaged_zlib_stream_is_never_taken_for_good() {
        let data = sample(2000);
        let stream = zlib(&data, 6);
        for end in 0..stream.len() {
            assert_eq!(decode(zlib_of(2000), &stream[..end], 2000).unwrap_err().kind(), Kind::Corrupt, "{end}");
        }
        for bit in 0..stream.len() * 8 {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A few bits that fill the last byte before the check value mean nothing.
            if let Ok(output) = decode(zlib_of(1), &damaged, data.len()) {
                assert!(output == data, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_decoder_works_on_after_a_refusal() {
        let data = sample(CLUSTER);
        let mut decoder = ClusterDecoder::new();
        let mut output = vec![0; CLUSTER];
        let streams = [
            (ClusterCodec::Deflate, deflate(&data, 12)),
            (ClusterCodec::Zstd, zstd(&data)),
            (zlib_of(CLUSTER), zlib(&data, 6)),
        ];
        for (codec, stream) in streams {
            for _ in 0..3 {
                decoder.decode(codec, &stream[..stream.len() / 2], &mut output).unwrap_err();
                decoder.decode(codec, &[0xff; 100], &mut output).unwrap_err();
                output.fill(0xa5);
                decoder.decode(codec, &stream, &mut output).unwrap();
                assert!(output == data, "{codec:?}");
            }
        }
    }

    #[test]
    fn a_damaged_zstd_cluster_with_a_checksum_is_never_taken_for_good() {
        let data = sample(2000);
        let stream = run("zstd", &["-q", "-c", "--check"], &data);
        for bit in 0..stream.len() * 8 {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The descriptor's bit 2 turns the checksum off, and what follows the frame is ignored: no damage to data.
            if let Ok(output) = decode(ClusterCodec::Zstd, &damaged, data.len()) {
                assert!(output == data, "bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_the_decoder_works_on(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            let data = b"a cluster of few bytes";
            let mut decoder = ClusterDecoder::new();
            let mut output = vec![0; CLUSTER];
            let framed = [&b"\x28\xb5\x2f\xfd"[..], &garbage].concat();
            for (codec, input) in [(ClusterCodec::Deflate, &garbage), (ClusterCodec::Zstd, &garbage), (ClusterCodec::Zstd, &framed), (zlib_of(1), &garbage)] {
                if let Err(error) = decoder.decode(codec, input, &mut output) {
                    prop_assert_eq!(error.kind(), Kind::Corrupt);
                }
            }
            // A stored block, written out by hand (RFC 1951 §3.2.4).
            let stored = [&[1, 22, 0, 0xe9, 0xff], &data[..]].concat();
            decoder.decode(ClusterCodec::Deflate, &stored, &mut output[..data.len()]).unwrap();
            prop_assert_eq!(&output[..data.len()], data);
        }
    }
}
