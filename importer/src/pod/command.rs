//! The command line of `cdi-importer`, which `gantry cdi-importer` has too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::{Code, Failure};

use super::Places;
use crate::signals;

/// Arguments of the process; everything else is in its environment.
#[derive(Clone, Debug, Parser)]
#[command(name = "cdi-importer", version)]
pub struct Arguments {
    /// How much to log; from 3 on the report of a finished import too
    #[arg(short, value_name = "LEVEL", default_value_t = 1)]
    pub verbosity: u8,
    /// What stands before each path of the pod
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub root: PathBuf,
    /// Where the progress is served
    #[arg(long, value_name = "ADDRESS", default_value_t = Places::default().metrics)]
    pub metrics_address: SocketAddr,
}

/// Runs the process to its exit code.
pub fn main(arguments: &Arguments) -> ExitCode {
    let places = Places { root: arguments.root.clone(), metrics: arguments.metrics_address };
    let ended = signals::cancel_on_signal()
        .map_err(|error| Failure::new(Code::Internal, format!("cannot install the signal handlers: {error}")))
        .and_then(|cancel| super::run(&places, arguments.verbosity, &cancel));
    match ended {
        Ok(exit) => ExitCode::from(exit),
        Err(failure) => {
            eprintln!("cdi-importer: {failure}");
            ExitCode::FAILURE
        }
    }
}
