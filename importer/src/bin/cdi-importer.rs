//! The importer of a pod; CDI's name, environment and messages.

use std::process::ExitCode;

use clap::Parser;
use importer::pod::command;

fn main() -> ExitCode {
    importer::split::enter().unwrap_or_else(|| command::main(&command::Arguments::parse()))
}
