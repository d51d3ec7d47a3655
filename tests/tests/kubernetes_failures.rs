//! What goes wrong is told on the DataVolume: its code, its cause, its remedy, and whether it is tried again:
//! `cargo xtask kubernetes test`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixtures::command::run;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use fixtures::tls::Authority;
use serde_json::Value;
use tests::consumer;
use tests::objects::{Namespace, filled};

/// A DataVolume, the code that it must come to, and whether it is tried again.
struct Failure {
    name: &'static str,
    /// `spec.source`.
    source: String,
    /// The rest of `spec`.
    rest: &'static str,
    code: &'static str,
    retried: bool,
}

const CLAIM: &str =
    "pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";

const ARCHIVE: &str = "contentType: archive
  pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name}
spec:
  source: {$source}
  $rest
";

fn http(name: &'static str, url: &str, code: &'static str) -> Failure {
    Failure { name, source: format!("http: {{url: '{url}'}}"), rest: CLAIM, code, retried: true }
}

/// What servers answer, and images that are refused.
fn of_sources([plain, login, tls, expired, elsewhere]: &[Nginx; 5]) -> Vec<Failure> {
    let at = |name: &str| plain.url(name);
    let of_tls = |server: &Nginx, more: &str| format!("http: {{url: '{}'{more}}}", server.url("disk.raw"));
    let mut all = vec![
        http("name-unknown", "http://no-such-host.invalid/disk", "source-unreachable"),
        http("port-closed", &format!("http://{ADDRESS}:9/disk"), "source-unreachable"),
        http("not-found", &at("missing"), "source-not-found"),
        http("forbidden", &at("403"), "source-denied"),
        http("gone", &at("410"), "source-not-found"),
        http("too-many", &at("429"), "source-http"),
        http("server-error", &at("500"), "source-http"),
        http("unavailable", &at("503"), "source-http"),
        http("redirected-for-ever", &at("loop"), "source-http"),
        http("metadata-service", "http://169.254.169.254/disk", "source-policy"),
        http("without-login", &login.url("disk.raw"), "source-denied"),
        http("truncated", &at("truncated.qcow2"), "image-truncated"),
        http("malformed", &at("malformed.qcow2"), "image-malformed"),
        http("corrupt", &at("corrupt.gz"), "image-corrupt"),
        http("backing-file", &at("backing.qcow2"), "image-backing-file"),
        http("external-data", &at("external.qcow2"), "image-external-data"),
        http("encrypted", &at("encrypted.qcow2"), "image-encrypted"),
        http("nested", &at("nested.gz"), "image-nesting"),
        http("flat-vmdk", &at("flat.vmdk"), "image-external-data"),
        http("too-big", &at("big.qcow2"), "target-too-small"),
        http("feature-unknown", &at("feature.qcow2"), "image-unsupported"),
        http("window-too-large", &at("window.zst"), "image-memory"),
        http("several-disks", &at("several.tar"), "image-several"),
    ];
    all.push(Failure {
        name: "login-wrong",
        source: format!("http: {{url: '{}', secretRef: wrong}}", login.url("disk.raw")),
        ..http("", "", "source-denied")
    });
    all.push(Failure { name: "authority-unknown", source: of_tls(tls, ""), ..http("", "", "source-tls") });
    all.push(Failure {
        name: "expired",
        source: of_tls(expired, ", certConfigMap: expired"),
        ..http("", "", "source-tls")
    });
    all.push(Failure {
        name: "host-wrong",
        source: of_tls(elsewhere, ", certConfigMap: authority"),
        ..http("", "", "source-tls")
    });
    all.push(Failure {
        name: "checksum",
        source: format!("http: {{url: '{}', checksum: 'sha256:{}'}}", at("disk.raw"), "0".repeat(64)),
        retried: false,
        ..http("", "", "checksum-mismatch")
    });
    for (name, file, code) in
        [("not-an-archive", "disk.raw", "image-malformed"), ("archive-unsafe", "unsafe.tar", "archive-unsafe")]
    {
        all.push(Failure {
            name,
            source: format!("http: {{url: '{}'}}", at(file)),
            rest: ARCHIVE,
            ..http("", "", code)
        });
    }
    all
}

