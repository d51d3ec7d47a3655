//! Which rule each webhook asks, and what it reads for it.

use super::super::review::{Error, Verdict, answer, read};
use super::*;

async fn judged(webhook: Webhook, review: &Value, made: &Made) -> Result<Verdict, Error> {
    let request = read(&serde_json::to_vec(review).unwrap())?;
    webhook.judge(&request, made).await
}

/// The verdict's word and message.
async fn told(webhook: Webhook, review: &Value, made: &Made) -> String {
    match judged(webhook, review, made).await {
        Ok(verdict) => format!("{} {}", verdict.word(), verdict.message()).trim_end().to_owned(),
        Err(error) => format!("error {error}"),
    }
}

const CRD: &str = "{spec: {group: cdi.kubevirt.io, scope: Namespaced, names: {plural: datavolumes, kind: DataVolume},
    versions: [{name: v1beta1, served: true, storage: true}]}}";
const FOREIGN_CRD: &str = "{spec: {group: example.com, scope: Namespaced, names: {plural: as, kind: A},
    versions: [{name: v1, served: true, storage: true}]}}";
const CDI: &str = "{spec: {uninstallStrategy: BlockUninstallIfWorkloadsExist}, status: {phase: Deployed}}";

/// Path, operation and kind; the object and the old object, by name or as they are; what is told.
const CASES: &str = "
/datavolume-validate CREATE DataVolume | BLANK | - | allowed
/datavolume-validate CREATE DataVolume | S3 | - | wrong spec.source.s3: this release imports
/datavolume-validate UPDATE DataVolume | S3 | S3 | allowed
/datavolume-validate UPDATE DataVolume | S3 | BLANK | wrong spec: Cannot update DataVolume Spec
/datavolume-validate DELETE DataVolume | - | BLANK | allowed
/datavolume-mutate CREATE DataVolume | BLANK | - | allowed
/datavolume-mutate UPDATE DataVolume | BLANK | BLANK | allowed
/datavolume-mutate CREATE DataVolume | {spec: {source: 5}} | - | allowed
/dataimportcron-validate CREATE DataImportCron | {spec: {}} | - | refused DataImportCron: this release has no controller
/dataimportcron-validate UPDATE DataImportCron | {spec: {schedule: ''}} | {spec: {schedule: ''}} | allowed
/dataimportcron-validate UPDATE DataImportCron | {spec: {}} | {spec: {schedule: ''}} | wrong spec: Cannot update DataImportCron Spec
/populator-validate CREATE VolumeImportSource | {spec: {source: {blank: {}}}} | - | allowed
/populator-validate CREATE VolumeImportSource | {spec: {}} | - | wrong spec.source: Missing VolumeImport source
/populator-validate UPDATE VolumeImportSource | {spec: {}} | {spec: {preallocation: true}} | wrong spec: Cannot update VolumeImportSource
/populator-validate CREATE VolumeUploadSource | {spec: {}} | - | refused VolumeUploadSource: this release has no controller
/populator-validate CREATE VolumeUploadSource | {spec: {contentType: odd}} | - | wrong spec.contentType: ContentType not one of
/populator-validate UPDATE VolumeUploadSource | {spec: {}} | {spec: {preallocation: true}} | wrong spec: Cannot update VolumeUploadSource
/objecttransfer-validate CREATE ObjectTransfer | {spec: {}} | - | refused ObjectTransfer: this release has no controller
/objecttransfer-validate DELETE ObjectTransfer | - | {spec: {}} | allowed
/unserved-validate CREATE DataSource | {spec: {}} | - | refused DataSource: this release has no controller
/unserved-validate CREATE VolumeCloneSource | {spec: {}} | - | refused VolumeCloneSource: this release has no controller
/unserved-validate CREATE OvirtVolumePopulator | {spec: {}} | - | refused OvirtVolumePopulator: this release has no controller
/unserved-validate UPDATE DataSource | {spec: {a: 1}} | {spec: {a: 2}} | allowed
/cdi-validate DELETE CDI | - | CDI | refused rejecting the uninstall request, since there are still 2 DataVolumes present
/cdi-validate DELETE CDI | - | {spec: {}} | allowed
/cdi-validate CREATE CDI | {spec: {infra: {}}} | - | allowed
/cdi-validate UPDATE CDI | {spec: {infra: {}}} | {spec: {}} | allowed
/crd-validate DELETE CustomResourceDefinition | - | CRD | refused datavolumes.cdi.kubevirt.io stays: there are 2 objects
/crd-validate DELETE CustomResourceDefinition | - | FOREIGN_CRD | allowed
/pvc-mutate CREATE PersistentVolumeClaim | {spec: {}} | - | allowed
/datavolume-validate CONNECT DataVolume | BLANK | - | error /datavolume-validate does not judge CONNECT of DataVolume
/datavolume-validate CREATE DataSource | BLANK | - | error /datavolume-validate does not judge CREATE of DataSource
/pvc-mutate UPDATE PersistentVolumeClaim | {} | {} | error /pvc-mutate does not judge UPDATE of PersistentVolumeClaim
/datavolume-validate CREATE DataVolume | - | - | error the request has no object
/datavolume-validate UPDATE DataVolume | BLANK | - | error the request has no old object
/datavolume-validate CREATE DataVolume | {spec: {source: 5}} | - | error the DataVolume cannot be read:
";

