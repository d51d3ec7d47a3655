//! What the Deployment says, as arguments or in the environment variables that CDI's has (cdi.md §7.5).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use api::label;
use clap::Parser;
use reconcile::LogFormat;

/// CDI's controllers.
#[derive(Clone, Debug, Parser)]
#[command(name = "cdi-controller", version, about)]
pub struct Settings {
    /// Image of importer pods.
    #[arg(long, env = "IMPORTER_IMAGE")]
    pub importer_image: String,
    /// Program in that image, if it is not the image's own.
    #[arg(long, env = "IMPORTER_COMMAND")]
    pub importer_command: Option<String>,
    /// When the image is pulled: Always, IfNotPresent, Never.
    #[arg(long, env = "PULL_POLICY", default_value = "IfNotPresent")]
    pub pull_policy: String,
    /// Namespace that the product is installed in.
    #[arg(long, env = "CDI_NAMESPACE", default_value = "cdi")]
    pub namespace: String,
    /// Name of this replica.
    #[arg(long, env = "POD_NAME", default_value = "cdi-controller")]
    pub identity: String,
    /// Value of the label app.kubernetes.io/part-of on what is made.
    #[arg(long, env = "INSTALLER_PART_OF_LABEL")]
    pub part_of: Option<String>,
    /// Value of the label app.kubernetes.io/version on what is made.
    #[arg(id = "installer-version", long = "installer-version", env = "INSTALLER_VERSION_LABEL")]
    pub version: Option<String>,
    /// Address of the pages /metrics, /healthz and /readyz.
    #[arg(long, env = "METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_address: SocketAddr,
    /// Lowest level of log lines.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
    /// Shape of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

impl Settings {
    /// Labels of everything that a controller makes (cdi.md §2.10).
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (label::APP.to_owned(), label::APP_VALUE.to_owned()),
            (label::MANAGED_BY.to_owned(), label::MANAGED_BY_CONTROLLER.to_owned()),
            (label::KUBERNETES_COMPONENT.to_owned(), label::KUBERNETES_COMPONENT_STORAGE.to_owned()),
        ]);
        let of_installer = [(label::PART_OF, &self.part_of), (label::VERSION, &self.version)];
        let of_installer = of_installer.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        labels.extend(of_installer);
        labels
    }
}
