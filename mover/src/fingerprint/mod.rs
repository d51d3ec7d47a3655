//! Content fingerprint: equal for equal disks, whatever their format, compression or holes.
//!
//! ```text
//! level 48                    root                   covers 2^64 bytes, so a disk of any size is followed by zeros
//!                             ...
//! level 2                 node(2, a, b)
//!                        /             \
//! level 1        node(1, l0, l1)     zero            a subtree of zeros is 32 zero bytes, at every level
//!                  /        \       /    \
//! level 0       leaf 0    leaf 1  zero   zero        leaf = 64 KiB of the disk, the last one padded with zeros
//! ```
//!
//! `leaf` and `node` are keyed BLAKE3 with a key of their own each, and a node hashes its level first, so neither can
//! stand for the other. The height is fixed, so trailing zeros do not change the root: a grown file and a larger device
//! agree with the image. BLAKE3's own tree binds every chunk to its position and so would have to hash holes. `docs/fingerprint.md` is the specification.

mod builder;
mod scan;

pub use builder::{Builder, Disk};
pub use scan::scan;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use contract::{Code, Failure};

use crate::zero::is_zero;

/// Bytes of the disk under one leaf.
pub const LEAF: u64 = 64 << 10;

/// Level of the root: 2^48 leaves of 2^16 bytes cover every disk there can be.
pub const ROOT_LEVEL: u8 = 48;

/// Hash of a subtree.
pub type Hash = [u8; 32];

/// Hash of a subtree that holds only zeros.
pub const ZERO: Hash = [0; 32];

static LEAF_KEY: LazyLock<Hash> = LazyLock::new(|| blake3::hash(b"gantry1 leaf").into());
static NODE_KEY: LazyLock<Hash> = LazyLock::new(|| blake3::hash(b"gantry1 node").into());

/// Hash of one leaf; `bytes` shorter than a leaf count as padded with zeros.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    if is_zero(bytes) {
        return ZERO;
    }
    let mut hasher = blake3::Hasher::new_keyed(&LEAF_KEY);
    hasher.update(bytes);
    if let Some(missing) = (LEAF as usize).checked_sub(bytes.len()).filter(|&missing| missing > 0) {
        hasher.update(&vec![0; missing]);
    }
    hasher.finalize().into()
}

/// Hash of two neighbouring subtrees of `level - 1`.
#[must_use]
pub fn node(level: u8, left: &Hash, right: &Hash) -> Hash {
    if *left == ZERO && *right == ZERO {
        return ZERO;
    }
    let mut input = [0; 65];
    input[0] = level;
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    blake3::keyed_hash(&NODE_KEY, &input).into()
}

/// A disk's virtual size and the root over its content. Printed as `gantry1:SIZE:ROOT`.
///
/// Two disks hold the same content exactly if their roots are equal; the size says how much was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Virtual size of the image in bytes.
    pub size: u64,
    /// Root hash.
    pub root: Hash,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gantry1:{}:{}", self.size, blake3::Hash::from_bytes(self.root).to_hex())
    }
}

impl FromStr for Fingerprint {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| {
            Failure::new(Code::Usage, format!("{what} in the fingerprint {text:?}; it looks like gantry1:SIZE:ROOT"))
        };
        let mut fields = text.splitn(3, ':');
        match fields.next() {
            Some("gantry1") => {}
            Some(version) if version.starts_with("gantry") => {
                return Err(refuse("a version that this gantry does not know"));
            }
            _ => return Err(refuse("no version")),
        }
        let size = fields.next().and_then(|size| size.parse().ok()).ok_or_else(|| refuse("no size"))?;
        let root = fields
            .next()
            .and_then(|root| blake3::Hash::from_hex(root).ok())
            .ok_or_else(|| refuse("no root of 64 hexadecimal digits"))?;
        Ok(Self { size, root: root.into() })
    }
}
