//! What can be set, by option or by environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use reconcile::LogFormat;
use tracing::Level;

/// Webhooks that check and complete CDI's objects and the claims that are made for them.
#[derive(Clone, Debug, Parser)]
#[command(name = "cdi-apiserver", version)]
pub struct Settings {
    /// Address that the API server of Kubernetes calls over HTTPS; health and metrics are there, too.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,

    /// File with the certificate and those that lead to its authority (PEM). Read again when it changes; waited for if it is
    /// not there yet.
    #[arg(long, env = "TLS_CERT", default_value = "/var/run/certs/cdi-apiserver-server-cert/tls.crt")]
    pub tls_cert: PathBuf,

    /// File with the key of the certificate (PEM).
    #[arg(long, env = "TLS_KEY", default_value = "/var/run/certs/cdi-apiserver-server-cert/tls.key")]
    pub tls_key: PathBuf,

    /// How logs are written to standard error.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// The least urgent level that is logged: error, warn, info, debug.
    #[arg(long, env = "LOG_LEVEL", default_value_t = Level::INFO)]
    pub log_level: Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default_and_can_be_set() {
        let none = Settings::parse_from(["cdi-apiserver"]);
        assert_eq!((none.listen.port(), none.log_format), (8443, LogFormat::Json));
        let arguments = [
            "cdi-apiserver",
            "--listen",
            "127.0.0.1:1",
            "--tls-cert",
            "/a",
            "--tls-key",
            "/b",
            "--log-level",
            "debug",
            "--log-format",
            "text",
        ];
        let all = Settings::parse_from(arguments);
        assert_eq!((all.listen.port(), all.log_level, all.log_format), (1, Level::DEBUG, LogFormat::Text));
        assert_eq!((all.tls_cert, all.tls_key), (PathBuf::from("/a"), PathBuf::from("/b")));
    }
}
