//! Every rule of DataVolumes, with what passes it and what it says.

use super::*;

fn volume(spec: &str) -> DataVolume {
    let spec = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let mut volume = DataVolume::new("dv", spec);
    volume.metadata.namespace = Some("ns".to_owned());
    volume
}

fn annotated(spec: &str, key: &str, value: &str) -> DataVolume {
    let mut volume = volume(spec);
    volume.annotations_mut().insert(key.to_owned(), value.to_owned());
    volume
}

fn messages(volume: &DataVolume, observed: &Observed) -> Vec<String> {
    create(volume, observed).iter().map(Cause::to_string).collect()
}

/// A volume with `pvc` that is right, and the rest of its specification.
fn with_pvc(rest: &str) -> String {
    format!("{{pvc: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}, {rest}}}")
}

fn with_storage(storage: &str) -> String {
    format!("{{source: {{blank: {{}}}}, storage: {storage}}}")
}

const SIZE: &str = "resources: {requests: {storage: 1Gi}}";

#[test]
fn manifests_of_this_release_are_accepted() {
    let md5 = "0".repeat(32);
    let sha512 = "A".repeat(128);
    for spec in [
        with_pvc("source: {blank: {}}"),
        with_pvc("source: {http: {url: 'http://a.b:8080/c'}}"),
        with_pvc("source: {http: {url: 'HTTPS://user:p%40ss@[2001:db8::1]:443/c?d=e#f'}}, contentType: archive"),
        with_pvc("source: {http: {url: 'https://a', secretRef: s, certConfigMap: c, secretExtraHeaders: [x, y]}}"),
        with_pvc(&format!("source: {{http: {{url: 'https://a', checksum: 'md5:{md5}'}}}}")),
        with_pvc(&format!("source: {{http: {{url: 'https://a', checksum: 'SHA512:{sha512}'}}}}")),
        with_pvc("source: {http: {url: 'https://a', checksum: ''}}"),
        with_pvc(
            "source: {blank: {}}, contentType: kubevirt, preallocation: true, priorityClassName: p, serviceAccountName: s",
        ),
        with_pvc("source: {blank: {}}, finalCheckpoint: false"),
        with_storage(&format!("{{{SIZE}}}")),
        with_storage(&format!(
            "{{accessModes: [ReadWriteMany, ReadWriteOncePod], volumeMode: Block, storageClassName: x, {SIZE}}}"
        )),
        with_storage(&format!("{{volumeMode: FromStorageProfile, {SIZE}}}")),
        with_storage("{resources: {requests: {storage: 1048576}}}"),
        format!("{{storage: {{{SIZE}, dataSource: {{kind: PersistentVolumeClaim, name: a}}}}}}"),
        format!("{{storage: {{{SIZE}, dataSourceRef: {{apiGroup: example.com, kind: Other, name: a}}}}}}"),
        format!(
            "{{storage: {{{SIZE}, dataSource: {{apiGroup: g, kind: K, name: a}}, dataSourceRef: {{apiGroup: g, kind: K, name: a}}}}}}"
        ),
    ] {
        assert_eq!(messages(&volume(&spec), &Observed::default()), [""; 0], "{spec}");
    }
}

#[test]
fn a_target_that_is_wrong_is_named() {
    let blank = "source: {blank: {}}";
    let class = "c".repeat(254);
    let pvc = |pvc: &str| format!("{{{blank}, pvc: {pvc}}}");
    for (spec, message) in [
        (format!("{{{blank}}}"), "Missing Data volume PVC"),
        (
            with_pvc(&format!("{blank}, storage: {{{SIZE}}}")),
            "Duplicate storage definition, both target storage and target pvc defined",
        ),
        (pvc("{accessModes: [ReadWriteOnce]}"), "PVC size is missing"),
        (
            pvc("{accessModes: [ReadWriteOnce], resources: {requests: {storage: 0}}}"),
            "PVC size can't be equal or less than zero",
        ),
        (
            pvc("{accessModes: [ReadWriteOnce], resources: {requests: {storage: -1Gi}}}"),
            "PVC size can't be equal or less than zero",
        ),
        (
            pvc("{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1048575}}}"),
            "PVC size should be at least 1MiB",
        ),
        (pvc("{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1GB}}}"), "PVC size cannot be read"),
        (with_storage("{}"), "Storage size is missing"),
        (with_storage("{resources: {requests: {storage: '0'}}}"), "Storage size can't be equal or less than zero"),
        (with_storage("{resources: {requests: {storage: 1k}}}"), "Storage size should be at least 1MiB"),
        (pvc(&format!("{{{SIZE}}}")), "Required value: at least 1 access mode is required"),
        (pvc(&format!("{{accessModes: [], {SIZE}}}")), "Required value: at least 1 access mode is required"),
        (pvc(&format!("{{accessModes: [ReadWriteOnce, ReadWriteMany], {SIZE}}}")), "PVC multiple accessModes"),
        (
            pvc(&format!("{{accessModes: [Odd], {SIZE}}}")),
            "Unsupported value: \"Odd\": supported values: \"ReadOnlyMany\"",
        ),
        (with_storage(&format!("{{accessModes: [Odd], {SIZE}}}")), "Unsupported value: \"Odd\""),
        (
            with_storage(&format!("{{volumeMode: Odd, {SIZE}}}")),
            "Unsupported value: \"Odd\": supported values: \"Block\"",
        ),
        (with_storage(&format!("{{storageClassName: {class}, {SIZE}}}")), "Name cannot be longer than 253 characters"),
        (
            pvc(&format!("{{accessModes: [ReadWriteOnce], storageClassName: {class}, {SIZE}}}")),
            "Name cannot be longer than 253",
        ),
    ] {
        assert_refused(&spec, message);
    }
}

