//! The command line as typed: plain data, no decisions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use contract::Failure;
use formats::probe::Format;
use importer::source::location::parse_size;
use mover::checksum::Checksum;
use mover::fingerprint::Fingerprint;
use mover::size::Overhead;
use mover::target::Preallocation;

/// Puts virtual-machine disk images on volumes: one pass, resumable, verified.
#[derive(Parser)]
#[command(name = "gantry", version, max_term_width = 120, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, 1 defect, 2 usage, 3 source, 4 image refused, 5 verification failed, 6 target, 7 cluster, \
130 or 143 stopped by a signal. Every failure names its code; docs/errors.md explains them.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Import a disk image as a raw disk into a file or a block device
    Import(Box<Import>),
    /// Show what an image is, how much of it is data, and what is risky about it
    Inspect(Box<Inspect>),
    /// Print the content fingerprint of a raw disk
    Fingerprint(FingerprintOf),
    /// Check that a raw disk has the content a fingerprint was made from
    Verify(Verify),
    /// List the DataVolumes of a cluster, or follow them
    Dv(Dv),
    /// Say what a DataVolume would come to in a cluster, step by step; nothing is made
    Explain(Explain),
    /// Run as the importer of a pod: told by the environment that CDI's controller sets
    CdiImporter(importer::pod::command::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, gantry.1 and one for each command
    Man {
        /// Directory to write them into; it is made if it is missing
        directory: PathBuf,
    },
}

impl Arguments {
    /// Whether the result is to be JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Import(import) => import.json,
            Command::Inspect(inspect) => inspect.json,
            Command::Fingerprint(fingerprint) => fingerprint.json,
            Command::Verify(verify) => verify.json,
            Command::Dv(dv) => dv.json,
            Command::Explain(explain) => explain.json,
            Command::CdiImporter(_) | Command::Completions { .. } | Command::Man { .. } => false,
        }
    }
}

const IMPORT_USAGE: &str =
    "gantry import [OPTIONS] <SOURCE> <TARGET>\n       gantry import [OPTIONS] --manifest <FILE> [TARGET]";

#[derive(Args)]
#[command(override_usage = IMPORT_USAGE)]
pub(crate) struct Import {
    /// http:// or https:// address, path, - for standard input, or blank:SIZE for an empty disk
    #[arg(required_unless_present = "manifest")]
    pub(crate) source: Option<String>,
    /// File to make, block device to fill, or with --content-type archive the directory to unpack into
    #[arg(required_unless_present = "manifest")]
    pub(crate) target: Option<PathBuf>,
    /// File with a DataVolume, and the ConfigMaps and Secrets that it names: what it asks for is done here, without a
    /// cluster; - for standard input. TARGET is then a device, a directory, which gets disk.img, or a file (disk.img)
    #[arg(long, value_name = "FILE", conflicts_with_all =
        ["target", "content_type", "checksum", "checksum_from", "size", "preallocation"])]
    pub(crate) manifest: Option<PathBuf>,
    /// What the source holds: a disk image, or a tar file to unpack
    #[arg(long, value_enum, default_value_t = ContentType::Kubevirt)]
    pub(crate) content_type: ContentType,
    /// Digest to verify, as md5:HEX, sha1:HEX, sha256:HEX or sha512:HEX: of the file, of what is inside its compression, or
    /// of the raw disk
    #[arg(long, value_name = "ALGO:HEX", value_parser = failing::<Checksum>)]
    pub(crate) checksum: Option<Checksum>,
    /// List of checksums to take the digest from: an address, a path, or - for standard input. SHA256SUMS, *-CHECKSUM,
    /// disk.img.sha256 and the like; the line of the source's file name counts
    #[arg(long, value_name = "LIST", conflicts_with = "checksum")]
    pub(crate) checksum_from: Option<String>,
    /// Disk in an archive (.ova, tar, zip), by the name of its member; needed only where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) disk: Option<String>,
    /// Format of the image: raw, iso, qcow2, vmdk, vdi, vhd, vhdx or qed. Without it its bytes decide; with it an archive is
    /// looked into only for --disk
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Take the file as it is, even if it begins like a compressed one; needs --format
    #[arg(long, requires = "format")]
    pub(crate) no_decompress: bool,
    /// Size of the file (10Gi, 512M, bytes); the disk is grown to it, never cut
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<u64>,
    /// Share of the file system kept for itself, such as 0.06; the disk gets what remains of --size or of the free space
    #[arg(long, value_name = "SHARE", value_parser = failing::<Overhead>)]
    pub(crate) filesystem_overhead: Option<Overhead>,
    /// Space to make sure of before data arrives
    #[arg(long, value_enum, default_value_t = PreallocationMode::None)]
    pub(crate) preallocation: PreallocationMode,
    /// Directory for what a stream brings before its place is known; without it a file's own directory, and none for a device
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) scratch: Option<PathBuf>,
    /// Overwrite a file, a device that holds something known, or what a symbolic link points to
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what would happen and why, and do nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// Most bytes to fetch per second (10M, bytes); of a disk that an archive compresses, most decoded bytes
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) rate_limit: Option<u64>,
    /// Accept a source whose end cannot be told from a broken connection
    #[arg(long)]
    pub(crate) accept_unknown_length: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) http: Http,
}

