//! What one Gantry process promises another, and what `gantry` promises its caller.
//!
//! Everything here outlives a release: failure codes, exit codes and the JSON report are read by scripts, controllers
//! and people of other versions, so a name or a number given here is never given another meaning.

mod failure;
pub mod path;
pub mod pod;
pub mod quantity;
mod report;

pub use failure::{Class, Code, Failure};
pub use report::{
    ArchiveReport, Checked, ChecksumReport, Disks, Explanation, ImportReport, Inspection, Listed, Member, Qcow2,
    SCHEMA, StageReport, Word,
};