#[test]
fn an_origin_that_is_wrong_is_named() {
    let either = "Data volume should have either Source or SourceRef, or be externally populated";
    let reference = "sourceRef: {kind: DataSource, name: a}";
    for (rest, message) in [
        ("preallocation: true", either),
        ("source: {blank: {}}, sourceRef: {kind: DataSource, name: a}", either),
        ("source: {}", "Missing Data volume source"),
        ("source: {blank: {}, http: {url: 'http://a'}}", "Multiple Data volume sources"),
        ("source: {blank: {}}, contentType: odd", "ContentType not one of: kubevirt, archive"),
        ("source: {blank: {}}, contentType: archive", "SourceType cannot be blank and the contentType be archive"),
        ("sourceRef: {name: a}", "Missing sourceRef kind"),
        ("sourceRef: {kind: Odd, name: a}", "Unsupported sourceRef kind Odd, currently only DataSource is supported"),
        ("sourceRef: {kind: DataSource}", "Missing sourceRef name"),
        (reference, "spec.sourceRef: this release imports from http and blank"),
        (
            "source: {blank: {}}, checkpoints: [{previous: '', current: a}]",
            "spec.source.blank is not imported in stages",
        ),
        ("source: {http: {url: 'http://a'}}, finalCheckpoint: true", "spec.source.http is not imported in stages"),
        ("source: {blank: {}}, serviceAccountName: other/sa", "spec.serviceAccountName: \"other/sa\" is not a name"),
    ] {
        assert_refused(&with_pvc(rest), message);
    }
}

#[test]
fn an_address_that_is_wrong_is_named_without_being_repeated() {
    for (url, message) in [
        ("''", "spec.source Invalid source URL: it is empty"),
        ("secret", "spec.source Invalid source URL: it is not of the form"),
        ("'ftp://secret/b'", "spec.source Invalid source URL scheme: \"ftp\" is none of http, https"),
        ("'gs://secret/b'", "spec.source Invalid source URL scheme: \"gs\""),
        ("'http:///secret'", "spec.source Invalid source URL: it names no host"),
        ("'http://u:secret@/b'", "spec.source Invalid source URL: it names no host"),
        ("'http://[]:80/secret'", "spec.source Invalid source URL: it names no host"),
        ("'http://secret:port/'", "spec.source Invalid source URL: its port is not a number"),
        ("'http://secret:65536/'", "spec.source Invalid source URL: its port is not a number"),
        ("'http://secret /b'", "spec.source Invalid source URL: it contains spaces"),
        ("\"http://secret\\n/b\"", "spec.source Invalid source URL: it contains spaces or control characters"),
    ] {
        let spec = with_pvc(&format!("source: {{http: {{url: {url}}}}}"));
        assert_refused(&spec, message);
        assert!(!messages(&volume(&spec), &Observed::default()).concat().contains("secret"), "{url}");
    }
}

