//! The digest a user gives, `algo:hex`, and the hasher that checks it while bytes flow.

use std::fmt;
use std::str::FromStr;

use contract::{Checked, Code, Failure};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::common::hazmat::{DeserializeStateError, SerializableState, SerializedState};
use sha2::{Digest, Sha256, Sha512};

/// Digest algorithms CDI accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Broken against forgery; finds accidents only.
    Md5,
    /// Broken against forgery; finds accidents only.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Whether somebody who can change the image could keep its digest.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }
}

/// An expected digest, `algo:hex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// How to hash.
    pub algorithm: Algorithm,
    hex: String,
}

impl Checksum {
    /// Whether `digest`, in lower-case hexadecimal digits, is the expected one.
    #[must_use]
    pub fn matches(&self, digest: &str) -> bool {
        self.hex == digest
    }

    /// What the expected digest turns out to be of.
    pub(crate) fn among(&self, seen: &[(Checked, String)]) -> Option<Checked> {
        seen.iter().find(|(_, digest)| self.matches(digest)).map(|(checked, _)| *checked)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Checksum {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse =
            |what: String| Failure::new(Code::Usage, what).remedy("give the checksum as sha256:HEX, for example");
        let (name, hex) =
            text.split_once(':').ok_or_else(|| refuse(format!("the checksum {text:?} names no algorithm")))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| refuse(format!("the checksum algorithm {name:?} is none of md5, sha1, sha256, sha512")))?;
        let hex = hex.trim().to_ascii_lowercase();
        if hex.len() != 2 * algorithm.bytes() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let digits = 2 * algorithm.bytes();
            return Err(refuse(format!(
                "a {} checksum has {digits} hexadecimal digits, this one has {}",
                name,
                hex.len()
            )));
        }
        Ok(Self { algorithm, hex })
    }
}

/// A digest in the making. Its state can be stored and taken up by a later process.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Runs one expression for whichever hasher it is.
macro_rules! each {
    ($state:expr, $hasher:ident => $body:expr) => {
        match $state {
            State::Md5($hasher) => $body,
            State::Sha1($hasher) => $body,
            State::Sha256($hasher) => $body,
            State::Sha512($hasher) => $body,
        }
    };
}

impl Hasher {
    /// A digest of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        each!(&mut self.0, hasher => hasher.update(bytes));
    }

    /// The digest so far in lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        each!(&self.0, hasher => hasher.clone().finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The state as bytes for a record, at most 256.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        each!(&self.0, hasher => hasher.serialize().to_vec())
    }

    /// Takes up a stored state; `None` if the bytes are no such state.
    #[must_use]
    pub fn restore(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::Md5 => State::Md5(load(bytes)?),
            Algorithm::Sha1 => State::Sha1(load(bytes)?),
            Algorithm::Sha256 => State::Sha256(load(bytes)?),
            Algorithm::Sha512 => State::Sha512(load(bytes)?),
        }))
    }
}

fn load<H: SerializableState>(bytes: &[u8]) -> Option<H> {
    let state: SerializedState<H> = bytes.try_into().ok()?;
    H::deserialize(&state).map_err(|_: DeserializeStateError| ()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_hasher_goes_on_where_it_was() {
        for algorithm in Algorithm::ALL {
            let mut whole = Hasher::new(algorithm);
            whole.update(b"some bytes, then others");
            let mut first = Hasher::new(algorithm);
            first.update(b"some bytes,");
            let mut second = Hasher::restore(algorithm, &first.save()).unwrap();
            second.update(b" then others");
            assert_eq!(second.hex(), whole.hex());
            assert!(first.save().len() <= 256);
            assert!(Hasher::restore(algorithm, &first.save()[1..]).is_none());
        }
    }

    #[test]
    fn a_checksum_is_read_in_any_case_and_refused_by_its_fault() {
        let upper: Checksum =
            "SHA256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855".parse().unwrap();
        assert!(upper.matches(&Hasher::new(Algorithm::Sha256).hex()));
        for (text, fault) in [
            ("e3b0", "names no algorithm"),
            ("crc32:00000000", "none of md5"),
            ("md5:abc", "32 hexadecimal digits"),
            ("md5:zz1d8cd98f00b204e9800998ecf8427e", "32 hexadecimal digits"),
        ] {
            let failure = text.parse::<Checksum>().unwrap_err();
            assert!(failure.what().contains(fault), "{text}: {failure}");
        }
    }
}
