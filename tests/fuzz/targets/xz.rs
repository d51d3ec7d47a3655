//! xz streams in steps of any size: no failure, bounded steps, and the same bytes or the same refusal for all sizes.
//!
//! - A file that is decoded as a whole is walked over without a refusal, and its blocks, each decoded alone, are the whole.
//! - A walk in small pieces finds the same blocks.
#![no_main]

use codecs::xz::{Block, BlockDecoder, Blocks, Event};
use codecs::{Error, XzDecoder};
use fuzz::decode::{ENOUGH, check_chunks, decode};
use libfuzzer_sys::fuzz_target;

/// 1 MiB of dictionary is allowed, so that a header cannot make the fuzzer slow.
const DICTIONARY: u64 = 1 << 20;

/// The blocks of a file and where each begins.
fn walk(file: &[u8], piece: usize) -> Result<Vec<(usize, Block)>, Error> {
    let (mut blocks, mut used, mut found) = (Blocks::new(), 0, Vec::new());
    while used < file.len() {
        let offered = &file[used..file.len().min(used + piece)];
        let (taken, event) = blocks.step(offered)?;
        assert!(taken > 0 && taken <= offered.len(), "a walk that is given bytes moves");
        used += taken;
        if let Event::Block(block) = event {
            found.push((used - block.length as usize, block));
        }
    }
    blocks.finish()?;
    Ok(found)
}

fuzz_target!(|bytes: &[u8]| {
    check_chunks(|| Box::new(XzDecoder::new(DICTIONARY)), bytes);
    check_chunks(|| Box::new(XzDecoder::at_boundary(DICTIONARY)), bytes);
    // What a header says is only looked at; it must not fail.
    let _ = codecs::xz::dictionary_size(bytes);

    let walked = walk(bytes, usize::MAX >> 1);
    assert_eq!(walked.is_ok(), walk(bytes, 7).is_ok());
    let whole = decode(&mut XzDecoder::new(DICTIONARY), bytes, usize::MAX >> 1, 64 * 1024);
    let Ok(whole) = whole else { return };
    if whole.len() >= ENOUGH {
        return;
    }
    let walked = walked.expect("what is decoded to its end is walked over");
    assert!(walked == walk(bytes, 7).expect("as in one piece"));
    let parts = walked.iter().flat_map(|(at, block)| {
        let mut decoder = BlockDecoder::new(block, DICTIONARY).expect("no dictionary above the limit was decoded");
        let bytes = &bytes[*at..*at + block.length as usize];
        decode(&mut decoder, bytes, usize::MAX >> 1, 64 * 1024).expect("what decodes in a file decodes alone")
    });
    assert!(parts.collect::<Vec<_>>() == whole);
});