#[test]
fn other_sources_keep_their_own_rules() {
    for (source, message) in [
        ("s3: {url: 'ftp://a/b'}", "spec.source Invalid source URL"),
        ("gcs: {url: 'a'}", "spec.source Invalid source URL"),
        ("registry: {}", "Source registry should have either URL or ImageStream"),
        ("registry: {url: 'docker://a', imageStream: b}", "Source registry should have either URL or ImageStream"),
        ("registry: {url: a}", "Illegal registry source URL a"),
        ("registry: {url: 'docker://'}", "Illegal registry source URL docker://"),
        ("registry: {url: 'http://a'}", "Illegal registry source URL scheme http://a"),
        ("registry: {url: 'docker://a', pullMethod: odd}", "ImportMethod odd is neither pod, node or \"\""),
        ("registry: {imageStream: a}", "ImageStream is supported only with node pull import method"),
        ("imageio: {url: 'http://a', diskId: d, insecureSkipVerify: true}", "source Imageio is not valid"),
        ("imageio: {url: 'http://a', secretRef: s, insecureSkipVerify: true}", "source Imageio is not valid"),
        (
            "imageio: {url: 'http://a', diskId: d, secretRef: s}",
            "source Imageio requires CertConfigMap or InsecureSkipVerify",
        ),
        ("imageio: {url: a, diskId: d, secretRef: s, certConfigMap: c}", "spec.source Invalid source URL"),
        ("vddk: {uuid: u, backingFile: b, thumbprint: t}", "source VDDK is not valid"),
        ("vddk: {secretRef: s, uuid: u, backingFile: b, thumbprint: ''}", "source VDDK is not valid"),
        ("pvc: {namespace: '', name: a}", "source PVC is not valid"),
        ("snapshot: {namespace: a, name: ''}", "source snapshot is not valid"),
    ] {
        assert_refused(&with_pvc(&format!("source: {{{source}}}")), message);
    }
    assert_refused(
        &with_pvc("contentType: archive, source: {registry: {url: 'docker://a'}}"),
        "ContentType must be kubevirt when Source is Registry",
    );
}

#[test]
fn a_source_without_a_controller_is_refused_by_name_and_for_nothing_else() {
    for (name, source) in [
        ("s3", "{url: 'https://a/b'}"),
        ("gcs", "{url: 'gs://a/b'}"),
        ("registry", "{url: 'docker://a'}"),
        ("registry", "{url: 'oci-archive:a', pullMethod: pod}"),
        ("registry", "{imageStream: a, pullMethod: node}"),
        ("pvc", "{namespace: a, name: b}"),
        ("snapshot", "{namespace: a, name: b}"),
        ("upload", "{}"),
        ("imageio", "{url: 'https://a', diskId: d, secretRef: s, certConfigMap: c}"),
        ("vddk", "{secretRef: s, uuid: u, backingFile: b, thumbprint: t}"),
    ] {
        let told = messages(&volume(&with_pvc(&format!("source: {{{name}: {source}}}"))), &Observed::default());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("spec.source.{name}: this release imports from http and blank")),
            "{told:?}"
        );
    }
}

#[test]
fn a_clone_may_leave_out_its_size() {
    for rest in [
        "source: {pvc: {namespace: a, name: b}}",
        "source: {snapshot: {namespace: a, name: b}}",
        "sourceRef: {kind: DataSource, name: a}",
    ] {
        let told = messages(&volume(&format!("{{storage: {{}}, {rest}}}")), &Observed::default());
        assert!(told.iter().all(|message| message.contains("this release imports")), "{told:?}");
    }
}

#[test]
fn secrets_and_config_maps_of_other_namespaces_are_refused() {
    for (source, field) in [
        ("http: {url: 'http://a', secretRef: ns/s}", "spec.source.http.secretRef"),
        ("http: {url: 'http://a', certConfigMap: ns/s}", "spec.source.http.certConfigMap"),
        ("http: {url: 'http://a', secretExtraHeaders: [a, ns/s]}", "spec.source.http.secretExtraHeaders"),
        ("s3: {url: 'http://a', secretRef: ns/s}", "spec.source.s3.secretRef"),
        ("gcs: {url: 'http://a', secretRef: ns/s}", "spec.source.gcs.secretRef"),
        ("registry: {url: 'docker://a', certConfigMap: ns/s}", "spec.source.registry.certConfigMap"),
        (
            "imageio: {url: 'http://a', diskId: d, secretRef: ns/s, insecureSkipVerify: true}",
            "spec.source.imageio.secretRef",
        ),
        ("vddk: {secretRef: a, uuid: u, backingFile: b, thumbprint: t, extraArgs: ns/s}", "spec.source.vddk.extraArgs"),
    ] {
        assert_refused(&with_pvc(&format!("source: {{{source}}}")), &format!("{field}: \"ns/s\" is not a name"));
    }
}

