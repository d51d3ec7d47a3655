//! What DataVolumes and claims can ask for beyond a disk from a server: `cargo xtask kubernetes test`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixtures::command::run;
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use fixtures::tls::Authority;
use serde_json::Value;
use tempfile::TempDir;
use tests::objects::{Namespace, filled};
use tests::{consumer, sha256};

const SIZE: u64 = 16 * MIB;
const RESTRICTED: &str = "pod-security.kubernetes.io/enforce: restricted";

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name, $metadata}
spec:
  source: {$source}
  $rest
";

/// Of a DataVolume: a claim of a class that binds at once.
const CLAIM: &str =
    "pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";

/// A disk, and a server that has it.
struct Bed {
    cluster: Cluster,
    folder: TempDir,
    nginx: Nginx,
    digest: String,
}

impl Bed {
    fn new(directive: &str) -> Result<Self> {
        let cluster = Cluster::running()?;
        cluster.share_network()?;
        let folder = tempfile::tempdir()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), SIZE, 1)?;
        let nginx = Settings::new(folder.path()).address(ADDRESS).directive(directive).start()?;
        Ok(Self { digest: sha256(&disk)?, cluster, folder, nginx })
    }

    /// `spec.source` for a file of the server.
    fn source(&self, file: &str) -> String {
        format!("http: {{url: '{}'}}", self.nginx.url(file))
    }
}

fn create(namespace: &Namespace, name: &str, metadata: &str, source: &str, rest: &str) -> Result<()> {
    let words = [("$name", name), ("$metadata", metadata), ("$source", source), ("$rest", rest)];
    namespace.apply(&filled(MANIFEST, &words)).with_context(|| name.to_owned())
}

fn succeeded(namespace: &Namespace, name: &str) -> Result<Value> {
    namespace.until(&format!("datavolume/{name}"), "Succeeded", |found| found["status"]["phase"] == "Succeeded")
}

fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

