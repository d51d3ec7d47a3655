//! What CDI's documentation shows, what each field does, and what is refused by its path.

use super::*;
use crate::manifest::documents;

/// A DataVolume of `spec`, indented by two.
fn volume(spec: &str) -> String {
    format!(
        "apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataVolume\nmetadata: {{name: dv, namespace: vms}}\nspec:\n{spec}\n"
    )
}

const HTTP: &str = "  source: {http: {url: 'https://h/disk.qcow2'}}\n";
const PVC: &str = "  pvc: {resources: {requests: {storage: 1Gi}}}\n";
const STORAGE: &str = "  storage: {resources: {requests: {storage: 1Gi}}}\n";
const BLOCK: &str = "  pvc: {volumeMode: Block, resources: {requests: {storage: 1Gi}}}\n";

fn file() -> Volume {
    Volume::File("vm.img".into())
}

fn device(size: u64) -> Volume {
    Volume::Device("/dev/vdb".into(), size)
}

fn converted(text: &str, volume: Volume) -> Result<Request, Failure> {
    request(&documents::read(text)?, volume, HttpOptions::default(), None)
}

#[track_caller]
fn done(text: &str, volume: Volume) -> Request {
    converted(text, volume).unwrap_or_else(|failure| panic!("{text}: {failure}"))
}

#[test]
fn the_size_is_the_pods() {
    for (spec, size) in [
        (PVC, 966 << 20),
        (STORAGE, 1 << 30),
        ("  pvc: {resources: {requests: {storage: 1073741824}}}", 966 << 20),
        ("  storage: {resources: {requests: {storage: 1500M}}}", 1431 << 20),
        ("  storage: {resources: {requests: {storage: 1}}}", 1 << 20),
    ] {
        let request = done(&volume(&format!("{HTTP}{spec}")), file());
        assert_eq!((request.size, request.overhead.is_some()), (Some(size), false), "{spec}");
        let blank = done(&volume(&format!("  source: {{blank: {{}}}}\n{spec}")), file());
        assert_eq!(blank.location, Location::Blank(size), "{spec}");
    }
    let documents = documents::read(&volume(&format!("{HTTP}{PVC}"))).unwrap();
    let request = |overhead: &str| {
        request(&documents, file(), HttpOptions::default(), Some(overhead.parse().unwrap())).unwrap().size
    };
    assert_eq!((request("0"), request("1")), (Some(1 << 30), Some(512 << 20)));
}

#[test]
fn the_target_is_where_a_pod_would_put_the_disk() {
    let gibibyte = 1 << 30;
    for (claim, volume_given, target, size) in [
        (PVC, Volume::Unnamed, "disk.img", Some(966 << 20)),
        (PVC, Volume::Directory("/data".into()), "/data/disk.img", Some(966 << 20)),
        (PVC, file(), "vm.img", Some(966 << 20)),
        (BLOCK, device(gibibyte), "/dev/vdb", None),
        (STORAGE, device(2 * gibibyte), "/dev/vdb", None),
    ] {
        let request = done(&volume(&format!("{HTTP}{claim}")), volume_given);
        assert_eq!((request.target, request.size), (target.into(), size), "{claim}");
    }
    for (claim, volume_given, code) in [
        (PVC, device(gibibyte), Code::TargetUnsupported),
        (BLOCK, file(), Code::TargetUnsupported),
        (BLOCK, Volume::Unnamed, Code::TargetUnsupported),
        (BLOCK, device(gibibyte - 512), Code::TargetTooSmall),
    ] {
        let failure = converted(&volume(&format!("{HTTP}{claim}")), volume_given).unwrap_err();
        assert_eq!(failure.code(), code, "{claim}: {failure}");
    }
}

#[test]
fn an_archive_goes_into_the_directory_and_has_no_size() {
    let text = volume(&format!("{HTTP}{PVC}  contentType: archive\n  preallocation: true\n"));
    let request = done(&text, Volume::Directory("/data".into()));
    assert_eq!((request.content_type, request.target, request.size), (ContentType::Archive, "/data".into(), None));
    assert!(request.warnings[0].contains("spec.pvc.resources.requests.storage, spec.preallocation"));
    assert!(converted(&text, Volume::Unnamed).is_err());
}

