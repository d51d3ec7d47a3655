//! The `cdi-apiserver` command.

use std::process::ExitCode;

use apiserver::{Settings, run};
use clap::Parser;
use reconcile::log;

fn main() -> ExitCode {
    let settings = Settings::parse();
    log(&["apiserver", "cdi_apiserver"], settings.log_level, settings.log_format);
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}