fn there(namespace: &Namespace, object: &str) -> Result<Value> {
    namespace.object(object)?.with_context(|| format!("{object} is not there"))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_archive_is_unpacked_into_its_volume() -> Result<()> {
    let bed = Bed::new("")?;
    let tree = bed.folder.path().join("tree/inner");
    fs::create_dir_all(&tree)?;
    fs::write(tree.join("file"), "what the archive holds")?;
    run(Command::new("tar").current_dir(bed.folder.path()).args(["-C", "tree", "-czf", "tree.tar.gz", "."]))?;
    let namespace = Namespace::new(&bed.cluster, "archives", RESTRICTED)?;
    for (name, populator) in [("handed-over", "true"), ("in-place", "false")] {
        let metadata = format!("annotations: {{cdi.kubevirt.io/storage.usePopulator: '{populator}'}}");
        create(&namespace, name, &metadata, &bed.source("tree.tar.gz"), &format!("contentType: archive\n  {CLAIM}"))?;
        succeeded(&namespace, name)?;
        let claim = there(&namespace, &format!("pvc/{name}"))?;
        ensure!(annotation(&claim, "cdi.kubevirt.io/storage.contentType") == "archive", "{claim}");
        let text = consumer::ask(&namespace, name, false, "cat /data/inner/file; test ! -e /data/disk.img")?;
        ensure!(text == "what the archive holds", "{text}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_preallocated_disk_has_all_its_blocks() -> Result<()> {
    let bed = Bed::new("")?;
    raw::blank(&bed.folder.path().join("sparse.raw"), SIZE)?;
    let namespace = Namespace::new(&bed.cluster, "preallocated", RESTRICTED)?;
    // Blocks of 512 bytes, and the size they are of.
    let blocks = |name: &str| -> Result<(u64, u64)> {
        let text = consumer::ask(&namespace, name, false, "busybox stat -c \"%b %s\" /data/disk.img")?;
        let (blocks, size) = text.split_once(' ').context("no two numbers")?;
        Ok((blocks.parse::<u64>()? * 512, size.parse()?))
    };
    for (name, source) in [("from-server", bed.source("sparse.raw")), ("empty", "blank: {}".to_owned())] {
        for (suffix, asked) in [("full", true), ("thin", false)] {
            let name = format!("{name}-{suffix}");
            create(&namespace, &name, "", &source, &format!("preallocation: {asked}\n  {CLAIM}"))?;
            succeeded(&namespace, &name)?;
            let claim = there(&namespace, &format!("pvc/{name}"))?;
            let requested = annotation(&claim, "cdi.kubevirt.io/storage.preallocation.requested");
            ensure!(requested == asked.to_string(), "{claim}");
            ensure!((annotation(&claim, "cdi.kubevirt.io/storage.preallocation") == "true") == asked, "{claim}");
            let (allocated, size) = blocks(&name)?;
            ensure!(size >= SIZE && (allocated >= size) == asked, "{name}: {allocated} of {size} bytes");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_is_to_be_kept_after_an_import_is_kept() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "retained", RESTRICTED)?;
    for (name, populator) in [("handed-over", "true"), ("in-place", "false")] {
        let metadata = format!(
            "annotations: {{cdi.kubevirt.io/storage.usePopulator: '{populator}', cdi.kubevirt.io/storage.pod.retainAfterCompletion: 'true'}}"
        );
        create(&namespace, name, &metadata, &bed.source("disk.raw"), CLAIM)?;
        succeeded(&namespace, name)?;
        let claim = there(&namespace, &format!("pvc/{name}"))?;
        let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
        let filled = if populator == "true" { format!("prime-{uid}") } else { name.to_owned() };
        let is_over = |pod: &Value| pod["status"]["phase"] == "Succeeded";
        namespace.until(&format!("pod/importer-{filled}"), "over", is_over)?;
        if populator == "true" {
            namespace.until(&format!("pvc/{filled}"), "lost", |prime| prime["status"]["phase"] == "Lost")?;
            let events = namespace.events(name)?;
            ensure!(events.iter().any(|reason| reason == "RetainedPVCPrime"), "{events:?}");
        }
        ensure!(consumer::digest(&namespace, name, false, SIZE)? == bed.digest, "{name} holds something else");
        namespace.ask(&["delete", "datavolume", name])?;
        namespace.gone(&format!("pod/importer-{filled}"))?;
        namespace.gone(&format!("pvc/{filled}"))?;
    }
    Ok(())
}

const BARE: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $name, $metadata}
spec: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}, $rest}
";

fn claim(namespace: &Namespace, name: &str, metadata: &str, rest: &str) -> Result<()> {
    namespace.apply(&filled(BARE, &[("$name", name), ("$metadata", metadata), ("$rest", rest)]))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_that_is_there_is_taken_over_only_where_it_may_be() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "adopted", RESTRICTED)?;
    for name in ["adopted", "named"] {
        let metadata = if name == "named" {
            "annotations: {cdi.kubevirt.io/storage.populatedFor: named}".to_owned()
        } else {
            String::new()
        };
        claim(&namespace, name, &metadata, "")?;
        consumer::ask(&namespace, name, false, "echo precious > /data/disk.img")?;
    }
    for annotations in ["", "annotations: {cdi.kubevirt.io/allowClaimAdoption: 'false'}"] {
        let refused = create(&namespace, "adopted", annotations, &bed.source("disk.raw"), CLAIM);
        let error = refused.err().context("another's claim was taken")?;
        ensure!(format!("{error:#}").contains("already exists"), "{error:#}");
    }
    for (name, annotation) in [
        ("adopted", "cdi.kubevirt.io/allowClaimAdoption: 'true'"),
        ("named", "cdi.kubevirt.io/storage.prePopulated: named"),
    ] {
        create(&namespace, name, &format!("annotations: {{{annotation}}}"), &bed.source("disk.raw"), CLAIM)?;
        let data_volume = succeeded(&namespace, name)?;
        ensure!(data_volume["status"]["progress"] == "100.0%", "{data_volume}");
        ensure!(consumer::ask(&namespace, name, false, "cat /data/disk.img")? == "precious", "{name} was written over");
    }
    let owners = |name: &str| {
        there(&namespace, &format!("pvc/{name}")).map(|claim| claim["metadata"]["ownerReferences"].clone())
    };
    let uid = there(&namespace, "datavolume/adopted")?["metadata"]["uid"].clone();
    ensure!(owners("adopted")?[0]["uid"] == uid && owners("adopted")?[0]["controller"] == true, "it has no owner");
    ensure!(owners("named")?.is_null(), "a claim that is only named stays its user's");
    ensure!(bed.nginx.requests()?.is_empty(), "something was fetched");
    Ok(())
}

