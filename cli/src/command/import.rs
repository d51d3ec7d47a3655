//! `gantry import`.

use contract::{Code, Failure};
use importer::checksums::Found;
use importer::import::{Archive, Import};
use mover::cancel::Cancel;
use mover::progress::Progress;
use mover::target::Options;

use super::http;
use crate::arguments::{self, ContentType, PreallocationMode};
use crate::request::Request;
use crate::{manifest, show};

/// Imports, or explains what importing would do.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: &arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    let http = http::options(&arguments.http)?;
    let request = match &arguments.manifest {
        // The one operand is then the target.
        Some(file) => manifest::request(file, arguments.source.as_deref(), http, arguments.filesystem_overhead)?,
        None => Request::of(arguments, http, cancel)?,
    };
    match request.content_type {
        ContentType::Kubevirt => import(request, arguments, cancel),
        ContentType::Archive => unpack(request, arguments, cancel),
    }
}

fn import(request: Request, arguments: &arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    let import = Import {
        location: request.location.clone(),
        http: request.http.clone(),
        target: Options {
            path: request.target.clone(),
            force: arguments.force,
            preallocation: request.preallocation,
            size: request.size,
            scratch: arguments.scratch.clone(),
            mode: None,
        },
        overhead: request.overhead,
        disk: arguments.disk.clone(),
        format: arguments.format,
        decompress: !arguments.no_decompress,
        checksum: request.checksum.clone(),
        accept_unknown_end: arguments.accept_unknown_length,
        rate: arguments.rate_limit,
    };
    if arguments.explain {
        let mut explanation = import.explain(cancel)?;
        explanation.checksum = request.listed.map(Found::into_listed);
        explanation.warnings.extend(request.warnings);
        return show::explanation(&explanation, arguments.json);
    }
    let progress = Progress::default();
    let report = show::while_running(&progress, arguments.json, || import.run(cancel, &progress));
    let mut report = report.map_err(|failure| request.explain(failure))?;
    request.add_to(&mut report.checksum, &mut report.warnings);
    show::report(&report, arguments.json)
}

/// Unpacks a tar file.
fn unpack(request: Request, arguments: &arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    refuse_options_of_disks(arguments)?;
    let archive = Archive {
        location: request.location.clone(),
        http: request.http.clone(),
        directory: request.target.clone(),
        force: arguments.force,
        checksum: request.checksum.clone(),
    };
    let progress = Progress::default();
    let report = show::while_running(&progress, arguments.json, || archive.run(cancel, &progress));
    let mut report = report.map_err(|failure| request.explain(failure))?;
    request.add_to(&mut report.checksum, &mut report.warnings);
    show::archive_report(&report, arguments.json)
}

/// An option that would be ignored is refused.
fn refuse_options_of_disks(arguments: &arguments::Import) -> Result<(), Failure> {
    let given = [
        ("--disk", arguments.disk.is_some()),
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
