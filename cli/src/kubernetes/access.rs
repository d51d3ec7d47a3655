//! Which cluster, as whom, and in which namespace: as kubectl finds them.

use contract::{Code, Failure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::answer::{chain, failure};
use crate::arguments::Access as Arguments;

/// A way into a cluster.
pub(crate) struct Access {
    pub(crate) client: Client,
    /// The namespace that is meant where none is named.
    pub(crate) namespace: String,
    /// Whether the command line names it.
    pub(crate) is_named: bool,
}

impl Access {
    /// The way that the arguments, `KUBECONFIG`, `~/.kube/config` or the pod's own account say, the first that is there.
    ///
    /// # Errors
    /// Code `usage` where none of them can be used.
    pub(crate) async fn find(arguments: &Arguments) -> Result<Self, Failure> {
        let config = config(arguments).await.map_err(|cause| {
            Failure::new(Code::Usage, format!("no cluster can be found: {cause}"))
                .remedy("give --kubeconfig FILE and --context NAME, or set KUBECONFIG to what kubectl uses")
        })?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| failure(&error))?;
        Ok(Self { client, namespace, is_named: arguments.namespace.is_some() })
    }
}

async fn config(arguments: &Arguments) -> Result<Config, String> {
    let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    let of_file = |error: &dyn std::error::Error| chain(error);
    match &arguments.kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file).map_err(|error| of_file(&error))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| of_file(&error))
        }
        // A pod's own account has no contexts.
        None if arguments.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|error| of_file(&error)),
        None => Config::infer().await.map_err(|error| of_file(&error)),
    }
}
