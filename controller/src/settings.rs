//! What the Deployment says, as arguments or in the environment variables that CDI's has (cdi.md §7.5).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use api::label;
use clap::{CommandFactory, Parser};
use k8s_openapi::api::core::v1::{Container, EnvVar};
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
    /// What this container of a Deployment is told, in the namespace that it is in. Only what stands there in words counts, not
    /// this process's own environment.
    ///
    /// # Errors
    /// It is told something that it would not start with.
    pub fn of_container(container: &Container, namespace: &str) -> Result<Self, clap::Error> {
        let environment = container.env.as_deref().unwrap_or_default();
        let value = |name: &str| environment.iter().find(|variable| variable.name == name)?.value.clone();
        let command = Self::command().args_override_self(true);
        let told: Vec<String> = command
            .get_arguments()
            .filter_map(|argument| Some((argument.get_long()?, value(argument.get_env()?.to_str()?)?)))
            .map(|(name, value)| format!("--{name}={value}"))
            .collect();
        let deaf = command.mut_args(|argument| argument.env(None::<&str>));
        let all = ["cdi-controller".to_owned(), format!("--namespace={namespace}")].into_iter().chain(told);
        let matches = deaf.try_get_matches_from(all.chain(container.args.clone().unwrap_or_default()))?;
        <Self as clap::FromArgMatches>::from_arg_matches(&matches)
    }

    /// What a controller is told that is only told its image and its namespace, whatever this process's own environment has.
    #[must_use]
    pub fn by_default(image: &str, namespace: &str) -> Self {
        let image = EnvVar { name: "IMPORTER_IMAGE".into(), value: Some(image.to_owned()), value_from: None };
        let container = Container { env: Some(vec![image]), ..Container::default() };
        Self::of_container(&container, namespace).expect("defaults are valid")
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_container_is_told_by_its_environment_and_its_arguments() {
        let container = "
name: cdi-controller
args: [--log-level=debug, --pull-policy=Always]
env:
- {name: IMPORTER_IMAGE, value: 'registry/image:2'}
- {name: PULL_POLICY, value: Never}
- {name: INSTALLER_VERSION_LABEL, value: v2}
- {name: CDI_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: OTHER, value: ignored}
";
        let settings = Settings::of_container(&sample::yaml(container), "here").unwrap();
        assert_eq!((settings.importer_image.as_str(), settings.pull_policy.as_str()), ("registry/image:2", "Always"));
        assert_eq!((settings.namespace.as_str(), settings.version.as_deref()), ("here", Some("v2")));
        assert_eq!(settings.log_level, tracing::Level::DEBUG);
        assert_eq!(Settings::by_default("image", "here").pull_policy, "IfNotPresent");
        let nothing = Container::default();
        assert!(Settings::of_container(&nothing, "here").unwrap_err().to_string().contains("importer-image"));
    }
}
