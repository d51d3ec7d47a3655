//! The `cdi-controller` command.

use std::process::ExitCode;

use clap::Parser;
use controller::{LogFormat, Settings, run};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let settings = Settings::parse();
    log(&settings);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Sets up logs: our own from the chosen level on, warnings of libraries.
fn log(settings: &Settings) {
    let ours = Targets::new()
        .with_default(Level::WARN)
        .with_target("controller", settings.log_level)
        .with_target("reconcile", settings.log_level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(ours);
    match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => registry.with(lines.with_ansi(false)).init(),
    }
}
