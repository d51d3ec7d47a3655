//! Names as callers give them, and identifiers as we give them; neither is ever a path from outside.

use std::fmt::{self, Debug, Display};

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// CSI specification, "Size Limits": strings have at most 128 bytes.
const LONGEST_NAME: usize = 128;

/// A caller's name for a volume or snapshot: any text of 1 to 128 bytes without control characters.
///
/// It is kept in the state file and hashed into the identifier, so slashes and dots mean nothing.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// It is empty, longer than 128 bytes or holds a control character.
    pub fn new(text: &str) -> Result<Self, Error> {
        let wrong = |why| {
            let start: String = text.chars().take(40).collect();
            Err(Error::Invalid { what: format!("name {start:?} of {} bytes", text.len()), why })
        };
        if text.is_empty() {
            return wrong("must not be empty");
        }
        if text.len() > LONGEST_NAME {
            return wrong("is too long: at most 128 bytes");
        }
        if text.chars().any(char::is_control) {
            return wrong("must not hold control characters");
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// 16 digits that nearly always tell names apart, so that a damaged state file still says whose it was.
    fn digest(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Hexadecimal digits of either half of an identifier.
const DIGITS: usize = 16;

/// What identifiers of volumes and snapshots have in common.
pub(crate) trait Identifier: Clone + Ord + Debug + Display + Sized {
    /// The first part of each.
    const PREFIX: &'static str;
    /// What it identifies, for messages.
    const WHAT: &'static str;

    /// Wraps text that [`is_identifier`] has accepted.
    fn wrap(text: String) -> Self;
    /// The whole text; also the name of the folder.
    fn as_str(&self) -> &str;

    /// A new one: half of it from the name, half of it random, so that no two things ever share one.
    fn generate(name: &Name) -> Result<Self, Error> {
        let mut random = [0; DIGITS / 2];
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(Error::io("read random bytes from", "the kernel".as_ref()))?;
        let random = u64::from_le_bytes(random);
        Ok(Self::wrap(format!("{}-{}-{random:016x}", Self::PREFIX, name.digest())))
    }

    /// Reads one; nothing if `text` cannot be one.
    fn parse(text: &str) -> Option<Self> {
        is_identifier(text, Self::PREFIX).then(|| Self::wrap(text.to_owned()))
    }

    /// Whether this was generated from `name`.
    fn may_be_of(&self, name: &Name) -> bool {
        self.as_str()[Self::PREFIX.len() + 1..].starts_with(&name.digest())
    }
}

fn is_identifier(text: &str, prefix: &str) -> bool {
    let is_half = |half: &str| half.len() == DIGITS && half.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(name, random)| is_half(name) && is_half(random))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $type:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl Identifier for $type {
            const PREFIX: &'static str = $prefix;
            const WHAT: &'static str = $what;

            fn wrap(text: String) -> Self {
                Self(text)
            }

            fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $type {
            /// Reads an identifier.
            ///
            /// # Errors
            /// Not found, if it has not the form of one.
            pub fn new(text: &str) -> Result<Self, Error> {
                Self::parse(text).ok_or_else(|| Error::NotFound { what: $what, id: text.chars().take(64).collect() })
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.0
            }
        }

        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// Identifier of a volume: `vol-`, 16 digits from its name, 16 random ones.
    VolumeId, "vol", "volume"
}
identifier! {
    /// Identifier of a snapshot: `snap-`, 16 digits from its name, 16 random ones.
    SnapshotId, "snap", "snapshot"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_any_text_but_empty_long_or_with_control_characters() {
        for good in ["a", "../../etc/passwd", "a/b", "größe 1", &"x".repeat(128)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\0b", "line\nbreak", &"x".repeat(129), &"x".repeat(1000)] {
            assert!(Name::new(bad).unwrap_err().to_string().len() < 200, "{bad:?}");
        }
    }

    #[test]
    fn identifiers_come_from_the_name_and_differ_each_time() {
        let name = Name::new("../x").unwrap();
        let (one, two) = (VolumeId::generate(&name).unwrap(), VolumeId::generate(&name).unwrap());
        assert_ne!(one, two);
        assert!(one.may_be_of(&name) && two.may_be_of(&name) && !one.may_be_of(&Name::new("x").unwrap()));
        assert_eq!(VolumeId::new(one.as_str()).unwrap(), one);
    }

    #[test]
    fn what_has_not_the_form_of_an_identifier_identifies_nothing() {
        let good = "vol-0123456789abcdef-0123456789abcdef";
        assert!(VolumeId::new(good).is_ok());
        assert!(SnapshotId::new(good).is_err());
        for bad in [
            "",
            "..",
            "vol-",
            "vol-../..",
            "vol-0123456789abcdeF-0123456789abcdef",
            &format!("{good}/"),
            &format!("{good}\0"),
        ] {
            assert!(VolumeId::new(bad).is_err(), "{bad:?}");
        }
    }
}
