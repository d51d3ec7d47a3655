//! What the product may ask of the API server, and what was refused to it in the cluster's life: `cargo xtask kubernetes test`.

use anyhow::{Result, ensure};
use fixtures::kubernetes::{APISERVER, CONTROLLER, Call, Cluster};

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn no_call_is_refused_and_no_account_may_too_much() -> Result<()> {
    let cluster = Cluster::running()?;
    let calls = cluster.audit(cluster.installed()?)?;
    let ours = |call: &&Call| call.user == CONTROLLER || call.user == APISERVER;
    let refused: Vec<&Call> = calls.iter().filter(ours).filter(|call| call.is_forbidden()).collect();
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    ensure!(calls.iter().any(|call| ours(&call)), "nothing was asked");
    for account in ["cdi-sa", "cdi-apiserver"] {
        let text =
            cluster.ask(&["auth", "can-i", "--list", "--as", &format!("system:serviceaccount:cdi:{account}")])?;
        ensure!(!text.contains("pods/log") && !text.contains("*.*"), "{account} may too much:\n{text}");
    }
    let secrets = cluster.ask(&["auth", "can-i", "get", "secrets", "--namespace", "default", "--as", CONTROLLER]);
    ensure!(secrets.is_err(), "secrets of users can be read");
    Ok(())
}