const WORKERS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: importers}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn workers_inherit_what_cdi_passes_on_and_nothing_else() -> Result<()> {
    let bed = Bed::new("limit_rate 2m;")?;
    let namespace = Namespace::new(&bed.cluster, "inherited", RESTRICTED)?;
    namespace.apply(WORKERS)?;
    bed.cluster
        .apply("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: gantry-test}, value: 7}")?;
    let metadata = "labels: {team: blue, instancetype.kubevirt.io/default-preference: linux},
  annotations: {team/owner: somebody, k8s.v1.cni.cncf.io/networks: storage, v1.multus-cni.io/default-network: fast,
    sidecar.istio.io/inject: 'true', cdi.kubevirt.io/storage.usePopulator: '$populator'}";
    let rest = format!("priorityClassName: gantry-test\n  serviceAccountName: importers\n  {CLAIM}");
    for (name, populator) in [("handed-over", "true"), ("in-place", "false")] {
        create(&namespace, name, &metadata.replace("$populator", populator), &bed.source("disk.raw"), &rest)?;
        let claim = namespace.until(&format!("pvc/{name}"), "there", |_| true)?;
        let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
        let filled = if populator == "true" { format!("prime-{uid}") } else { name.to_owned() };
        let pod = namespace.until(&format!("pod/importer-{filled}"), "there", |_| true)?;
        check_worker(&pod, &claim)?;
        succeeded(&namespace, name)?;
        ensure!(consumer::digest(&namespace, name, false, SIZE)? == bed.digest, "{name} holds something else");
    }
    bed.cluster.ask(&["delete", "priorityclass", "gantry-test"]).map(drop)
}

fn check_worker(pod: &Value, claim: &Value) -> Result<()> {
    ensure!(pod["spec"]["priorityClassName"] == "gantry-test" && pod["spec"]["priority"] == 7, "{pod}");
    ensure!(pod["spec"]["serviceAccountName"] == "importers", "{pod}");
    ensure!(pod["spec"]["automountServiceAccountToken"] == false, "{pod}");
    for (object, key, value) in [
        (claim, "team/owner", "somebody"),
        (pod, "team/owner", ""),
        (pod, "k8s.v1.cni.cncf.io/networks", "storage"),
        (pod, "v1.multus-cni.io/default-network", "fast"),
        (pod, "sidecar.istio.io/inject", "true"),
        (pod, "linkerd.io/inject", "disabled"),
        (pod, "cdi.kubevirt.io/storage.usePopulator", ""),
    ] {
        ensure!(annotation(object, key) == value, "{key}: {object}");
    }
    for object in [claim, pod] {
        for (key, value) in [
            ("team", "blue"),
            ("instancetype.kubevirt.io/default-preference", "linux"),
            ("app", "containerized-data-importer"),
            ("app.kubernetes.io/managed-by", "cdi-controller"),
        ] {
            ensure!(object["metadata"]["labels"][key] == value, "{key}: {object}");
        }
    }
    ensure!(claim["metadata"]["labels"]["alerts.k8s.io/KubePersistentVolumeFillingUp"] == "disabled", "{claim}");
    ensure!(pod["metadata"]["labels"]["cdi.kubevirt.io"] == "importer", "{pod}");
    ensure!(pod["metadata"]["labels"]["prometheus.cdi.kubevirt.io"] == "true", "{pod}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_with_import_annotations_is_filled() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "annotated", RESTRICTED)?;
    let metadata = format!(
        "annotations: {{cdi.kubevirt.io/storage.import.source: http, cdi.kubevirt.io/storage.import.endpoint: '{}',
      cdi.kubevirt.io/storage.import.checksum: '{}'}}",
        bed.nginx.url("disk.raw"),
        bed.digest
    );
    claim(&namespace, "annotated", &metadata, "")?;
    let is_done = |found: &Value| annotation(found, "cdi.kubevirt.io/storage.pod.phase") == "Succeeded";
    let done = namespace.until("pvc/annotated", "filled", is_done)?;
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.condition.running.message") == "Import Complete", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.import.importPodName") == "importer-annotated", "{done}");
    ensure!(annotation(&done, "gantry.dev/fingerprint").starts_with("gantry1:"), "{done}");
    namespace.gone("pod/importer-annotated")?;
    ensure!(consumer::digest(&namespace, "annotated", false, SIZE)? == bed.digest, "it holds something else");
    Ok(())
}

