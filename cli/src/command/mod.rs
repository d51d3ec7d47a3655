//! One module per subcommand.

mod fingerprint;
mod http;
mod import;
mod inspect;
mod man;

use std::process::ExitCode;

use clap::CommandFactory;
use contract::{Code, Failure};
use importer::signals;

use crate::arguments::{Arguments, Command};
use crate::{dv, explain};

/// Runs what was typed and returns the exit code of what went well.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Command::CdiImporter(arguments) = &arguments.command {
        // A process of its own, with signals, messages and exit codes of its own.
        return Ok(importer::pod::command::main(arguments));
    }
    let cancel = signals::cancel_on_signal()
        .map_err(|error| Failure::new(Code::Internal, format!("cannot install the signal handlers: {error}")))?;
    match arguments.command {
        Command::Import(import) => import::run(&import, &cancel)?,
        Command::Inspect(inspect) => inspect::run(&inspect, &cancel)?,
        Command::Fingerprint(of) => fingerprint::print(&of, &cancel)?,
        Command::Verify(verify) => fingerprint::verify(&verify, &cancel)?,
        Command::Dv(dv) => dv::run(&dv, &cancel)?,
        Command::Explain(explain) => return explain::run(&explain, &cancel),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "gantry", &mut std::io::stdout());
        }
        Command::Man { directory } => man::write(&directory)?,
        Command::CdiImporter(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
