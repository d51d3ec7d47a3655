//! The importer of a pod; CDI's name, environment and messages.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    importer::pod::command::main(&importer::pod::command::Arguments::parse())
}