const SOURCE: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: VolumeImportSource
metadata: {name: source}
spec: {source: {$source}, preallocation: true}
";
const FROM_SOURCE: &str = "dataSourceRef: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: source}";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_is_filled_from_a_source_that_comes_later_and_shows_how_far_it_is() -> Result<()> {
    let bed = Bed::new("limit_rate 300k;")?;
    let namespace = Namespace::new(&bed.cluster, "populated", RESTRICTED)?;
    claim(&namespace, "populated", "", FROM_SOURCE)?;
    namespace.apply(&filled(SOURCE, &[("$source", &bed.source("disk.raw"))]))?;
    let progress = |found: &Value| annotation(found, "cdi.kubevirt.io/storage.populator.progress").to_owned();
    let percent = |text: &str| text.trim_end_matches('%').parse::<f64>().unwrap_or(0.0);
    let begun = |found: &Value| percent(&progress(found)) > 0.0;
    let first = progress(&namespace.until("pvc/populated", "begun", begun)?);
    ensure!(percent(&first) < 100.0, "{first}");
    let further = |found: &Value| percent(&progress(found)) > percent(&first);
    namespace.until("pvc/populated", "further", further)?;
    let done = namespace.until("pvc/populated", "bound", |found| found["status"]["phase"] == "Bound")?;
    ensure!(progress(&done) == "100.0%", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.preallocation") == "true", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.preallocation.requested") == "true", "{done}");
    let events = namespace.events("populated")?;
    for wanted in ["CreatedPVCPrimeSuccessfully", "importSucceeded"] {
        ensure!(events.iter().any(|reason| reason == wanted), "{wanted}: {events:?}");
    }
    ensure!(consumer::digest(&namespace, "populated", false, SIZE)? == bed.digest, "it holds something else");
    let left = namespace.ask(&["get", "pvc", "--output", "jsonpath={.items[*].metadata.name}"])?;
    ensure!(left == "populated", "left: {left}");
    Ok(())
}

/// What the server that asks for everything is asked with.
const LETTERS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {accessKeyId: user, secretKey: pass word}
---
apiVersion: v1
kind: Secret
metadata: {name: headers}
stringData: {one: 'X-Secret: hidden-word'}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_server_that_asks_for_a_login_headers_and_trust_gets_them_and_nobody_else_does() -> Result<()> {
    let bed = Bed::new("")?;
    let authority = Authority::create(bed.folder.path())?;
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let server = Settings::new(bed.folder.path())
        .address(ADDRESS)
        .tls(&certificate, &key)
        .login("user", "pass word")
        .directive("if ($http_x_open != \"said\") { return 412; }")
        .directive("if ($http_x_secret != \"hidden-word\") { return 412; }")
        .start()?;
    let namespace = Namespace::new(&bed.cluster, "credentials", RESTRICTED)?;
    namespace.apply(LETTERS)?;
    trust(&namespace, &authority.certificate())?;
    let asking = |trust: &str| {
        format!(
            "http: {{url: '{}', secretRef: login, extraHeaders: ['X-Open: said'], secretExtraHeaders: [headers], checksum: '{}', {trust}}}",
            server.url("disk.raw"),
            bed.digest
        )
    };
    for (name, source) in
        [("trusted", asking("certConfigMap: authority")), ("unchecked", asking("insecureSkipVerify: true"))]
    {
        create(&namespace, name, "", &source, CLAIM)?;
        let done = succeeded(&namespace, name)?;
        ensure!(consumer::digest(&namespace, name, false, SIZE)? == bed.digest, "{name} holds something else");
        let said = format!("{done}{}", namespace.ask(&["get", "pvc,pods,events", "--output", "json"])?);
        ensure!(!said.contains("hidden-word") && !said.contains("pass word"), "a secret was told");
    }
    Ok(())
}

