//! The `cdi-controller` command.

use std::process::ExitCode;

use clap::Parser;
use controller::{Settings, run};
use reconcile::log;

fn main() -> ExitCode {
    let settings = Settings::parse();
    log(&["controller", "cdi_controller"], settings.log_level, settings.log_format);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
