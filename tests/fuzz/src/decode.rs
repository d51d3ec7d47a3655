//! A caller of a stream decoder that gives input and takes output in chunks of chosen sizes.

use codecs::{Error, StreamDecoder};

/// Decoded bytes after which a run stops: a bomb is not worth more.
pub const ENOUGH: usize = 1 << 20;

/// Decodes `input` in steps of at most `chunk` bytes in and `room` bytes out, up to [`ENOUGH`] bytes.
///
/// # Errors
/// What the decoder refuses.
///
/// # Panics
/// When a step uses or makes more bytes than it was given, or when steps go on for ever without doing either.
pub fn decode(decoder: &mut dyn StreamDecoder, input: &[u8], chunk: usize, room: usize) -> Result<Vec<u8>, Error> {
    let (mut used, mut out, mut buffer) = (0, Vec::new(), vec![0; room]);
    while out.len() < ENOUGH {
        let fresh = &input[used..input.len().min(used + chunk)];
        let step = decoder.step(fresh, &mut buffer)?;
        assert!(step.consumed <= fresh.len() && step.produced <= room);
        used += step.consumed;
        out.extend(&buffer[..step.produced]);
        if step.consumed == 0 && step.produced == 0 {
            assert!(used == input.len(), "a decoder that is given input and room goes on");
            decoder.finish()?;
            break;
        }
    }
    Ok(out)
}

/// Checks that the sizes of steps do not change what is decoded.
///
/// # Panics
/// When they do.
pub fn check_chunks(mut fresh: impl FnMut() -> Box<dyn StreamDecoder>, input: &[u8]) {
    let whole = decode(fresh().as_mut(), input, usize::MAX >> 1, 64 * 1024);
    let chunked = decode(fresh().as_mut(), input, 7, 1000);
    match (whole, chunked) {
        (Ok(whole), Ok(chunked)) => {
            let both = whole.len().min(chunked.len());
            assert!(both >= ENOUGH || whole.len() == chunked.len());
            assert!(whole[..both] == chunked[..both]);
        }
        (Err(_), Err(_)) => {}
        // One of them had enough before it came to the damage.
        (Ok(enough), Err(_)) | (Err(_), Ok(enough)) => assert!(enough.len() >= ENOUGH),
    }
}
