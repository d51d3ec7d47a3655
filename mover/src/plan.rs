//! Decides the route from what is known before any data moves: pure, so `--explain` prints exactly what would happen.

use std::fmt;

use contract::{Code, Failure};
use formats::probe::{Compression, Format};

use crate::look::Look;
use crate::source::Source;

/// A way from source to target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Tables and allocated data only, in parallel.
    Mapped,
    /// The whole file once in its own order, hashed, each cluster placed by the map.
    Hashed,
    /// Decoded while it flows.
    Streamed,
}

impl Route {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Hashed => "hashed",
            Self::Streamed => "streamed",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of a source and of what is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Any range can be read.
    pub has_ranges: bool,
    /// Length of the file in bytes, if stated.
    pub len: Option<u64>,
    /// A broken connection can be told from the end.
    pub end_is_known: bool,
    /// The user accepts that it cannot.
    pub accept_unknown_end: bool,
    /// Compression around the file.
    pub compression: Option<Compression>,
    /// Disk format, inside the compression.
    pub format: Format,
    /// A digest is to be verified.
    pub has_checksum: bool,
}

impl Facts {
    /// What `source` and its first bytes show.
    #[must_use]
    pub fn of(source: &dyn Source, look: &Look, has_checksum: bool, accept_unknown_end: bool) -> Self {
        Self {
            has_ranges: source.has_ranges(),
            len: source.len(),
            end_is_known: source.end_is_known(),
            accept_unknown_end,
            compression: look.compression,
            format: look.format,
            has_checksum,
        }
    }
}

/// A decision and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route.
    pub route: Route,
    /// Why, as half a sentence that goes on after the route's name.
    pub because: &'static str,
}

/// Decides.
///
/// # Errors
/// The end of the source could not be told from a broken connection, and nothing else would notice.
pub fn plan(facts: &Facts) -> Result<Plan, Failure> {
    let streamed = |because| Plan { route: Route::Streamed, because };
    // A codec's trailer and an image's tables show where the end is; a raw disk has neither.
    let shows_its_end = facts.compression.is_some() || !matches!(facts.format, Format::Raw | Format::Iso);
    if !facts.end_is_known && !shows_its_end && !facts.has_checksum && !facts.accept_unknown_end {
        let what = "the source states no length and marks no end, so a cut connection would look like a finished disk";
        return Err(Failure::new(Code::SourceLengthUnknown, what));
    }
    Ok(match facts {
        Facts { compression: Some(_), .. } => streamed("a compressed file can only be decoded from its beginning"),
        Facts { has_ranges: false, .. } => streamed("the source cannot be read at random"),
        Facts { len: None, .. } => streamed("the source states no length"),
        Facts { has_checksum: true, .. } => Plan {
            route: Route::Hashed,
            because: "the checksum covers the whole file, which is read once and placed by its map",
        },
        _ => Plan {
            route: Route::Mapped,
            because: "the source can be read at random, so only allocated data is fetched",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Facts = Facts {
        has_ranges: true,
        len: Some(1 << 30),
        end_is_known: true,
        accept_unknown_end: false,
        compression: None,
        format: Format::Qcow2,
        has_checksum: false,
    };

    #[test]
    fn the_route_follows_from_what_the_source_can_do_and_what_is_wanted() {
        let table = [
            (FILE, Route::Mapped),
            (Facts { format: Format::Raw, ..FILE }, Route::Mapped),
            (Facts { has_checksum: true, ..FILE }, Route::Hashed),
            (Facts { has_ranges: false, ..FILE }, Route::Streamed),
            (Facts { len: None, ..FILE }, Route::Streamed),
            (Facts { compression: Some(Compression::Gzip), ..FILE }, Route::Streamed),
            (Facts { compression: Some(Compression::Zstd), has_checksum: true, ..FILE }, Route::Streamed),
        ];
        for (facts, route) in table {
            assert_eq!(plan(&facts).unwrap().route, route, "{facts:?}");
        }
    }

    #[test]
    fn a_raw_body_without_any_end_is_refused_unless_something_shows_its_end() {
        let endless = Facts { has_ranges: false, len: None, end_is_known: false, format: Format::Raw, ..FILE };
        assert_eq!(plan(&endless).unwrap_err().code(), Code::SourceLengthUnknown);
        for accepted in [
            Facts { has_checksum: true, ..endless },
            Facts { accept_unknown_end: true, ..endless },
            Facts { compression: Some(Compression::Gzip), ..endless },
            Facts { format: Format::Qcow2, ..endless },
        ] {
            assert_eq!(plan(&accepted).unwrap().route, Route::Streamed);
        }
    }
}
