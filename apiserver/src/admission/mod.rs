//! What may be created, changed and deleted: rules over objects, with no reading and no clock.
//!
//! ```text
//! the object, the old object, what had to be read -> Vec<Cause>   empty: allowed
//!                                                 -> Refusal      not for this user or not now
//!                                                 -> patch        what the object becomes
//! ```
//! Messages begin with CDI's own fragments where CDI has such a rule: its clients and tests look for them. The tests beside
//! each rule keep them.

pub mod cdi;
pub mod claim;
pub mod crd;
pub mod datavolume;
mod external;
pub mod importsource;
pub mod mutate;
mod source;
mod target;
mod unchanged;
pub mod unserved;

/// The longest name of most objects (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;
/// The longest name that is a label of a domain name.
const LONGEST_LABEL: usize = 63;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its value is not a possible one.
    Invalid,
    /// It is missing.
    Required,
    /// It is one of a closed list, and this value is not in it.
    NotSupported,
    /// Something is there already, or may not change any more.
    Duplicate,
}

impl Kind {
    /// As Kubernetes calls it in the causes of a status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What is wrong.
    pub kind: Kind,
    /// Where, as a path of JSON names.
    pub field: String,
    /// What is wrong with it; the path stands before it when it is told, and is not repeated.
    pub message: String,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Cause {
    fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, field: field.into(), message: message.into() }
    }

    fn required(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Required, field: field.into(), message: message.into() }
    }

    fn duplicate(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Duplicate, field: field.into(), message: message.into() }
    }

    /// `value` is not one of `known`.
    fn not_supported(field: impl Into<String>, value: &str, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|known| format!("{known:?}")).collect();
        let message = format!("Unsupported value: {value:?}: supported values: {}", known.join(", "));
        Self { kind: Kind::NotSupported, field: field.into(), message }
    }
}

/// A request that is not allowed as things are, though nothing is wrong with the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// How many objects there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// So many were seen.
    pub seen: u64,
    /// There are more than were seen.
    pub more: bool,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.more { write!(f, "more than {}", self.seen) } else { write!(f, "{}", self.seen) }
    }
}

/// A name that is too long.
fn long_name(name: Option<&str>, longest: usize, field: &str) -> Option<Cause> {
    let is_long = name.is_some_and(|name| name.len() > longest);
    is_long.then(|| Cause::invalid(field, format!("Name cannot be longer than {longest} characters")))
}
