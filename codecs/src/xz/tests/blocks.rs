//! The walk over headers and blocks, and the decoder of one block.

use super::*;

/// A block and its bytes.
type Found = (Block, Vec<u8>);

/// All blocks of a file with their bytes, walked over in pieces, and the places where streams end.
fn split(file: &[u8], piece: usize) -> Result<(Vec<Found>, Vec<usize>), Error> {
    let (mut walk, mut used) = (Blocks::new(), 0);
    let (mut found, mut present, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    while used < file.len() {
        let offered = &file[used..file.len().min(used + piece)];
        let (taken, event) = walk.step(offered)?;
        assert!(taken > 0, "a walk that is given bytes moves");
        used += taken;
        match event {
            Event::Outside | Event::Padding => assert!(present.is_empty()),
            Event::StreamEnd => ends.push(used),
            Event::Inside | Event::Header(_) => present.extend(&offered[..taken]),
            Event::Block(block) => {
                present.extend(&offered[..taken]);
                found.push((block, std::mem::take(&mut present)));
            }
        }
    }
    walk.finish().map(|()| (found, ends))
}

fn decode_block(block: &Block, bytes: &[u8], pieces: &Pieces) -> Result<Decoded, Error> {
    decode(&mut BlockDecoder::new(block, LIMIT)?, bytes, pieces)
}

#[test]
fn each_block_decodes_alone_and_together_they_are_the_file() {
    let data = sample(1_000_000);
    let whole = ["-1", "--block-size=300000"];
    let options: [&[&str]; 8] = [
        &["-T2"],
        &["-T1"],
        &["-T2", "--check=none"],
        &["-T1", "--check=none"],
        &["-T2", "--check=sha256"],
        &["-T1", "--check=crc32"],
        &["-T2", "--x86", "--lzma2=preset=0"],
        &["-T1", "--delta=dist=1", "--lzma2=preset=0"],
    ];
    for arguments in options {
        let file = xz(&[&whole, arguments].concat(), &data);
        let (blocks, ends) = split(&file, LARGE).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert_eq!((blocks.len(), ends), (4, vec![file.len()]), "{arguments:?}");
        let mut decoded = Vec::new();
        for (block, bytes) in blocks.iter().rev() {
            let states_sizes = arguments[0] == "-T2";
            assert_eq!(block.header.uncompressed, states_sizes.then_some(block.uncompressed), "{arguments:?}");
            assert_eq!(block.header.compressed.is_some(), states_sizes, "{arguments:?}");
            assert_eq!(block.length, bytes.len() as u64);
            let part = decode_block(block, bytes, &Pieces::of(10_007, 60_000)).unwrap();
            assert_eq!(part.bytes.len() as u64, block.uncompressed);
            assert_eq!(part.boundaries, [(bytes.len(), part.bytes.len())]);
            decoded.splice(0..0, part.bytes);
        }
        assert!(decoded == data, "{arguments:?}");
    }
}

#[test]
fn every_size_of_pieces_finds_the_same_blocks() {
    let (file, data) = mixture();
    let whole = split(&file, LARGE).unwrap();
    assert_eq!((whole.0.len(), whole.1.len()), (4 + 3 + 1, 4));
    for size in (1..60).chain([1021]) {
        assert!(split(&file, size).unwrap() == whole, "{size}");
    }
    let mut decoded = Vec::new();
    for (block, bytes) in &whole.0 {
        for pieces in [Pieces::of(1, LARGE), Pieces::of(LARGE, 7), Pieces::of(13, 11)] {
            let part = decode_block(block, bytes, &pieces).unwrap().bytes;
            assert!(part == decode_block(block, bytes, &Pieces::of(LARGE, LARGE)).unwrap().bytes);
        }
        decoded.extend(decode_block(block, bytes, &Pieces::of(LARGE, LARGE)).unwrap().bytes);
    }
    assert!(decoded == data);
}

#[test]
fn a_walk_goes_on_after_any_block() {
    let file = xz(&["-T1", "-0", "--block-size=3000"], &sample(20_000));
    let (mut walk, mut used, mut restarts) = (Blocks::new(), 0, Vec::new());
    while used < file.len() {
        let (taken, event) = walk.step(&file[used..]).unwrap();
        used += taken;
        assert_eq!(walk.restart().is_some(), matches!(event, Event::Block(_)) || used == 12);
        restarts.extend(walk.restart().map(|restart| (used, restart)));
    }
    assert_eq!(restarts.len(), 1 + 7);
    for (at, restart) in restarts {
        let (mut walk, mut used, mut blocks) = (Blocks::resume(restart), at, restart.blocks);
        while used < file.len() {
            let (taken, event) = walk.step(&file[used..]).unwrap();
            used += taken;
            blocks += u64::from(matches!(event, Event::Block(_)));
        }
        walk.finish().unwrap();
        assert_eq!(blocks, 7);
        // A restart of another place does not fit the index.
        let mut other = Blocks::resume(Restart { crc: restart.crc ^ 1, ..restart });
        let mut used = at;
        let outcome = loop {
            match other.step(&file[used..]) {
                Ok((taken, _)) if used < file.len() => used += taken,
                outcome => break outcome,
            }
        };
        assert_eq!(outcome.unwrap_err().kind(), Kind::Corrupt);
    }
}

#[test]
fn a_walk_is_truncated_wherever_the_file_is_cut() {
    let first = xz(&["-T2", "-0", "--block-size=900"], &sample(2_000));
    let file = [first.clone(), xz(&["-0"], b"")].concat();
    for end in 0..file.len() {
        match split(&file[..end], LARGE) {
            Ok((blocks, ends)) => assert_eq!((end, blocks.len(), ends.len()), (first.len(), 3, 1)),
            Err(error) => assert_eq!(error.kind(), Kind::Truncated, "cut at {end}"),
        }
    }
}

#[test]
fn a_block_decoder_takes_no_byte_behind_its_block_and_misses_each_before() {
    let file = xz(&["-T1", "-0", "--block-size=3000"], &sample(9_000));
    for (block, mut bytes) in split(&file, LARGE).unwrap().0 {
        bytes.extend(b"behind");
        let mut decoder = BlockDecoder::new(&block, LIMIT).unwrap();
        let mut output = vec![0; 10_000];
        let step = decoder.step(&bytes, &mut output).unwrap();
        assert_eq!(step, Step { consumed: bytes.len() - 6, produced: 3000, boundary: true });
        assert_eq!(decoder.step(b"behind", &mut output).unwrap(), Step::default());
        decoder.finish().unwrap();
        for end in 0..bytes.len() - 6 {
            let error = decode_block(&block, &bytes[..end], &Pieces::of(LARGE, LARGE)).unwrap_err();
            assert_eq!(error.kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn a_flipped_bit_is_seen_by_the_walk_or_by_the_decoder_of_the_block() {
    let data = sample(2_000);
    let file = xz(&["-T2", "-0", "--block-size=1100"], &data);
    let all = |file: &[u8]| -> Result<Vec<u8>, Error> {
        let mut decoded = Vec::new();
        for (block, bytes) in split(file, LARGE)?.0 {
            decoded.extend(decode_block(&block, &bytes, &Pieces::of(LARGE, LARGE))?.bytes);
        }
        Ok(decoded)
    };
    assert!(all(&file).unwrap() == data);
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(decoded) = all(&damaged) {
            assert!(decoded == data, "bit {bit} gave other data");
        }
    }
}

#[test]
fn a_dictionary_above_the_limit_is_refused_before_memory_is_taken() {
    let file = xz(&["--lzma2=preset=0,dict=1MiB"], b"data");
    let (block, _) = split(&file, LARGE).unwrap().0[0];
    assert!(BlockDecoder::new(&block, 1 << 20).is_ok());
    let error = BlockDecoder::new(&block, (1 << 20) - 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Memory);
    assert!(error.to_string().contains("1048576 bytes, the limit is 1048575"), "{error}");
}