/// What the cluster does not allow, or not now.
fn of_cluster(plain: &Nginx) -> Vec<Failure> {
    let url = plain.url("disk.raw");
    let with =
        |name, more: &str, code| Failure { source: format!("http: {{url: '{url}'{more}}}"), ..http(name, "", code) };
    let asked = |name, rest, code| Failure { rest, source: format!("http: {{url: '{url}'}}"), ..http(name, "", code) };
    vec![
        with("secret-missing", ", secretRef: nowhere", "pod-config"),
        with("secret-without-keys", ", secretRef: empty", "pod-config"),
        with("authorities-missing", ", certConfigMap: nowhere", "pod-config"),
        with("secret-headers-missing", ", secretExtraHeaders: [nowhere]", "pod-config"),
        asked(
            "class-missing",
            "pvc: {accessModes: [ReadWriteOnce], storageClassName: nowhere, resources: {requests: {storage: 64Mi}}}",
            "claim-pending",
        ),
        asked("no-default-class", "storage: {resources: {requests: {storage: 64Mi}}}", "claim-no-class"),
        asked(
            "no-consumer",
            "pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry, resources: {requests: {storage: 64Mi}}}",
            "claim-no-consumer",
        ),
        asked(
            "pool-too-small",
            "pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 9Pi}}}",
            "claim-pending",
        ),
        asked(
            "mode-not-served",
            "pvc: {accessModes: [ReadWriteMany], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}",
            "claim-pending",
        ),
        asked(
            "priority-unknown",
            "priorityClassName: nowhere
  pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}",
            "pod-refused",
        ),
        asked(
            "account-unknown",
            "serviceAccountName: nowhere
  pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}",
            "pod-refused",
        ),
    ]
}

/// What the DataVolumes refer to.
const OBJECTS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: wrong}
stringData: {accessKeyId: user, secretKey: wrong}
---
apiVersion: v1
kind: Secret
metadata: {name: empty}
";

/// Makes the images in `folder`.
fn images(folder: &Path) -> Result<()> {
    let disk = raw::dense(&folder.join("disk.raw"), 8 * MIB, 1)?;
    let image = |name: &str| folder.join(name);
    let qemu_img = |arguments: &[&str]| run(Command::new("qemu-img").current_dir(folder).args(arguments));
    Qcow2::default().convert(&disk, &image("whole.qcow2"))?;
    let whole = fs::read(image("whole.qcow2"))?;
    fs::write(image("truncated.qcow2"), &whole[..whole.len() / 2])?;
    let mut malformed = whole.clone();
    // The cluster size of the header, which no QEMU writes.
    malformed[20..24].copy_from_slice(&60_u32.to_be_bytes());
    fs::write(image("malformed.qcow2"), malformed)?;
    let mut encrypted = whole.clone();
    // The method of encryption.
    encrypted[32..36].copy_from_slice(&2_u32.to_be_bytes());
    fs::write(image("encrypted.qcow2"), encrypted)?;
    let mut feature = whole.clone();
    // An incompatible feature that nobody has thought of yet.
    feature[72..80].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    fs::write(image("feature.qcow2"), feature)?;
    run(Command::new("gzip").args(["--keep", "--force"]).arg(&disk))?;
    let mut packed = fs::read(image("disk.raw.gz"))?;
    let middle = packed.len() / 2;
    packed[middle..middle + 64].fill(0x5a);
    fs::write(image("corrupt.gz"), packed)?;
    fs::copy(image("disk.raw.gz"), image("inner"))?;
    run(Command::new("gzip").args(["--keep", "--force"]).arg(image("inner")))?;
    fs::rename(image("inner.gz"), image("nested.gz"))?;
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", "backing.qcow2"])?;
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "external.qcow2", "8M"])?;
    qemu_img(&["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "8M"])?;
    qemu_img(&["create", "-q", "-f", "qcow2", "big.qcow2", "1T"])?;
    // Of what flows in, zstd does not know that it is smaller than the window.
    let flow = "cat disk.raw | zstd --quiet --long=28 --stdout > window.zst";
    run(Command::new("sh").current_dir(folder).args(["-c", flow]))?;
    fs::copy(image("whole.qcow2"), image("other.qcow2"))?;
    let tar = |arguments: &[&str]| run(Command::new("tar").current_dir(folder).args(arguments));
    tar(&["-cf", "several.tar", "whole.qcow2", "other.qcow2"])?;
    tar(&["-cPf", "unsafe.tar", "--transform", "s,^,../,", "disk.raw"])
}

/// The servers: plain, with a login, with a certificate of an authority nobody knows, with one that is over, and with one of
/// another host.
fn servers(folder: &Path, authority: &Authority) -> Result<[Nginx; 5]> {
    let settings = || Settings::new(folder).address(ADDRESS);
    let answers = ["403", "410", "429", "500", "503"].map(|code| format!("location = /{code} {{ return {code}; }}"));
    let plain = answers.iter().fold(settings(), |settings, answer| settings.directive(answer));
    let plain = plain.directive("location = /loop { return 302 /loop; }");
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let elsewhere = authority.issue("elsewhere.example")?;
    let over = folder.join("over.pem");
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=over", "-not_before", "20200101000000Z"])
        .args(["-not_after", "20200102000000Z", "-addext", &format!("subjectAltName=IP:{ADDRESS}")])
        .arg("-keyout")
        .arg(folder.join("over.key"))
        .arg("-out")
        .arg(&over))
    .or_else(|_| expired_by_ca(folder, &over))?;
    Ok([
        plain.start()?,
        settings().login("user", "password").start()?,
        settings().tls(&certificate, &key).start()?,
        settings().tls(&over, &folder.join("over.key")).start()?,
        settings().tls(&elsewhere.0, &elsewhere.1).start()?,
    ])
}

