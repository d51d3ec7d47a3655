//! The `gantry` command.

mod arguments;
mod command;
mod dv;
mod explain;
mod kubernetes;
mod manifest;
mod request;
mod show;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(ended) = importer::split::enter() {
        return ended;
    }
    let arguments = arguments::Arguments::parse();
    let json = arguments.json();
    command::run(arguments).unwrap_or_else(|failure| {
        show::failure(&failure, json);
        importer::signals::exit_code(&failure)
    })
}
