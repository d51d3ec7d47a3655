//! What goes wrong is told on the DataVolume: its code, its cause, its remedy, and whether it is tried again:
//! `cargo xtask kubernetes test`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixtures::command::run;
use fixtures::images::MIB;
use fixtures::images::qcow2::Qcow2;
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use fixtures::tls::Authority;
use jiff::Timestamp;
use serde_json::Value;
use tests::bed::Bed;
use tests::consumer;
use tests::data_volume::DataVolume;
use tests::objects::Namespace;

/// Of the disk that is served.
const SIZE: u64 = 8 * MIB;

/// A DataVolume, and the code that it must come to.
type Failure = (DataVolume, &'static str);

/// The one that is not tried again.
const FINAL: &str = "checksum-mismatch";
/// Those of a claim of which the condition Bound says only that it is pending.
const WAITING: [&str; 2] = ["claim-pending", "claim-no-consumer"];

/// What servers answer, and images that are refused.
fn of_sources(bed: &Bed, [login, tls, expired, elsewhere]: &[Nginx; 4]) -> Vec<Failure> {
    let http = |name, url: &str, code| (DataVolume::http(name, url), code);
    let at = |name: &str| bed.server.url(name);
    let of = |name, server: &Nginx| DataVolume::http(name, &server.url("disk.raw"));
    let archive = |name, file| DataVolume::http(name, &at(file)).spec("contentType: archive");
    vec![
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
        http("metadata-by-redirect", &at("metadata"), "source-policy"),
        (of("without-login", login), "source-denied"),
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
        (of("login-wrong", login).server("secretRef: wrong"), "source-denied"),
        (of("authority-unknown", tls), "source-tls"),
        (of("expired", expired).server("certConfigMap: expired"), "source-tls"),
        (of("host-wrong", elsewhere).server("certConfigMap: authority"), "source-tls"),
        (of("checksum", &bed.server).server(&format!("checksum: 'sha256:{}'", "0".repeat(64))), FINAL),
        (archive("not-an-archive", "disk.raw"), "image-malformed"),
        (archive("archive-unsafe", "unsafe.tar"), "archive-unsafe"),
    ]
}

/// What the cluster does not allow, or not now.
fn of_cluster(bed: &Bed) -> Vec<Failure> {
    let of = |name| bed.data_volume(name);
    let without_class = "storage: {resources: {requests: {storage: 64Mi}}}";
    let many_writers = "pvc: {accessModes: [ReadWriteMany], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";
    vec![
        (of("secret-missing").server("secretRef: nowhere"), "pod-config"),
        (of("secret-without-keys").server("secretRef: empty"), "pod-config"),
        (of("authorities-missing").server("certConfigMap: nowhere"), "pod-config"),
        (of("secret-headers-missing").server("secretExtraHeaders: [nowhere]"), "pod-config"),
        (of("class-missing").class("nowhere"), "claim-pending"),
        (of("no-default-class").claim(without_class), "claim-no-class"),
        (of("no-consumer").class("gantry"), "claim-no-consumer"),
        (of("pool-too-small").size("9Pi"), "claim-pending"),
        (of("mode-not-served").claim(many_writers), "claim-pending"),
        (of("priority-unknown").spec("priorityClassName: nowhere"), "pod-refused"),
        (of("account-unknown").spec("serviceAccountName: nowhere"), "pod-refused"),
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

/// Makes the images in the folder that is served.
fn images(Bed { folder, disk, .. }: &Bed) -> Result<()> {
    let folder = folder.path();
    let image = |name: &str| folder.join(name);
    let qemu_img = |arguments: &[&str]| run(Command::new("qemu-img").current_dir(folder).args(arguments));
    Qcow2::default().convert(disk, &image("whole.qcow2"))?;
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
    run(Command::new("gzip").args(["--keep", "--force"]).arg(disk))?;
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

/// What the plain server answers besides files.
fn answers(plain: Settings) -> Settings {
    let answers = ["403", "410", "429", "500", "503"].map(|code| format!("location = /{code} {{ return {code}; }}"));
    let plain = answers.iter().fold(plain, |settings, answer| settings.directive(answer));
    let redirects = [("loop", "/loop"), ("metadata", "http://169.254.169.254/disk")];
    redirects
        .iter()
        .fold(plain, |settings, (from, to)| settings.directive(&format!("location = /{from} {{ return 302 {to}; }}")))
}

/// The other servers: with a login, with a certificate of an authority nobody knows, with one that is over, and with one of
/// another host.
fn servers(bed: &Bed, authority: &Authority) -> Result<[Nginx; 4]> {
    let folder = bed.folder.path();
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
        bed.settings().login("user", "password").start()?,
        bed.settings().tls(&certificate, &key).start()?,
        bed.settings().tls(&over, &folder.join("over.key")).start()?,
        bed.settings().tls(&elsewhere.0, &elsewhere.1).start()?,
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

fn check(namespace: &Namespace, name: &str, code: &str) -> Result<()> {
    let told = namespace.told(name, code)?;
    let (_, cause, remedy, retried) = shown(&told);
    ensure!(!cause.is_empty() && !remedy.is_empty(), "{told}");
    ensure!(retried == (code != FINAL), "{name}: retried {retried}");
    let phase = told["status"]["phase"].as_str().unwrap_or_default();
    ensure!((phase == "Failed") != retried && phase != "Succeeded", "{name}: {phase}");
    let after = told_after(namespace, &told)?.map(|seconds| format!("{seconds} s after the importer ended"));
    println!("{name}: {code} | {cause} | {remedy} | {}", after.unwrap_or_default());
    told_elsewhere(namespace, name, code)
}

/// Whoever looks at conditions or events finds it, too, unless the importer still tries or the claim only waits.
fn told_elsewhere(namespace: &Namespace, name: &str, code: &str) -> Result<()> {
    let says_no = |condition: &&Value| {
        let is_reason = |reason| !matches!(reason, "" | "Pending" | "TransferRunning");
        condition["status"] == "False" && condition["reason"].as_str().is_some_and(is_reason)
    };
    let runs = |condition: &&Value| condition["type"] == "Running" && condition["status"] == "True";
    let find = |found: &Value, which: &dyn Fn(&&Value) -> bool| {
        found["status"]["conditions"].as_array().and_then(|all| all.iter().find(which).cloned())
    };
    let needs_none = |found: &Value| WAITING.contains(&code) || find(found, &runs).is_some();
    let is_told = |found: &Value| needs_none(found) || find(found, &says_no).is_some();
    let told = namespace.until(&format!("datavolume/{name}"), "told by a condition", is_told)?;
    let Some(condition) = find(&told, &says_no) else { return Ok(()) };
    let reason = condition["reason"].as_str().unwrap_or_default();
    let event = namespace.until_event("DataVolume", name, reason)?;
    ensure!(event["type"] == "Warning", "{event}");
    if code == FINAL {
        ensure!(reason == "ChecksumError", "{condition}");
        namespace.until_event("DataVolume", name, "ImportFailed")?;
    }
    // The words that CDI's interfaces look for.
    let small = "DataVolume too small to contain image";
    ensure!(code != "target-too-small" || condition["message"] == small, "{condition}");
    Ok(())
}

/// Seconds from the first end of its importer to the time of the error, by clocks of whole seconds; nothing if none has ended, or
/// more than once by now.
fn told_after(namespace: &Namespace, told: &Value) -> Result<Option<i64>> {
    let claim = namespace.object(&format!("pvc/{}", told["metadata"]["name"].as_str().unwrap_or_default()))?;
    let Some(claim) = claim else { return Ok(None) };
    let pod = format!("pod/importer-prime-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
    let Some(pod) = namespace.object(&pod)? else { return Ok(None) };
    let container = &pod["status"]["containerStatuses"][0];
    let ended = match container["restartCount"].as_u64() {
        Some(0) => &container["state"],
        Some(1) => &container["lastState"],
        _ => return Ok(None),
    };
    let seconds = |time: &Value| time.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_second);
    let told = seconds(&told["status"]["gantry"]["lastError"]["time"]);
    Ok(told.zip(seconds(&ended["terminated"]["finishedAt"])).map(|(told, ended)| told - ended))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn every_failure_is_told_on_the_data_volume() -> Result<()> {
    let bed = Bed::with(SIZE, answers)?;
    images(&bed)?;
    let authority = Authority::create(bed.folder.path())?;
    let servers = servers(&bed, &authority)?;
    let namespace = Namespace::restricted(&bed.cluster, "failures")?;
    namespace.apply(OBJECTS)?;
    for (name, file) in [("expired", bed.folder.path().join("over.pem")), ("authority", authority.certificate())] {
        namespace.ask(&["create", "configmap", name, &format!("--from-file=ca.pem={}", file.display())])?;
    }
    let all: Vec<Failure> = of_sources(&bed, &servers).into_iter().chain(of_cluster(&bed)).collect();
    ensure!(all.len() >= 40, "{} failures", all.len());
    // Some at a time: each pod wants memory, and a failed one goes on trying.
    for failures in all.chunks(8) {
        for (data_volume, _) in failures {
            data_volume.apply(&namespace)?;
        }
        for (data_volume, code) in failures {
            check(&namespace, data_volume.name(), code)?;
        }
        for (data_volume, _) in failures {
            namespace.ask(&["delete", "datavolume", data_volume.name(), "--wait=false"])?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_cannot_be_served_is_refused_by_name() -> Result<()> {
    let cluster = Cluster::running()?;
    let namespace = Namespace::new(&cluster, "refused")?;
    let refused = |source| DataVolume::new("refused", source);
    let archive = "storage: {resources: {requests: {storage: 1Gi}}}";
    for (data_volume, part) in [
        (refused("s3: {url: 'http://server/disk'}"), "spec.source.s3"),
        (refused("http: {url: 'ftp://server/disk'}"), "Invalid source URL"),
        (refused("http: {url: 'http://server/disk', checksum: 'sha256:1'}"), "Invalid checksum format"),
        (refused("http: {url: 'http://server/disk', secretRef: other/secret}"), "secretRef"),
        (refused("blank: {}, http: {url: 'http://server/disk'}"), "Multiple Data volume sources"),
        (refused("blank: {}").claim(archive).spec("contentType: archive"), "archive"),
        (refused("blank: {}").claim("pvc: {accessModes: [ReadWriteOnce]}"), "PVC size is missing"),
    ] {
        let error = data_volume.apply(&namespace).err().with_context(|| format!("{data_volume} was taken"))?;
        ensure!(format!("{error:#}").contains(part), "{data_volume}: {error:#}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_in_use_is_told_and_filled_once_its_user_has_ended() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "used")?;
    bed.data_volume("used").populator(false).class("gantry").apply(&namespace)?;
    namespace.until("pvc/used", "there", |_| true)?;
    consumer::start(&namespace, "used", false, "until test -e /data/end; do sleep 0.2; done; rm /data/end")?;
    namespace.told("used", "claim-in-use")?;
    ensure!(bed.server.requests()?.is_empty(), "it was written beside its user");
    namespace.until_phase("pod/consumer-of-used", "Running")?;
    namespace.ask(&["exec", "consumer-of-used", "--", "/bin/busybox", "touch", "/data/end"])?;
    namespace.succeeded("used")?;
    namespace.until_event("DataVolume", "used", "ImportTargetInUse")?;
    consumer::said(&namespace, "used").map(drop)
}
