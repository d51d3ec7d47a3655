//! One module per subcommand.

mod fingerprint;
mod http;
mod import;
mod inspect;

use clap::CommandFactory;
use contract::{Code, Failure};

use crate::arguments::{Arguments, Command};
use crate::signals;

/// Runs what was typed.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let cancel = signals::cancel_on_signal()
        .map_err(|error| Failure::new(Code::Internal, format!("cannot install the signal handlers: {error}")))?;
    match arguments.command {
        Command::Import(import) => import::run(*import, &cancel),
        Command::Inspect(inspect) => inspect::run(&inspect, &cancel),
        Command::Fingerprint(of) => fingerprint::print(&of, &cancel),
        Command::Verify(verify) => fingerprint::verify(&verify, &cancel),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "gantry", &mut std::io::stdout());
            Ok(())
        }
    }
}
