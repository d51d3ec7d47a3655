//! What can be set, by option or by environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use tracing::Level;

/// CSI driver for local volumes with snapshots and clones.
#[derive(Clone, Debug, Parser)]
#[command(name = "gantry-csi", version)]
pub struct Settings {
    /// Folder that holds the volumes: an empty one, or a pool made before. On xfs or btrfs, snapshots and clones take no time
    /// and no space.
    #[arg(long, env = "GANTRY_CSI_POOL")]
    pub pool: PathBuf,

    /// Name of this node, as Kubernetes knows it.
    #[arg(long, env = "NODE_NAME")]
    pub node: String,

    /// Name of the driver; a second pool on a node needs a second driver with another name.
    #[arg(long, default_value = "csi.gantry.dev", value_parser = driver_name)]
    pub driver_name: String,

    /// Unix socket that the sidecars and the kubelet call.
    #[arg(long, env = "CSI_ENDPOINT", default_value = "unix:///csi/csi.sock", value_parser = endpoint)]
    pub endpoint: PathBuf,

    /// Folder that the kubelet watches for plugins; without it, the driver does not register itself.
    #[arg(long)]
    pub registration_folder: Option<PathBuf>,

    /// The endpoint as the kubelet sees it, if that is another path.
    #[arg(long, value_parser = endpoint, requires = "registration_folder")]
    pub kubelet_endpoint: Option<PathBuf>,

    /// Bytes promised to volumes and snapshots for each byte of the pool. At 1.0 every volume can be filled; above it, guests
    /// meet I/O errors once the pool is full.
    #[arg(long, default_value_t = 1.0)]
    pub over_commit: f64,

    /// Grow volumes only where they are, when the kubelet asks for it. For clusters of several nodes, where the resizer runs on
    /// one of them.
    #[arg(long)]
    pub expand_on_node: bool,

    /// Address for metrics (/metrics) and health (/healthz) over HTTP; without it, there is neither.
    #[arg(long)]
    pub http_address: Option<SocketAddr>,

    /// How logs are written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// The least urgent level that is logged: error, warn, info, debug.
    #[arg(long, default_value_t = Level::INFO)]
    pub log_level: Level,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// Plain text.
    Text,
}

/// `unix:///path` or a path.
fn endpoint(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text));
    if path.is_absolute() { Ok(path) } else { Err("must be unix:// and an absolute path".to_owned()) }
}

/// CSI specification, `GetPluginInfoResponse.name`: a domain name of at most 63 characters.
fn driver_name(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if text.len() <= 63 && text.chars().all(is_inner) && is_end(text.chars().next()) && is_end(text.chars().last()) {
        return Ok(text.to_owned());
    }
    Err("must be at most 63 letters, digits, dots and dashes, with a letter or digit at both ends".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_path_with_or_without_its_scheme() {
        for text in ["unix:///a/b", "unix:/a/b", "/a/b"] {
            assert_eq!(endpoint(text).unwrap(), PathBuf::from("/a/b"));
        }
        assert!(endpoint("unix://a").is_err() && endpoint("tcp://1.2.3.4:5").is_err());
    }

    #[test]
    fn a_driver_name_is_a_domain_name() {
        assert!(driver_name("csi.gantry.dev").is_ok());
        for bad in ["", "-a", "a.", "a_b", &"a".repeat(64)] {
            assert!(driver_name(bad).is_err(), "{bad:?}");
        }
    }
}
