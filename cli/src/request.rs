//! What an import is asked for, by arguments or by a manifest: the part of it that either can say.

use std::path::PathBuf;

use contract::{ChecksumReport, Code, Failure};
use importer::checksums::{self, Found};
use importer::source::Location;
use importer::source::http::Options as HttpOptions;
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::size::Overhead;
use mover::target::Preallocation;

use crate::arguments::{ContentType, Import};

/// A wanted import.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) location: Location,
    pub(crate) http: HttpOptions,
    pub(crate) target: PathBuf,
    pub(crate) content_type: ContentType,
    /// Size of a file, in bytes.
    pub(crate) size: Option<u64>,
    pub(crate) overhead: Option<Overhead>,
    pub(crate) preallocation: Preallocation,
    pub(crate) checksum: Option<Checksum>,
    /// Where the checksum stands, if it came from a list.
    pub(crate) listed: Option<Found>,
    /// What a careful user should know, in full sentences.
    pub(crate) warnings: Vec<String>,
}

impl Request {
    /// What the arguments say; a list of checksums is read.
    ///
    /// # Errors
    /// A source that cannot be parsed, or a list that gives no checksum.
    pub(crate) fn of(arguments: &Import, http: HttpOptions, cancel: &Cancel) -> Result<Self, Failure> {
        let (Some(source), Some(target)) = (&arguments.source, &arguments.target) else {
            return Err(Failure::new(Code::Usage, "an import needs a source and a target, or --manifest"));
        };
        let location = Location::parse(source)?;
        let list = arguments.checksum_from.as_deref();
        let listed = list.map(|list| checksums::find(&Location::parse(list)?, &location, &http, cancel)).transpose()?;
        Ok(Self {
            location,
            http,
            target: target.clone(),
            content_type: arguments.content_type,
            size: arguments.size,
            overhead: arguments.filesystem_overhead,
            preallocation: arguments.preallocation.into(),
            checksum: listed.as_ref().map(|found| found.checksum.clone()).or_else(|| arguments.checksum.clone()),
            warnings: listed.iter().flat_map(|found| found.warnings.clone()).collect(),
            listed,
        })
    }

    /// Adds to a mismatch where the expected digest came from.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        match &self.listed {
            Some(found) => found.explain(failure),
            None => failure,
        }
    }

    /// Adds to a report what only the request knows.
    pub(crate) fn add_to(self, checksum: &mut Option<ChecksumReport>, warnings: &mut Vec<String>) {
        warnings.extend(self.warnings);
        if let (Some(checksum), Some(found)) = (checksum, self.listed) {
            checksum.from = Some(found.place);
        }
    }
}
