//! `gantry import`.

use contract::{ChecksumReport, Code, Failure};
use importer::checksums::{self, Found};
use importer::import::{Archive, Import};
use importer::source::Location;
use importer::source::http::Options as HttpOptions;
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::progress::Progress;
use mover::target::Options;

use super::http;
use crate::arguments::{self, ContentType, PreallocationMode};
use crate::show;

/// Imports, or explains what importing would do.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    if arguments.content_type == ContentType::Archive {
        return unpack(arguments, cancel);
    }
    let (json, explain) = (arguments.json, arguments.explain);
    let (location, http) = (Location::parse(&arguments.source)?, http::options(&arguments.http)?);
    let listed = Listed::find(&arguments, &location, &http, cancel)?;
    let import = Import {
        location,
        http,
        target: Options {
            path: arguments.target,
            force: arguments.force,
            preallocation: arguments.preallocation.into(),
            size: arguments.size,
            scratch: arguments.scratch,
            mode: None,
        },
        overhead: arguments.filesystem_overhead,
        format: arguments.format,
        decompress: !arguments.no_decompress,
        checksum: listed.checksum().or(arguments.checksum),
        accept_unknown_end: arguments.accept_unknown_length,
        rate: arguments.rate_limit,
    };
    if explain {
        return show::explanation(&import.explain(cancel)?, listed.0.as_ref(), json);
    }
    let progress = Progress::default();
    let report = show::while_running(&progress, json, || import.run(cancel, &progress));
    let mut report = report.map_err(|failure| listed.explain(failure))?;
    listed.add_to(&mut report.checksum, &mut report.warnings);
    show::report(&report, json)
}

/// Unpacks a tar file.
fn unpack(arguments: arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    refuse_options_of_disks(&arguments)?;
    let (location, http) = (Location::parse(&arguments.source)?, http::options(&arguments.http)?);
    let listed = Listed::find(&arguments, &location, &http, cancel)?;
    let archive = Archive {
        location,
        http,
        directory: arguments.target,
        force: arguments.force,
        checksum: listed.checksum().or(arguments.checksum),
    };
    let progress = Progress::default();
    let report = show::while_running(&progress, arguments.json, || archive.run(cancel, &progress));
    let mut report = report.map_err(|failure| listed.explain(failure))?;
    listed.add_to(&mut report.checksum, &mut report.warnings);
    show::archive_report(&report, arguments.json)
}

/// What the list of `--checksum-from` gave, if there is one.
struct Listed(Option<Found>);

impl Listed {
    fn find(
        arguments: &arguments::Import,
        image: &Location,
        http: &HttpOptions,
        cancel: &Cancel,
    ) -> Result<Self, Failure> {
        let list = arguments.checksum_from.as_deref();
        list.map(|list| checksums::find(&Location::parse(list)?, image, http, cancel)).transpose().map(Self)
    }

    fn checksum(&self) -> Option<Checksum> {
        self.0.as_ref().map(|found| found.checksum.clone())
    }

    fn explain(&self, failure: Failure) -> Failure {
        match &self.0 {
            Some(found) => found.explain(failure),
            None => failure,
        }
    }

    fn add_to(self, checksum: &mut Option<ChecksumReport>, warnings: &mut Vec<String>) {
        let Some(found) = self.0 else { return };
        warnings.extend(found.warnings);
        if let Some(checksum) = checksum {
            checksum.from = Some(found.place);
        }
    }
}

/// An option that would be ignored is refused.
fn refuse_options_of_disks(arguments: &arguments::Import) -> Result<(), Failure> {
    let given = [
        ("--format", arguments.format.is_some()),
        ("--size", arguments.size.is_some()),
        ("--filesystem-overhead", arguments.filesystem_overhead.is_some()),
        ("--preallocation", arguments.preallocation != PreallocationMode::None),
        ("--scratch", arguments.scratch.is_some()),
        ("--explain", arguments.explain),
        ("--rate-limit", arguments.rate_limit.is_some()),
        ("--accept-unknown-length", arguments.accept_unknown_length),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::new(Code::Usage, format!("{name} is of disks, and an archive holds none"))),
    }
}
