//! `gantry explain`: what a DataVolume would come to, and what would refuse it. Nothing is made.
//!
//! ```text
//! DataVolume --- would the API server take it? ---> the DataVolume as it would keep it
//!                                                        | controller::preview, by the facts read
//!                the claim, would it be taken? <---------+
//!                        | as it would be kept
//!                        +--> prime claim, importer pod: would they be taken?
//!                                  | what the pod reads
//!                                  +--> Secrets, ConfigMaps, source policy; quotas and room for all of it
//! ```
//! What would be decided is decided by the controllers' own functions, and what would be answered by the API server itself, which
//! judges creates that are a trial (`dryRun=All`) as any others. Where the user may not ask, that is said, and the rest goes on.

mod ask;
mod credentials;
mod describe;
mod documents;
mod facts;
mod policy;
mod quota;
mod report;
mod text;
mod trial;

use std::process::ExitCode;

use contract::{Code, Failure, SCHEMA};
use mover::cancel::Cancel;
use serde_json::json;

use self::documents::Documents;
use self::report::Report;
use self::trial::Trial;
use crate::arguments::Explain;
use crate::kubernetes::{Access, block_on};
use crate::show;

/// Explains every DataVolume of the manifests; the exit code is that of the first refusal.
///
/// # Errors
/// A manifest cannot be read, or the cluster cannot be asked.
pub(crate) fn run(arguments: &Explain, cancel: &Cancel) -> Result<ExitCode, Failure> {
    let mut documents = Documents::default();
    arguments.files.iter().try_for_each(|file| documents.add(file))?;
    if documents.data_volumes.is_empty() {
        let failure = Failure::new(Code::Usage, "there is no DataVolume (cdi.kubevirt.io/v1beta1) in the manifests");
        return Err(failure.remedy("name a file with one; `gantry explain` says nothing about other kinds"));
    }
    let reports: Vec<Report> = block_on(cancel, async {
        let access = Access::find(&arguments.access).await?;
        let facts = facts::read(&access.client, &arguments.installation).await?;
        let trial =
            Trial { access: &access, facts: &facts, documents: &documents, installation: &arguments.installation };
        let mut reports = Vec::new();
        for data_volume in &documents.data_volumes {
            reports.push(trial.of(data_volume).await?);
        }
        Ok(reports)
    })?;
    if arguments.json {
        let others: Vec<&String> = documents.others.iter().collect();
        show::json(&json!({"schema": SCHEMA, "dataVolumes": reports, "notExplained": others}))?;
    } else {
        text::print(&reports)?;
        documents.others.iter().for_each(|other| eprintln!("gantry: not explained: {other}"));
    }
    let first = reports.iter().find_map(|report| report.refusals.first());
    Ok(first.map_or(ExitCode::SUCCESS, |failure| ExitCode::from(failure.code().class().exit_code())))
}
