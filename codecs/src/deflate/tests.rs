use super::*;
use crate::outside::{Pieces, decode, python, sample};

fn deflated(data: &[u8]) -> Vec<u8> {
    python("c = zlib.compressobj(6, zlib.DEFLATED, -15)\nout(c.compress(data) + c.flush())", data)
}

#[test]
fn what_zlib_writes_is_read_in_pieces_of_any_size() {
    let data = sample(300_000);
    let stream = deflated(&data);
    for pieces in [Pieces::of(1 << 20, 1 << 20), Pieces::of(1, 7), Pieces::of(4096, 1), Pieces::of(3, 65_536)] {
        let decoded = decode(&mut DeflateDecoder::new(), &stream, &pieces).unwrap();
        assert!(decoded.bytes == data, "{pieces:?}");
        assert_eq!(decoded.boundaries, [(stream.len(), data.len())], "{pieces:?}");
    }
}

#[test]
fn what_follows_the_stream_is_left() {
    let mut stream = deflated(b"disk");
    let len = stream.len();
    stream.extend(b"PK\x03\x04");
    let (mut decoder, mut output) = (DeflateDecoder::new(), [0; 16]);
    let step = decoder.step(&stream, &mut output).unwrap();
    assert_eq!(step, Step { consumed: len, produced: 4, boundary: true });
    assert_eq!(decoder.step(&stream[len..], &mut output).unwrap(), Step::default());
    decoder.finish().unwrap();
}

#[test]
fn a_stream_that_is_cut_or_damaged_is_refused() {
    let stream = deflated(&sample(50_000));
    for len in (0..stream.len()).step_by(97) {
        let error = decode(&mut DeflateDecoder::new(), &stream[..len], &Pieces::of(1 << 20, 1 << 20)).unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated, "{len}");
    }
    let error = DeflateDecoder::new().step(b"\x07", &mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
}
