//! The `cdi-apiserver` command.

use std::process::ExitCode;

use apiserver::{LogFormat, Settings, run};
use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let settings = Settings::parse();
    log(&settings);
    match run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Sets up logs: our own from the chosen level on, warnings of libraries.
fn log(settings: &Settings) {
    let level = settings.log_level;
    let ours = Targets::new().with_default(tracing::Level::WARN).with_targets([
        ("apiserver", level),
        ("cdi_apiserver", level),
        ("reconcile", level),
    ]);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(ours);
    match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => registry.with(lines.with_ansi(false)).init(),
    }
}
