//! `gantry man`: manual pages out of the same definitions as `--help`.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap::builder::Resettable;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use contract::{Code, Failure};

use crate::arguments::{Arguments, EXIT_CODES};

/// Day of the release that the pages are of; changed together with the version.
const RELEASED: &str = "2026-11-25";
const SOURCE: &str = concat!("gantry ", env!("CARGO_PKG_VERSION"));

/// What `gantry import` reads of its environment besides its arguments.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("GANTRY_PASSWORD", "Password for --user, if there is no --password-file."),
    ("http_proxy, https_proxy, all_proxy, no_proxy", "Proxies, if there is no --proxy; also in upper case."),
    (
        "XDG_STATE_HOME",
        "Where the command keeps what tells it that an unfinished target is its own; ~/.local/state if not set.",
    ),
];

/// What the commands that talk to a cluster read of it.
const ENVIRONMENT_OF_CLUSTERS: [(&str, &str); 2] = [
    ("KUBECONFIG", "Kubeconfigs, with colons between them, if there is no --kubeconfig; ~/.kube/config if not set."),
    ("HTTPS_PROXY, NO_PROXY", "Proxy for the API server, if the kubeconfig names none; also in lower case."),
];

/// Writes one page for the command and one for each subcommand into `directory`.
///
/// # Errors
/// The directory or a page cannot be written.
pub(crate) fn write(directory: &Path) -> Result<(), Failure> {
    let mut whole = Arguments::command().disable_help_subcommand(true);
    whole.build();
    let cannot = |error: io::Error| {
        let what = format!("cannot write the manual pages: {error}");
        Failure::new(Code::Usage, what).at(directory.display().to_string())
    };
    fs::create_dir_all(directory).map_err(cannot)?;
    for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
        // The exit codes get a section of that name.
        let man = Man::new(command.clone().after_help(Resettable::Reset)).date(RELEASED).source(SOURCE);
        fs::write(directory.join(man.get_filename()), page(&man, command).map_err(cannot)?).map_err(cannot)?;
    }
    Ok(())
}

fn page(man: &Man, command: &clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut rest = Roff::new();
    let environment: &[(&str, &str)] = match command.get_name() {
        "import" => &ENVIRONMENT,
        "dv" | "explain" => &ENVIRONMENT_OF_CLUSTERS,
        _ => &[],
    };
    if !environment.is_empty() {
        rest.control("SH", ["ENVIRONMENT"]);
        for (name, meaning) in environment {
            rest.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
        }
    }
    rest.control("SH", ["EXIT STATUS"]).text([roman(EXIT_CODES)]);
    if !command.has_subcommands() {
        rest.control("SH", ["SEE ALSO"]).text([bold("gantry"), roman("(1)")]);
    }
    rest.to_writer(&mut page)?;
    // An empty line between two breaks is what clap_mangen puts before possible values; mandoc warns of it.
    Ok(String::from_utf8_lossy(&page).replace(".br\n\n.br\n", ".sp\n"))
}