#[test]
fn preallocation_is_as_in_a_pod() {
    for (source, claim, volume_given, expected) in [
        (HTTP, PVC, file(), Preallocation::Falloc),
        (HTTP, BLOCK, device(1 << 30), Preallocation::Falloc),
        ("  source: {blank: {}}\n", PVC, file(), Preallocation::Falloc),
        ("  source: {blank: {}}\n", BLOCK, device(1 << 30), Preallocation::Full),
    ] {
        let text = |value: &str| volume(&format!("{source}{claim}  preallocation: {value}\n"));
        assert_eq!(done(&text("true"), volume_given.clone()).preallocation, expected, "{source}{claim}");
        assert_eq!(done(&text("false"), volume_given).preallocation, Preallocation::None);
    }
}

#[test]
fn credentials_headers_and_authorities_come_from_the_other_documents() {
    let http = "
  source:
    http:
      url: https://h/disk.qcow2
      secretRef: login
      certConfigMap: ca
      checksum: SHA256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
      insecureSkipVerify: true
      extraHeaders: ['X-One: 1']
      secretExtraHeaders: [token]\n";
    let objects = "---
apiVersion: v1
kind: Secret
metadata: {name: login, labels: {app: x}}
type: Opaque
data: {accessKeyId: YWxpY2U=, secretKey: aHVudGVyMg==}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: vms}
stringData: {b: 'X-Three: 3', a: \"X-Two: hunter2\\n\"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {ca.pem: PEM}
binaryData: {other.pem: UEVN}
---\n";
    let request = done(&format!("{}{objects}", volume(&format!("{http}{PVC}"))), file());
    let Credentials { user, password } = request.http.credentials.unwrap();
    assert_eq!((user.reveal(), password.reveal()), ("alice", "hunter2"));
    let headers: Vec<_> =
        request.http.headers.iter().map(|header| (format!("{header:?}"), header.is_secret())).collect();
    assert_eq!(headers.iter().map(|(_, is_secret)| *is_secret).collect::<Vec<_>>(), [false, true, true]);
    assert!(headers[0].0.contains("x-one") && headers[1].0.contains("x-two") && headers[2].0.contains("x-three"));
    let authorities: Vec<_> = request.http.authorities.into_iter().map(|found| (found.name, found.pem)).collect();
    assert_eq!(authorities, [("ca/ca.pem".into(), b"PEM".to_vec()), ("ca/other.pem".into(), b"PEM".to_vec())]);
    assert!(request.http.insecure && request.checksum.is_some() && request.warnings.is_empty());
}

#[test]
fn fields_that_only_a_cluster_can_heed_are_listed() {
    let text = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: dv, annotations: {a: b}, labels: {c: d}, resourceVersion: '1'}
status: {phase: Pending}
spec:
  source: {http: {url: 'http://h/a', secretRef: '', certConfigMap: '', checksum: ''}}
  contentType: ''
  priorityClassName: high
  serviceAccountName: me
  pvc:
    accessModes: [ReadWriteOnce]
    storageClassName: fast
    selector: {}
    volumeName: pv
    resources: {requests: {storage: 1Gi}, limits: {storage: 2Gi}}