fn named(word: &str) -> Option<&str> {
    match word {
        "-" => None,
        "BLANK" => Some(BLANK),
        "S3" => Some(S3),
        "CDI" => Some(CDI),
        "CRD" => Some(CRD),
        "FOREIGN_CRD" => Some(FOREIGN_CRD),
        text => Some(text),
    }
}

#[tokio::test]
async fn each_webhook_asks_the_rule_of_its_kind() {
    let made = Made { storage: storage("[]"), count: Count { seen: 2, more: false }, ..Made::default() };
    for case in CASES.lines().filter(|line| !line.is_empty()) {
        let [asked, new, old, expected] = case.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let [path, operation, kind] = asked.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let webhook = Webhook::ALL.into_iter().find(|webhook| webhook.path() == path).unwrap();
        let told = told(webhook, &review(operation, kind, named(new), named(old)), &made).await;
        assert!(told.starts_with(expected), "{case}: {told:?}");
        assert!(expected != "allowed" || told == expected, "{case}: {told:?}");
    }
}

#[tokio::test]
async fn parts_of_objects_are_not_judged() {
    let mut status = review("UPDATE", "DataVolume", Some(S3), Some(BLANK));
    status["request"]["subResource"] = json!("status");
    assert_eq!(told(Webhook::DataVolumeValidate, &status, &Made::default()).await, "allowed");
}

#[tokio::test]
async fn a_dry_run_is_judged_like_any_other() {
    let mut dry = review("CREATE", "DataVolume", Some(S3), None);
    dry["request"]["dryRun"] = json!(true);
    assert!(told(Webhook::DataVolumeValidate, &dry, &Made::default()).await.starts_with("wrong"));
}

#[tokio::test]
async fn the_claim_of_that_name_and_the_feature_gate_are_read() {
    let create = review("CREATE", "DataVolume", Some(BLANK), None);
    let claim = || serde_saphyr::from_str("{metadata: {name: a}}").unwrap();
    let made = |gates| Made { claim: Some(claim()), storage: storage(gates), ..Made::default() };
    let without = told(Webhook::DataVolumeValidate, &create, &made("[HonorWaitForFirstConsumer]")).await;
    assert_eq!(without, "wrong metadata.name: Destination PVC ns/a already exists");
    let with = told(Webhook::DataVolumeValidate, &create, &made("[DataVolumeClaimAdoption]")).await;
    assert_eq!(with, "allowed");
}

#[tokio::test]
async fn what_cannot_be_read_is_neither_allowed_nor_called_wrong() {
    use Webhook::*;
    let made = Made { unreadable: true, ..Made::default() };
    let labelled = "{metadata: {labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}}, spec: {}}";
    for (webhook, review) in [
        (DataVolumeValidate, review("CREATE", "DataVolume", Some(BLANK), None)),
        (CdiValidate, review("DELETE", "CDI", None, Some(CDI))),
        (DefinitionValidate, review("DELETE", "CustomResourceDefinition", None, Some(CRD))),
        (ClaimMutate, review("CREATE", "PersistentVolumeClaim", Some(labelled), None)),
    ] {
        let told = told(webhook, &review, &made).await;
        assert!(told.starts_with("unknown could not read ") && told.ends_with("it is broken"), "{told}");
    }
}

#[tokio::test]
async fn a_claim_is_completed_by_a_patch() {
    let claim = "{metadata: {labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}},
        spec: {volumeMode: FromStorageProfile, resources: {requests: {storage: 2Mi}}}}";
    let made = Made { storage: storage("[]"), ..Made::default() };
    let create = review("CREATE", "PersistentVolumeClaim", Some(claim), None);
    let verdict = judged(Webhook::ClaimMutate, &create, &made).await.unwrap();
    let Verdict::Patched(patch) = verdict else { panic!("{verdict:?}") };
    let mut object = create["request"]["object"].clone();
    json_patch::patch(&mut object, &patch).unwrap();
    let expected = json!({ "storageClassName": "fast", "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"],
                           "resources": { "requests": { "storage": "3145728" } } });
    assert_eq!(object["spec"], expected);
}

