//! The product goes and comes again, and its definitions stay for whoever has objects of them: `cargo xtask kubernetes test`.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixtures::command::output;
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::Settings;
use serde_json::Value;
use tests::binary;
use tests::objects::{Namespace, filled};

const SIZE: u64 = 64 * MIB;
const DEFINITION: &str = "datavolumes.cdi.kubevirt.io";

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name}
spec:
  source: {$source}
  pvc: {accessModes: [ReadWriteOnce], volumeMode: Block, storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}
";

fn is_in(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |object| object["status"]["phase"] == phase
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_product_can_be_deleted_and_installed_again_in_the_midst_of_an_import() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), SIZE, 1)?;
    let fingerprint = output(Command::new(binary()).arg("fingerprint").arg(&disk))?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).directive("limit_rate 2m;").start()?;
    let namespace = Namespace::new(&cluster, "again", "")?;
    let create = |name: &str, source: &str| namespace.apply(&filled(MANIFEST, &[("$name", name), ("$source", source)]));
    let uid = |name: &str| -> Result<Value> {
        let object = namespace.object(name)?.with_context(|| format!("{name} is gone"))?;
        Ok(object["metadata"]["uid"].clone())
    };
    create("kept", "blank: {}")?;
    namespace.until("datavolume/kept", "Succeeded", is_in("Succeeded"))?;
    the_webhook_keeps_the_definition(&cluster)?;
    create("half", &format!("http: {{url: '{}'}}", nginx.url("disk.raw")))?;
    namespace.until("datavolume/half", "in progress", is_in("ImportInProgress"))?;
    let objects = ["datavolume/kept", "pvc/kept", "datavolume/half", "pvc/half"];
    let before = objects.map(uid).into_iter().collect::<Result<Vec<_>>>()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/gantry.yaml");
    cluster.ask(&["delete", "--filename", &manifest.display().to_string(), "--timeout", "120s"])?;
    let after = objects.map(uid).into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(before == after, "other objects: {before:?} {after:?}");
    the_policy_keeps_the_definition(&cluster)?;
    cluster.install(&[manifest])?;
    // The controller brings back what is missing of its kinds, and what it makes of them.
    cluster.ask(&["get", "storageprofiles", "gantry"])?;
    let done = namespace.until("datavolume/half", "Succeeded", is_in("Succeeded"))?;
    let said = done["status"]["gantry"]["fingerprint"].as_str().context("no fingerprint")?;
    ensure!(fingerprint.contains(said), "{said} is not in {fingerprint}");
    ensure!(objects.map(uid).into_iter().collect::<Result<Vec<_>>>()? == before, "made anew");
    namespace.ask(&["delete", "datavolumes", "--all"])?;
    nothing_keeps_the_definition(&cluster)
}

/// Deletes a definition, which must be refused with all of these words.
fn refused(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let error = match cluster.ask(&["delete", "crd", DEFINITION, "--wait=false"]) {
        Ok(said) => bail!("{said}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(words.iter().all(|word| error.contains(word)), "{error}");
    Ok(())
}

/// The one that counts, while the product is there.
fn the_webhook_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    refused(cluster, &["DataVolume"])
}

/// Not even once the product has gone does anybody delete it; one that nobody would miss anything of may go.
fn the_policy_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    let webhooks = cluster.ask(&["get", "validatingwebhookconfigurations", "--output", "name"])?;
    ensure!(!webhooks.contains("cdi-api-crd-guard"), "the product is there: {webhooks}");
    refused(cluster, &["datavolumes.cdi.kubevirt.io stays", "every disk they made", "gantry.dev/in-use-"])?;
    cluster.ask(&["delete", "crd", "storageprofiles.cdi.kubevirt.io"]).map(drop)
}

/// There are no DataVolumes any more.
fn nothing_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match cluster.ask(&["delete", "crd", DEFINITION, "--dry-run=server"]) {
            Ok(_) => return Ok(()),
            Err(refused) => ensure!(Instant::now() < end, "{refused:#}"),
        }
        sleep(Duration::from_millis(200));
    }
}