/// OpenSSL before 3.4 sets such times only as an authority.
fn expired_by_ca(folder: &Path, to: &Path) -> Result<()> {
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("index.txt"), "")?;
    fs::write(at("serial"), "01")?;
    fs::write(
        at("ca.cnf"),
        format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\nserial={}\nnew_certs_dir={}\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:{ADDRESS}\nbasicConstraints=CA:true\n",
            at("index.txt"),
            at("serial"),
            folder.display()
        ),
    )?;
    run(Command::new("openssl").args([
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=over",
        "-keyout",
        &at("over.key"),
        "-out",
        &at("over.csr"),
    ]))?;
    run(Command::new("openssl")
        .args([
            "ca",
            "-batch",
            "-selfsign",
            "-config",
            &at("ca.cnf"),
            "-keyfile",
            &at("over.key"),
            "-in",
            &at("over.csr"),
        ])
        .args(["-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext", "-out"])
        .arg(to))
}

/// The code, the cause, the remedy and the verdict that a DataVolume shows.
fn shown(data_volume: &Value) -> (&str, &str, &str, bool) {
    let error = &data_volume["status"]["gantry"]["lastError"];
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    (text("code"), text("cause"), text("remedy"), error["retried"] == true)
}

fn check(namespace: &Namespace, failure: &Failure) -> Result<()> {
    let is_told = |found: &Value| shown(found).0 == failure.code;
    let told = namespace.until(&format!("datavolume/{}", failure.name), failure.code, is_told)?;
    let (_, cause, remedy, retried) = shown(&told);
    ensure!(!cause.is_empty() && !remedy.is_empty(), "{told}");
    ensure!(retried == failure.retried, "{}: retried {retried}", failure.name);
    let phase = told["status"]["phase"].as_str().unwrap_or_default();
    ensure!((phase == "Failed") != failure.retried && phase != "Succeeded", "{}: {phase}", failure.name);
    println!("{}: {} | {cause} | {remedy}", failure.name, failure.code);
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn every_failure_is_told_on_the_data_volume() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    images(folder.path())?;
    let authority = Authority::create(folder.path())?;
    let servers = servers(folder.path(), &authority)?;
    let namespace = Namespace::new(&cluster, "failures", "pod-security.kubernetes.io/enforce: restricted")?;
    namespace.apply(OBJECTS)?;
    for (name, file) in [("expired", folder.path().join("over.pem")), ("authority", authority.certificate())] {
        namespace.ask(&["create", "configmap", name, &format!("--from-file=ca.pem={}", file.display())])?;
    }
    let all: Vec<Failure> = of_sources(&servers).into_iter().chain(of_cluster(&servers[0])).collect();
    ensure!(all.len() >= 40, "{} failures", all.len());
    // Some at a time: each pod wants memory, and a failed one goes on trying.
    for failures in all.chunks(8) {
        for failure in failures {
            let words = [("$name", failure.name), ("$source", failure.source.as_str()), ("$rest", failure.rest)];
            namespace.apply(&filled(MANIFEST, &words)).with_context(|| failure.name)?;
        }
        for failure in failures {
            check(&namespace, failure)?;
        }
        for failure in failures {
            namespace.ask(&["delete", "datavolume", failure.name, "--wait=false"])?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_quota_is_told_and_the_import_goes_on_once_it_allows_it() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    raw::dense(&folder.path().join("disk.raw"), 8 * MIB, 1)?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).start()?;
    let namespace = Namespace::new(&cluster, "quota", "pod-security.kubernetes.io/enforce: restricted")?;
    let quota = |size: &str| {
        format!(
            "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: small}}, spec: {{hard: {{requests.storage: {size}}}}}}}"
        )
    };
    for (name, size) in [("claim", "32Mi"), ("prime", "100Mi")] {
        namespace.apply(&quota(size))?;
        let source = format!("http: {{url: '{}'}}", nginx.url("disk.raw"));
        namespace.apply(&filled(MANIFEST, &[("$name", name), ("$source", &source), ("$rest", CLAIM)]))?;
        let object = format!("datavolume/{name}");
        let told = namespace.until(&object, "quota-exceeded", |found| shown(found).0 == "quota-exceeded")?;
        ensure!(told["status"].to_string().contains("ErrExceededQuota"), "{told}");
        namespace.apply(&quota("1Gi"))?;
        namespace.until(&object, "Succeeded", |found| found["status"]["phase"] == "Succeeded")?;
        namespace.ask(&["delete", "datavolume", name])?;
        namespace.gone(&format!("pvc/{name}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_cannot_be_served_is_refused_by_name() -> Result<()> {
    let cluster = Cluster::running()?;
    let namespace = Namespace::new(&cluster, "refused", "")?;
    for (source, rest, part) in [
        ("s3: {url: 'http://server/disk'}", CLAIM, "spec.source.s3"),
        ("http: {url: 'ftp://server/disk'}", CLAIM, "Invalid source URL"),
        ("http: {url: 'http://server/disk', checksum: 'sha256:1'}", CLAIM, "Invalid checksum format"),
        ("http: {url: 'http://server/disk', secretRef: other/secret}", CLAIM, "secretRef"),
        ("blank: {}, http: {url: 'http://server/disk'}", CLAIM, "Multiple Data volume sources"),
        ("blank: {}", "contentType: archive\n  storage: {resources: {requests: {storage: 1Gi}}}", "archive"),
        ("blank: {}", "pvc: {accessModes: [ReadWriteOnce]}", "PVC size is missing"),
    ] {
        let manifest = filled(MANIFEST, &[("$name", "refused"), ("$source", source), ("$rest", rest)]);
        let error = namespace.apply(&manifest).err().with_context(|| format!("{source} was taken"))?;
        ensure!(format!("{error:#}").contains(part), "{source}: {error:#}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_in_use_is_told_and_filled_once_its_user_has_ended() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    raw::dense(&folder.path().join("disk.raw"), 8 * MIB, 1)?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).start()?;
    let namespace = Namespace::new(&cluster, "used", "pod-security.kubernetes.io/enforce: restricted")?;
    let direct = "{name: used, annotations: {cdi.kubevirt.io/storage.usePopulator: 'false'}}";
    let source = format!("http: {{url: '{}'}}", nginx.url("disk.raw"));
    let rest = CLAIM.replace("gantry-immediate", "gantry");
    namespace.apply(&filled(MANIFEST, &[("{name: $name}", direct), ("$source", &source), ("$rest", &rest)]))?;
    namespace.until("pvc/used", "there", |_| true)?;
    consumer::start(&namespace, "used", false, "until test -e /data/end; do sleep 0.2; done; rm /data/end")?;
    namespace.until("datavolume/used", "claim-in-use", |found| shown(found).0 == "claim-in-use")?;
    ensure!(nginx.requests()?.is_empty(), "it was written beside its user");
    namespace.until("pod/consumer-of-used", "running", |found| found["status"]["phase"] == "Running")?;
    namespace.ask(&["exec", "consumer-of-used", "--", "/bin/busybox", "touch", "/data/end"])?;
    namespace.until("datavolume/used", "Succeeded", |found| found["status"]["phase"] == "Succeeded")?;
    ensure!(namespace.events("used")?.iter().any(|reason| reason == "ImportTargetInUse"), "no event");
    consumer::said(&namespace, "used").map(drop)
}
