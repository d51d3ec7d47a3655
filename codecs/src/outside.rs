//! Tests only: inputs made by outside tools, and a driver that cuts input and output into pieces.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{Error, StreamDecoder};

/// What `program` writes to its standard output when it is given `input`.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {complaint}");
    output.stdout
}

/// What a Python program writes that reads `input` as `data` and calls `out(bytes)`.
pub(crate) fn python(program: &str, input: &[u8]) -> Vec<u8> {
    let prelude = "import sys, zlib, gzip, struct\ndata = sys.stdin.buffer.read()\nout = sys.stdout.buffer.write\n";
    run("python3", &["-c", &format!("{prelude}{program}")], input)
}

/// `length` bytes like a disk's: a binary, zeros, noise that does not compress, text.
pub(crate) fn sample(length: usize) -> Vec<u8> {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let binary = std::fs::read("/bin/sh").unwrap();
    let mut bytes = Vec::with_capacity(length + 20_000);
    while bytes.len() < length {
        let at = bytes.len() % (binary.len() - 9_000);
        bytes.extend_from_slice(&binary[at..at + 9_000]);
        bytes.resize(bytes.len() + 3_000, 0);
        for _ in 0..250 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            bytes.extend_from_slice(&noise.to_le_bytes());
        }
        bytes.extend((0..200).flat_map(|line| format!("line {line} of block {at}\n").into_bytes()));
    }
    bytes.truncate(length);
    bytes
}

/// How a test cuts its input and its output; the lists are repeated as often as needed, their entries are above 0.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub(crate) input: Vec<usize>,
    pub(crate) output: Vec<usize>,
}

impl Pieces {
    pub(crate) fn of(input: usize, output: usize) -> Self {
        Self { input: vec![input], output: vec![output] }
    }
}

/// What a decoder made of an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    /// For each boundary, where it is in the input and in the output.
    pub(crate) boundaries: Vec<(usize, usize)>,
    pub(crate) steps: usize,
}

/// Decodes all of `input` in pieces, checking on the way that each step moves.
pub(crate) fn decode(decoder: &mut dyn StreamDecoder, input: &[u8], pieces: &Pieces) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut sizes = pieces.input.iter().zip(pieces.output.iter().cycle()).cycle();
    let mut used = 0;
    let mut output = vec![0; *pieces.output.iter().max().unwrap()];
    loop {
        let (&offered, &room) = sizes.next().unwrap();
        let piece = &input[used..input.len().min(used + offered)];
        let step = decoder.step(piece, &mut output[..room])?;
        decoded.steps += 1;
        used += step.consumed;
        decoded.bytes.extend_from_slice(&output[..step.produced]);
        if step.boundary {
            decoded.boundaries.push((used, decoded.bytes.len()));
        }
        if step.consumed == 0 && step.produced == 0 {
            assert!(piece.is_empty(), "a step with input and room did not move at byte {used}");
            break;
        }
    }
    decoder.finish().map(|()| decoded)
}