/// How to speak to a web server. Secrets come from files or the environment, never from arguments.
#[derive(Args)]
#[command(next_help_heading = "HTTP options")]
pub(crate) struct Http {
    /// User for basic authentication
    #[arg(long, value_name = "NAME", requires = "password")]
    pub(crate) user: Option<String>,
    /// File with the password; else the environment variable GANTRY_PASSWORD
    #[arg(long, value_name = "FILE", group = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// The password itself, from the environment only
    #[arg(long, hide = true, env = "GANTRY_PASSWORD", hide_env_values = true, group = "password")]
    pub(crate) password_from_environment: Option<String>,
    /// Header to send, "Name: value"; may be given again
    #[arg(long = "header", value_name = "LINE")]
    pub(crate) headers: Vec<String>,
    /// File whose content is one header line that is never shown; may be given again
    #[arg(long = "secret-header-file", value_name = "FILE")]
    pub(crate) secret_headers: Vec<PathBuf>,
    /// PEM file of authorities to trust beside the machine's own; may be given again
    #[arg(long = "ca-cert", value_name = "FILE")]
    pub(crate) ca_certs: Vec<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Proxy for both http: and https: addresses; without it the environment decides (http_proxy, https_proxy, no_proxy)
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Hosts to reach without the proxy, with commas between; * for all
    #[arg(long, value_name = "HOSTS", default_value = "")]
    pub(crate) no_proxy: String,
    /// Longest time until a connection stands, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// Longest time without a byte, in seconds; then the connection counts as lost
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) idle_timeout: Duration,
    /// Longest time for everything, in seconds; without it there is no limit
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Longest time to keep trying without progress, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) retry_for: Duration,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// http:// or https:// address, or path; over HTTP only tables are read
    pub(crate) source: String,
    /// Disk in an archive (.ova, tar, zip), by the name of its member; without it several disks are listed
    #[arg(long, value_name = "NAME")]
    pub(crate) disk: Option<String>,
    /// Format of the image: raw, iso, qcow2, vmdk, vdi, vhd, vhdx or qed. Without it its bytes decide
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) http: Http,
}

#[derive(Args)]
pub(crate) struct FingerprintOf {
    /// Raw disk: a file or a block device
    pub(crate) disk: PathBuf,
    /// Bytes to look at (10Gi, 512M, bytes); without it the whole disk
    #[arg(long, value_parser = size)]
    pub(crate) size: Option<u64>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Raw disk: a file or a block device
    pub(crate) disk: PathBuf,
    /// What it should be, gantry1:SIZE:ROOT
    #[arg(value_parser = failing::<Fingerprint>)]
    pub(crate) fingerprint: Fingerprint,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which cluster, as whom, in which namespace.
#[derive(Args)]
#[command(next_help_heading = "Cluster options")]
pub(crate) struct Access {
    /// Namespace; without it the one of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Kubeconfig to use; without it the files in KUBECONFIG, ~/.kube/config, or in a pod its service account
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it its current one
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

#[derive(Args)]
pub(crate) struct Dv {
    /// DataVolumes to show; without names all of the namespace
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Show those of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["names", "namespace"])]
    pub(crate) all_namespaces: bool,
    /// Go on showing what changes: bars on a terminal, lines elsewhere. With names until all of them are finished; the exit
    /// code is then that of the first failure
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Print one JSON object on a line of its own for each DataVolume, with --watch for each change
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) access: Access,
}

#[derive(Args)]
pub(crate) struct Explain {
    /// File with DataVolumes, and Secrets and ConfigMaps that will be there with them; - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Namespace that the product is installed in
    #[arg(long, value_name = "NAMESPACE", default_value = "cdi")]
    pub(crate) installation: String,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// CDI's content types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContentType {
    /// One disk image
    Kubevirt,
    /// A tar file, compressed or not
    Archive,
}

/// qemu-img's preallocation modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PreallocationMode {
    /// Holes stay holes
    None,
    /// Space is reserved and reads as zeros
    Falloc,
    /// Every byte is written
    Full,
}

impl From<PreallocationMode> for Preallocation {
    fn from(mode: PreallocationMode) -> Self {
        match mode {
            PreallocationMode::None => Self::None,
            PreallocationMode::Falloc => Self::Falloc,
            PreallocationMode::Full => Self::Full,
        }
    }
}

fn failing<T: std::str::FromStr<Err = Failure>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|failure: Failure| format!("{failure}; {}", failure.what_to_do()))
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error: formats::Error| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|failure| format!("{failure}; {}", failure.what_to_do()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