";
    assert_eq!(
        done(text, file()).warnings,
        ["These fields of the manifest matter only in a cluster and do not apply here: metadata.labels, \
             metadata.annotations, status, spec.priorityClassName, spec.serviceAccountName, spec.pvc.accessModes, \
             spec.pvc.selector, spec.pvc.volumeName, spec.pvc.storageClassName, spec.pvc.resources.limits."]
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_its_path() {
    let spec = |spec: &str| volume(spec);
    let secret = |data: &str| {
        let source = "  source: {http: {url: 'http://h/a', secretRef: s}}\n";
        format!(
            "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {data}\n",
            volume(&format!("{source}{PVC}"))
        )
    };
    for (text, what) in [
        (String::new(), "no DataVolume"),
        ("a: [".to_owned(), "YAML"),
        ("a: 1\na: 2\n".to_owned(), "duplicate"),
        (format!("{}---\n{}", spec(HTTP), spec(HTTP)), "several DataVolumes (dv, dv)"),
        ("apiVersion: v1\nkind: Pod\n".to_owned(), "\"Pod\" of \"v1\""),
        (spec("  source: {http: {url: 'http://h/a', sha: x}}"), "spec.source.http.sha: unknown field `sha`"),
        (spec(&format!("{HTTP}{PVC}  preallocation: 'yes'")), "spec.preallocation: invalid type"),
        (spec(&format!("{HTTP}{PVC}  contentType: iso")), "spec.contentType: unknown variant `iso`"),
        (spec(&format!("{HTTP}{PVC}{STORAGE}")), "exactly one of pvc and storage"),
        (spec(HTTP), "exactly one of pvc and storage"),
        (spec(&format!("{HTTP}  pvc: {{}}")), "spec.pvc.resources.requests.storage: it is missing"),
        (spec(&format!("{HTTP}  pvc: {{resources: {{requests: {{storage: 0}}}}}}")), "no bytes"),
        (
            spec(&format!("{HTTP}  pvc: {{resources: {{requests: {{storage: big}}}}}}")),
            "storage: \"big\" is not a size",
        ),
        (spec(&format!("{HTTP}  pvc: {{resources: {{requests: {{cpu: 1}}}}}}")), "spec.pvc.resources.requests.cpu"),
        (spec(&format!("{HTTP}  pvc: {{dataSource: {{}}}}")), "spec.pvc.dataSource: "),
        (spec(&format!("{PVC}  sourceRef: {{kind: DataSource}}")), "spec.sourceRef: "),
        (spec(&format!("{HTTP}{PVC}  checkpoints: []")), "spec.checkpoints: "),
        (spec(PVC), "spec.source: it is missing"),
        (spec(&format!("{PVC}  source: {{}}")), "spec.source: it must have exactly one"),
        (spec(&format!("{PVC}  source: {{blank: {{}}, http: {{url: 'http://h/a'}}}}")), "exactly one source"),
        (spec(&format!("{PVC}  source: {{registry: {{url: 'docker://h/a'}}}}")), "spec.source.registry: "),
        (spec(&format!("{PVC}  source: {{blank: {{}}}}\n  contentType: archive")), "spec.source.blank: "),
        (spec(&format!("{HTTP}{BLOCK}  contentType: archive")), "spec.pvc.volumeMode: "),
        (spec(&format!("{PVC}  source: {{http: {{url: /a}}}}")), "spec.source.http.url: "),
        (
            spec(&format!("{PVC}  source: {{http: {{url: 'http://h/a', checksum: abc}}}}")),
            "spec.source.http.checksum: ",
        ),
        (spec(&format!("{PVC}  source: {{http: {{url: 'http://h/a', extraHeaders: [x]}}}}")), "extraHeaders[0]: "),
        (spec(&format!("{PVC}  source: {{http: {{url: 'http://h/a', secretRef: s}}}}")), "names the Secret \"s\""),
        (secret("{accessKeyId: eA==}"), "has no secretKey"),
        (secret("{secretKey: eA==}"), "has no accessKeyId"),
        (secret("{accessKeyId: hunter2}"), "is not base64"),
        (secret("hunter2"), "document 2"),
        (secret("{accessKeyId: [hunter2]}"), "data.accessKeyId: not what"),
    ] {
        let failure = converted(&text, file()).expect_err(&text);
        assert_eq!(failure.code(), Code::Usage, "{text}");
        assert!(failure.to_string().contains(what), "{text}: {failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
}

#[test]
fn an_object_of_another_namespace_is_not_meant() {
    let objects = |namespace: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: {namespace}}}\ndata: {{a: PEM}}\n"
        )
    };
    let source = "  source: {http: {url: 'http://h/a', certConfigMap: ca}}\n";
    let text = volume(&format!("{source}{PVC}"));
    assert!(converted(&format!("{text}{}", objects("vms")), file()).is_ok());
    assert!(converted(&format!("{text}{}", objects("other")), file()).is_err());
}
