//! The `gantry` command.

mod arguments;
mod command;
mod show;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let json = arguments.json();
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show::failure(&failure, json);
            signals::exit_code(&failure)
        }
    }
}