#[test]
fn a_checksum_that_is_wrong_is_named() {
    for (checksum, message) in [
        ("12ab", "Invalid checksum format: \"12ab\" is not of the form ALGORITHM:HEX"),
        ("crc32:12ab", "Invalid checksum format: the algorithm \"crc32\" is none of md5, sha1, sha256, sha512"),
        ("sha256:12ab", "Invalid checksum format: sha256 has 64 hexadecimal digits"),
        (&format!("md5:{}", "x".repeat(32)), "Invalid checksum format: md5 has 32 hexadecimal digits"),
    ] {
        let rest = format!("source: {{http: {{url: 'http://a', checksum: '{checksum}'}}}}");
        assert_refused(&with_pvc(&rest), message);
    }
}

#[test]
fn external_population_that_is_wrong_is_named() {
    for (storage, rest, message) in [
        (
            "dataSource: {kind: PersistentVolumeClaim, name: a}",
            "source: {blank: {}}",
            "External population is incompatible with Source and SourceRef",
        ),
        ("dataSource: {kind: PersistentVolumeClaim, name: ''}", "", "Required value: DataSource name"),
        ("dataSource: {kind: '', name: a, apiGroup: g}", "", "Required value: DataSource kind"),
        ("dataSource: {kind: K, name: a}", "", "Required value: DataSource apiGroup"),
        ("dataSourceRef: {kind: K, name: '', apiGroup: g}", "", "Required value: DataSourceRef name"),
        ("dataSourceRef: {kind: '', name: a, apiGroup: g}", "", "Required value: DataSourceRef kind"),
        ("dataSourceRef: {kind: K, name: a}", "", "Required value: DataSourceRef apiGroup"),
        (
            "dataSourceRef: {kind: K, name: a, apiGroup: g, namespace: n}",
            "",
            "Invalid value: DataSourceRef namespace not supported",
        ),
        (
            "dataSource: {kind: K, name: a, apiGroup: g}, dataSourceRef: {kind: K, name: b, apiGroup: g}",
            "",
            "DataSourceRef and DataSource must match",
        ),
    ] {
        assert_refused(&format!("{{storage: {{{SIZE}, {storage}}}, {rest}}}"), message);
        let pvc = format!("{{pvc: {{accessModes: [ReadWriteOnce], {SIZE}, {storage}}}, {rest}}}");
        assert_refused(&pvc, message);
    }
}

#[test]
fn a_name_has_at_most_253_characters() {
    let mut long = volume(&with_pvc("source: {blank: {}}"));
    long.metadata.name = Some("a".repeat(253));
    assert_eq!(messages(&long, &Observed::default()), [""; 0]);
    long.metadata.name = Some("a".repeat(254));
    assert_eq!(messages(&long, &Observed::default()), ["metadata.name: Name cannot be longer than 253 characters"]);
}

#[test]
fn a_claim_of_that_name_is_in_the_way_unless_it_is_meant_for_the_data_volume() {
    let blank = with_pvc("source: {blank: {}}");
    let plain = volume(&blank);
    let adopts = |value| annotated(&blank, annotation::ALLOW_CLAIM_ADOPTION, value);
    let owner = |kind: &str, name: &str, controller: bool| {
        format!(
            "{{name: dv, ownerReferences: [{{apiVersion: v, kind: {kind}, name: {name}, uid: u, controller: {controller}}}]}}"
        )
    };
    for (metadata, volume, gate, is_allowed) in [
        ("{name: dv}".to_owned(), &plain, false, false),
        ("{name: dv, annotations: {cdi.kubevirt.io/storage.populatedFor: dv}}".to_owned(), &plain, false, true),
        ("{name: dv, annotations: {cdi.kubevirt.io/storage.populatedFor: other}}".to_owned(), &plain, false, false),
        (owner("DataVolume", "dv", true), &plain, false, true),
        (owner("DataVolume", "other", true), &plain, false, false),
        (owner("Other", "dv", true), &plain, false, false),
        (owner("DataVolume", "dv", false), &plain, false, false),
        ("{name: dv}".to_owned(), &plain, true, true),
        ("{name: dv}".to_owned(), &adopts("true"), false, true),
        ("{name: dv}".to_owned(), &adopts("false"), true, false),
        ("{name: dv}".to_owned(), &adopts("yes"), true, false),
    ] {
        let claim = serde_saphyr::from_str(&format!("{{metadata: {metadata}}}")).unwrap();
        let told = messages(volume, &Observed { claim: Some(claim), adopts_claims: gate });
        let expected: &[&str] = if is_allowed { &[] } else { &["metadata.name: Destination PVC ns/dv already exists"] };
        assert_eq!(told, expected, "{metadata} {gate}");
    }
}