fn trust(namespace: &Namespace, certificate: &Path) -> Result<()> {
    let file = format!("--from-file=ca.pem={}", certificate.display());
    namespace.ask(&["create", "configmap", "authority", &file]).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_is_not_said_is_completed_from_the_storage_profile() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "rendered", RESTRICTED)?;
    let label = "labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}";
    let of_profile = |claim: &Value| claim["spec"]["accessModes"] == serde_json::json!(["ReadWriteOnce"]);
    // A claim without modes, which the API server would refuse.
    namespace.apply(&filled(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim, $label},
          spec: {storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}}",
        &[("$label", label)],
    ))?;
    ensure!(of_profile(&there(&namespace, "pvc/claim")?), "the claim was not completed");
    let storage = "storage: {storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";
    for (name, metadata) in [("by-controller", ""), ("by-webhook", label)] {
        create(&namespace, name, metadata, &bed.source("disk.raw"), storage)?;
        succeeded(&namespace, name)?;
        let claim = there(&namespace, &format!("pvc/{name}"))?;
        ensure!(of_profile(&claim), "{claim}");
        // 64 MiB and the six hundredths that a file system keeps for itself, rounded up as CDI does.
        let wanted = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
        let is_block = claim["spec"]["volumeMode"] == "Block";
        ensure!(if is_block { wanted == "64Mi" } else { wanted != "64Mi" }, "{claim}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_volume_that_its_driver_copies_is_followed() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "external", RESTRICTED)?;
    create(&namespace, "original", "", &bed.source("disk.raw"), CLAIM)?;
    succeeded(&namespace, "original")?;
    namespace.apply(
        "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: copy}
spec:
  pvc:
    accessModes: [ReadWriteOnce]
    storageClassName: gantry-immediate
    dataSource: {kind: PersistentVolumeClaim, name: original}
    resources: {requests: {storage: 64Mi}}
",
    )?;
    succeeded(&namespace, "copy")?;
    let claim = there(&namespace, "pvc/copy")?;
    ensure!(annotation(&claim, "cdi.kubevirt.io/externalPopulation") == "true", "{claim}");
    let events = namespace.events("copy")?;
    ensure!(events.iter().any(|reason| reason == "ExternalPopulationSucceeded"), "{events:?}");
    ensure!(consumer::digest(&namespace, "copy", false, SIZE)? == bed.digest, "it holds something else");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn nobody_is_waited_for_where_the_volume_is_wanted_at_once() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "at-once", RESTRICTED)?;
    let rest = CLAIM.replace("gantry-immediate", "gantry");
    let block = rest.replace("pvc: {", "pvc: {volumeMode: Block, ");
    for (name, populator, source, rest) in [
        ("handed-over", "true", bed.source("disk.raw"), &rest),
        ("in-place", "false", bed.source("disk.raw"), &rest),
        ("empty", "true", "blank: {}".to_owned(), &block),
    ] {
        let metadata = format!(
            "annotations: {{cdi.kubevirt.io/storage.usePopulator: '{populator}', cdi.kubevirt.io/storage.bind.immediate.requested: ''}}"
        );
        create(&namespace, name, &metadata, &source, rest)?;
        succeeded(&namespace, name)?;
        let claim = there(&namespace, &format!("pvc/{name}"))?;
        ensure!(claim["status"]["phase"] == "Bound", "{claim}");
    }
    Ok(())
}