#[tokio::test]
async fn no_claim_is_completed_where_that_is_disabled() {
    let claim = "{metadata: {labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}},
        spec: {resources: {requests: {storage: 2Mi}}}}";
    let create = review("CREATE", "PersistentVolumeClaim", Some(claim), None);
    for (said, completed) in [("Disabled", false), ("Enabled", true)] {
        let mut made = Made { storage: storage("[]"), ..Made::default() };
        let mut config = (**made.storage.config.as_ref().unwrap()).clone();
        config.spec.webhook_pvc_rendering = Some(said.to_owned());
        made.storage.config = Some(config.into());
        assert_eq!(told(Webhook::ClaimMutate, &create, &made).await != "allowed", completed, "{said}");
    }
}

#[tokio::test]
async fn a_claim_of_a_class_that_does_not_exist_takes_after_a_volume() {
    let claim = "{metadata: {labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}},
        spec: {storageClassName: made, resources: {requests: {storage: 2Mi}}}}";
    let volume = "{metadata: {name: v}, status: {phase: Available}, spec: {storageClassName: made, volumeMode: Block,
        accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}}}";
    let create = review("CREATE", "PersistentVolumeClaim", Some(claim), None);
    let mut made = Made { storage: storage("[]"), ..Made::default() };
    assert!(told(Webhook::ClaimMutate, &create, &made).await.starts_with("refused PVC spec is missing accessMode"));
    made.volumes = vec![serde_saphyr::from_str(volume).unwrap()];
    assert_eq!(told(Webhook::ClaimMutate, &create, &made).await, "patched");
}

#[tokio::test]
async fn an_answer_says_who_is_meant_what_is_wrong_and_where() {
    for (webhook, review, made, code, reason, fields) in [
        (
            Webhook::DataVolumeValidate,
            review("CREATE", "DataVolume", Some(BLANK), None),
            Made::default(),
            Value::Null,
            Value::Null,
            0,
        ),
        (
            Webhook::DataVolumeValidate,
            review("CREATE", "DataVolume", Some("{spec: {}}"), None),
            Made::default(),
            json!(422),
            json!("Invalid"),
            2,
        ),
        (
            Webhook::UnservedValidate,
            review("CREATE", "DataSource", Some("{spec: {}}"), None),
            Made::default(),
            json!(403),
            json!("Forbidden"),
            0,
        ),
        (
            Webhook::DataVolumeValidate,
            review("CREATE", "DataVolume", Some(BLANK), None),
            Made { unreadable: true, ..Made::default() },
            json!(500),
            json!("InternalError"),
            0,
        ),
    ] {
        let request = read(&serde_json::to_vec(&review).unwrap()).unwrap();
        let verdict = webhook.judge(&request, &made).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer(&request, &verdict, Vec::new()).unwrap()).unwrap();
        let response = &answer["response"];
        assert_eq!(
            (&answer["apiVersion"], &answer["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("0c9a8d74"), &json!(code.is_null())));
        assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&code, &reason));
        let causes = response["status"]["details"]["causes"].as_array().cloned().unwrap_or_default();
        assert_eq!(causes.len(), fields);
        if let Some(cause) = causes.first() {
            assert_eq!(cause["field"], json!("spec.pvc"));
            let message = response["status"]["message"].as_str().unwrap();
            assert!(
                message.starts_with("spec.pvc: Missing Data volume PVC") && message.contains("; spec.source: "),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn a_patch_and_a_warning_reach_the_answer() {
    let claim = "{metadata: {labels: {cdi.kubevirt.io/applyStorageProfile: 'true'}}, spec: {resources: {requests: {storage: 2Mi}}}}";
    let made = Made { storage: storage("[]"), ..Made::default() };
    let request =
        read(&serde_json::to_vec(&review("CREATE", "PersistentVolumeClaim", Some(claim), None)).unwrap()).unwrap();
    let verdict = Webhook::ClaimMutate.judge(&request, &made).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer(&request, &verdict, vec!["old".to_owned()]).unwrap()).unwrap();
    let response = &answer["response"];
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    assert!(response["patch"].as_array().is_some_and(|bytes| !bytes.is_empty()));
    assert_eq!(response["warnings"], json!(["old"]));
}

#[test]
fn what_is_no_review_of_version_1_is_named() {
    let beta = json!({ "apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview" });
    let other = json!({ "apiVersion": "v1", "kind": "Pod" });
    let empty = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview" });
    for (body, message) in [
        ("".to_owned(), "the body is not an AdmissionReview"),
        ("{".to_owned(), "the body is not an AdmissionReview"),
        ("[]".to_owned(), "the body is not an AdmissionReview"),
        (beta.to_string(), "this is AdmissionReview \"admission.k8s.io/v1beta1\""),
        (other.to_string(), "this is Pod \"v1\""),
        (empty.to_string(), "the AdmissionReview has no request"),
    ] {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{body}: {error}");
    }
}