#[test]
fn a_volume_that_is_filled_already_may_name_any_source() {
    let s3 = with_pvc("source: {s3: {url: 'https://a/b'}}");
    let claim = |metadata: &str| serde_saphyr::from_str(&format!("{{metadata: {metadata}}}")).unwrap();
    let populated = claim("{name: dv, annotations: {cdi.kubevirt.io/storage.populatedFor: dv}}");
    for (volume, observed) in [
        (annotated(&s3, annotation::PRE_POPULATED, "dv"), Observed::default()),
        (volume(&s3), Observed { claim: Some(populated), adopts_claims: false }),
        (
            annotated(&s3, annotation::ALLOW_CLAIM_ADOPTION, "true"),
            Observed { claim: Some(claim("{name: dv}")), adopts_claims: false },
        ),
    ] {
        assert_eq!(messages(&volume, &observed), [""; 0]);
    }
    let without_claim = annotated(&s3, annotation::ALLOW_CLAIM_ADOPTION, "true");
    assert_eq!(messages(&without_claim, &Observed::default()).len(), 1);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let told = messages(&volume("{pvc: {}, source: {s3: {url: x}}, contentType: odd}"), &Observed::default());
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn the_specification_does_not_change() {
    let blank = with_pvc("source: {blank: {}}");
    let vddk = |rest: &str| with_pvc(&format!("source: {{vddk: {{uuid: a}}}}{rest}"));
    let first = vddk(", checkpoints: [{previous: '', current: a}]");
    let second = vddk(", checkpoints: [{previous: '', current: a}, {previous: a, current: b}], finalCheckpoint: true");
    for (old, new, is_allowed) in [
        (&blank, &blank, true),
        (&blank, &blank.replace("1Gi", "1024Mi"), true),
        (&blank, &blank.replace("1Gi", "2Gi"), false),
        (&blank, &with_pvc("source: {http: {url: 'http://a'}}"), false),
        (&blank, &with_pvc("source: {blank: {}}, preallocation: true"), false),
        (&with_pvc("source: {s3: {url: x}}"), &with_pvc("source: {s3: {url: x}}"), true),
        (&first, &second, true),
        (&first, &second.replace("uuid: a", "uuid: b"), false),
        (&first, &vddk(""), false),
        (&blank, &with_pvc("source: {blank: {}}, checkpoints: [{previous: '', current: a}]"), false),
    ] {
        let told: Vec<_> = update(&volume(new), &volume(old)).into_iter().map(|cause| cause.message).collect();
        let expected: &[&str] = if is_allowed { &[] } else { &["Cannot update DataVolume Spec"] };
        assert_eq!(told, expected, "{old} -> {new}");
    }
}

#[test]
fn metadata_and_status_may_change() {
    let old = volume(&with_pvc("source: {s3: {url: x}}"));
    let mut new = old.clone();
    new.metadata.finalizers = Some(vec!["a".to_owned()]);
    new.annotations_mut().insert("a".to_owned(), "b".to_owned());
    new.status = Some(Default::default());
    assert_eq!(update(&new, &old), []);
}

#[test]
fn a_data_volume_that_goes_may_change() {
    let old = volume(&with_pvc("source: {blank: {}}"));
    let mut new = volume(&with_pvc("source: {http: {url: 'http://a'}}"));
    new.metadata.deletion_timestamp = Some(serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap());
    assert_eq!(update(&new, &old), []);
}

fn assert_refused(spec: &str, message: &str) {
    let told = messages(&volume(spec), &Observed::default());
    assert!(told.iter().any(|told| told.contains(message)), "{spec}: {told:?} has no {message:?}");
}

#[test]
fn a_volume_that_is_reserved_is_not_passed_over_in_silence() {
    let spec = with_pvc("source: {blank: {}}");
    let mut volume = annotated(&spec, annotation::CHECK_STATIC_VOLUME, "");
    let said = messages(&volume, &Observed::default());
    assert!(said.len() == 1 && said[0].contains("storage.checkStaticVolume"), "{said:?}");
    volume.annotations_mut().insert(annotation::PRE_POPULATED.to_owned(), "dv".to_owned());
    assert_eq!(messages(&volume, &Observed::default()), [""; 0], "nothing is looked for then");
}
