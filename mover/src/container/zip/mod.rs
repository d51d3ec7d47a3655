//! The members of a zip file, at random by its central directory or as it flows by its local headers.
//!
//! A stored member of a file that can be read at random is a slice of that file. A deflated one is decoded from its
//! beginning, as a compressed file is.

mod body;
mod directory;
mod flow;
mod header;

use contract::{Code, Failure};

use super::input::Input;
use super::members::{MAX_NAME, Members, shown};
use header::{Facts, Header};

pub(super) use directory::{Inflating, Located, members};

/// A zip file as it flows.
pub(super) fn flowing(input: Input) -> Box<dyn Members> {
    Box::new(flow::Flowing::new(input))
}

/// A member's name.
struct Name {
    shown: String,
    /// Of its bytes as they are.
    hash: blake3::Hash,
}

/// Takes a header of `len` bytes with its name and extra field.
fn named(input: &mut Input, len: usize, header: &Header) -> Result<(Name, Vec<u8>), Failure> {
    if header.name == 0 || header.name > MAX_NAME {
        let what = format!("a name has {} bytes, from 1 to {MAX_NAME} are read", header.name);
        return Err(input.failure(Code::ImageMalformed, what));
    }
    let all = len + header.name + header.extra;
    let bytes = input.peek(all)?;
    if bytes.len() < all {
        return Err(input.truncated());
    }
    let (name, extra) = bytes[len..].split_at(header.name);
    let found = (Name { shown: shown(name), hash: blake3::hash(name) }, extra.to_vec());
    input.consume(all);
    Ok(found)
}

/// The archive is split.
fn one_of_several(input: &Input) -> Failure {
    let failure = input.failure(Code::ImageUnsupported, "the archive is one of several volumes");
    failure.remedy("join the volumes first, with `zip -s 0 ARCHIVE --out WHOLE`")
}

/// Whether two headers say the same of a member's data, as far as a local header has to say it.
fn agree(local: &Facts, central: &Facts) -> bool {
    let bits = |facts: &Facts| facts.flags & (1 | 1 << 3 | 1 << 6 | 1 << 13);
    let sums = |facts: &Facts| (facts.crc, facts.compressed, facts.size);
    local.method == central.method
        && bits(local) == bits(central)
        && (local.has_descriptor() || sums(local) == sums(central))
}
