//! What the tests of the HTTP source talk to: real servers made by others, and one server that misbehaves on purpose.

pub(crate) mod authority;
pub(crate) mod fault_server;
pub(crate) mod server;

use std::ops::Range;
use std::time::Duration;

use contract::Failure;
use importer::source::HttpSource;
use importer::source::http::{Options, ProxyChoice};
use mover::cancel::Cancel;
use mover::source::Source;

/// Bytes that differ at every offset a mistake could mix up: each 8 bytes hold a hash of their own number.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let words = (0..length as u64 / 8 + 1).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes());
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(length);
    bytes
}

/// Options that do not look at the environment and that give up within a second or two.
pub(crate) fn impatient() -> Options {
    Options {
        proxy: ProxyChoice::Direct,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        retry_budget: Duration::from_secs(1),
        ..Options::default()
    }
}

pub(crate) fn connect(address: &str) -> Result<HttpSource, Failure> {
    connect_with(address, impatient())
}

pub(crate) fn connect_with(address: &str, options: Options) -> Result<HttpSource, Failure> {
    HttpSource::connect(address.parse().unwrap(), options, Cancel::new())
}

/// Reads one range to its end.
pub(crate) fn read(source: &HttpSource, range: Range<u64>) -> Result<Vec<u8>, Failure> {
    let mut reader = source.open(range)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 100_000];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Reads everything.
pub(crate) fn read_all(source: &HttpSource) -> Result<Vec<u8>, Failure> {
    read(source, 0..source.len().unwrap_or(u64::MAX))
}

/// `assert_eq!` would print megabytes.
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    let difference = got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(got == expected, "{} bytes for {}, first difference at {difference:?}", got.len(), expected.len());
}
