//! The importer pod, as CDI's controller makes it (cdi.md §4.1–4.3).

use std::collections::BTreeMap;

use api::{annotation, label};
use contract::pod::{METRICS_PORT, environment, path};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource,
    LocalObjectReference, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Toleration, Volume,
    VolumeDevice, VolumeMount,
};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::request::{Http, Request, Source};
use crate::names;
use crate::settings::Settings;

/// User of importer pods; KubeVirt's virtual machines open their disks as the same.
pub(crate) const USER: i64 = 107;

const DATA: &str = "cdi-data-vol";
const CERTIFICATES: &str = "cdi-cert-vol";
const PROXY_CERTIFICATES: &str = "cdi-proxy-cert-vol";
const SECRET_HEADERS: &str = "cdi-secret-extra-headers-vol";
const CERTIFICATES_PATH: &str = "/certs";
const PROXY_CERTIFICATES_PATH: &str = "/proxycerts/";

/// What the installation says about worker pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Workload {
    pub(crate) resources: Option<ResourceRequirements>,
    pub(crate) pull_secrets: Vec<LocalObjectReference>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) tolerations: Vec<Toleration>,
    /// Share of a file system that is kept for itself, such as `0.06`.
    pub(crate) overhead: String,
    pub(crate) proxy: Proxy,
    /// Networks that sources may not be in, and those they may be in nevertheless; separated by commas.
    pub(crate) denied: String,
    pub(crate) allowed: String,
    pub(crate) verbosity: i32,
    /// The volume may have been used before.
    pub(crate) is_used: bool,
}

/// Proxies of the installation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Proxy {
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) not_for: Option<String>,
    /// ConfigMap in the product's namespace with certificates to trust.
    pub(crate) certificates: Option<String>,
}

/// The authorities of the proxy, where the pod of `claim` can mount them (CDI: `import-proxy-cm-PVC`).
pub(crate) fn proxy_authorities(original: ConfigMap, claim: &PersistentVolumeClaim, settings: &Settings) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::proxy_authorities(&claim.name_any())),
            namespace: claim.namespace(),
            labels: Some(settings.labels()),
            owner_references: claim.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..original
    }
}

/// The pod that fills `claim` as `request` says.
pub(crate) fn pod(claim: &PersistentVolumeClaim, request: &Request, workload: &Workload, settings: &Settings) -> Pod {
    let spec = specification(claim, request, workload, settings);
    let mut annotations = pod_annotations(claim);
    annotations.insert(annotation::MADE_FROM.into(), made_from(&spec));
    Pod {
        metadata: ObjectMeta {
            name: Some(names::importer(&claim.name_any())),
            namespace: claim.namespace(),
            labels: Some(labels(claim, settings)),
            annotations: Some(annotations),
            owner_references: claim.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn specification(
    claim: &PersistentVolumeClaim,
    request: &Request,
    workload: &Workload,
    settings: &Settings,
) -> PodSpec {
    let annotations = claim.annotations();
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("OnFailure".into()),
        containers: vec![container(claim, request, workload, settings)],
        volumes: Some(volumes(claim, request, workload)),
        security_context: Some(pod_security()),
        priority_class_name: annotations.get(annotation::PRIORITY_CLASS_NAME).cloned(),
        service_account_name: annotations.get(annotation::SERVICE_ACCOUNT_NAME).cloned(),
        node_selector: Some(workload.node_selector.clone()).filter(|selector| !selector.is_empty()),
        affinity: workload.affinity.clone(),
        tolerations: Some(workload.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        image_pull_secrets: Some(workload.pull_secrets.clone()).filter(|secrets| !secrets.is_empty()),
        ..PodSpec::default()
    }
}

/// Digest of a pod as we make it; the one that is stored has what admission added, too.
fn made_from(spec: &PodSpec) -> String {
    // Serialising what is made of texts, numbers and maps of them cannot fail.
    names::digest(&serde_json::to_vec(spec).unwrap_or_default())
}

/// Whether `pod` would be made otherwise now: a setting, the image or the claim has changed. Nothing is said of a pod that does
/// not say what it was made from.
pub(crate) fn is_outdated(pod: &Pod, wanted: &Pod) -> bool {
    let made_from = |pod: &Pod| pod.annotations().get(annotation::MADE_FROM).cloned();
    made_from(pod).is_some_and(|made_from_then| Some(made_from_then) != made_from(wanted))
}

fn labels(claim: &PersistentVolumeClaim, settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = claim.labels().clone();
    labels.extend(settings.labels());
    labels.insert(label::COMPONENT.into(), label::COMPONENT_IMPORTER.into());
    labels.insert(label::PROMETHEUS.into(), "true".into());
    labels
}

fn pod_annotations(claim: &PersistentVolumeClaim) -> BTreeMap<String, String> {
    // A sidecar would keep the pod from ending.
    let mut annotations = BTreeMap::from([
        (annotation::ISTIO_INJECT.to_owned(), "false".to_owned()),
        (annotation::LINKERD_INJECT.to_owned(), "disabled".to_owned()),
    ]);
    let passed_on = annotation::PROPAGATED_TO_PODS.iter().filter_map(|key| {
        let value = claim.annotations().get(*key)?;
        Some(((*key).to_owned(), value.clone()))
    });
    annotations.extend(passed_on);
    annotations
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container(claim: &PersistentVolumeClaim, request: &Request, workload: &Workload, settings: &Settings) -> Container {
    let block = is_block(claim);
    Container {
        name: names::IMPORTER_CONTAINER.into(),
        image: Some(settings.importer_image.clone()),
        image_pull_policy: Some(settings.pull_policy.clone()),
        command: settings.importer_command.clone().map(|command| vec![command]),
        args: Some(vec![format!("-v={}", workload.verbosity)]),
        ports: Some(vec![ContainerPort {
            name: Some("metrics".into()),
            container_port: i32::from(METRICS_PORT),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        env: Some(environment_of(claim, request, workload)),
        resources: workload.resources.clone(),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_devices: block.then(|| vec![VolumeDevice { name: DATA.into(), device_path: path::DEVICE.into() }]),
        volume_mounts: Some(mounts(request, workload, block)).filter(|mounts| !mounts.is_empty()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

pub(crate) fn is_block(claim: &PersistentVolumeClaim) -> bool {
    claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) == Some("Block")
}

fn environment_of(claim: &PersistentVolumeClaim, request: &Request, workload: &Workload) -> Vec<EnvVar> {
    let size = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let overhead = if is_block(claim) { "0" } else { workload.overhead.as_str() };
    let mut all = vec![
        plain(environment::SOURCE, if matches!(request.source, Source::Blank) { "none" } else { "http" }),
        plain(environment::CONTENT_TYPE, if request.archive { "archive" } else { "kubevirt" }),
        plain(environment::IMAGE_SIZE, size.map(|size| size.0.as_str()).unwrap_or_default()),
        plain(environment::OWNER_UID, &owner_uid(claim)),
        plain(environment::FILESYSTEM_OVERHEAD, overhead),
        plain(environment::PREALLOCATION, if request.preallocation { "true" } else { "false" }),
    ];
    if matches!(request.source, Source::Blank) && is_block(claim) && workload.is_used {
        all.push(plain(environment::USED_VOLUME, "true"));
    }
    if request.direct_io {
        all.push(plain(environment::CACHE_MODE, "TRYNONE"));
    }
    if let Source::Http(http) = &request.source {
        all.extend(environment_of_http(http));
        all.extend(environment_of_proxy(&workload.proxy));
        let policy = [(environment::SOURCE_DENY, &workload.denied), (environment::SOURCE_ALLOW, &workload.allowed)];
        all.extend(
            policy
                .into_iter()
                .filter(|(_, networks)| !networks.is_empty())
                .map(|(name, networks)| plain(name, networks)),
        );
    }
    all
}

/// The only owner's uid, as CDI has it; the claim's own if there are none or several.
pub(crate) fn owner_uid(claim: &PersistentVolumeClaim) -> String {
    match claim.owner_references() {
        [owner] => owner.uid.clone(),
        _ => claim.uid().unwrap_or_default(),
    }
}

fn environment_of_http(http: &Http) -> Vec<EnvVar> {
    let mut all = vec![
        plain(environment::ENDPOINT, &http.url),
        plain(environment::INSECURE_TLS, if http.insecure { "true" } else { "false" }),
    ];
    if let Some(secret) = &http.secret {
        all.push(from_secret(environment::ACCESS_KEY_ID, secret, "accessKeyId"));
        all.push(from_secret(environment::SECRET_KEY, secret, "secretKey"));
    }
    if http.certificates.is_some() {
        all.push(plain(environment::CERT_DIR, CERTIFICATES_PATH));
    }
    if let Some(checksum) = &http.checksum {
        all.push(plain(environment::CHECKSUM, checksum));
    }
    for (number, header) in http.headers.iter().enumerate() {
        all.push(plain(&format!("{}{number}", environment::EXTRA_HEADER), header));
    }
    all
}

fn environment_of_proxy(proxy: &Proxy) -> Vec<EnvVar> {
    let named = [("http_proxy", &proxy.http), ("https_proxy", &proxy.https), ("no_proxy", &proxy.not_for)];
    let mut all: Vec<EnvVar> =
        named.into_iter().filter_map(|(name, value)| Some(plain(name, value.as_deref()?))).collect();
    if proxy.certificates.is_some() {
        all.push(plain(environment::PROXY_CERT_DIR, PROXY_CERTIFICATES_PATH));
    }
    all
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: Some(false) };
    let source = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

fn volumes(claim: &PersistentVolumeClaim, request: &Request, workload: &Workload) -> Vec<Volume> {
    let mut all = vec![Volume {
        name: DATA.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.name_any(),
            read_only: Some(false),
        }),
        ..Volume::default()
    }];
    let Source::Http(http) = &request.source else { return all };
    let of_proxy = workload.proxy.certificates.as_ref().map(|_| names::proxy_authorities(&claim.name_any()));
    for (name, map) in [(CERTIFICATES, http.certificates.clone()), (PROXY_CERTIFICATES, of_proxy)] {
        if let Some(map) = map {
            let map = ConfigMapVolumeSource { name: map, ..ConfigMapVolumeSource::default() };
            all.push(Volume { name: name.into(), config_map: Some(map), ..Volume::default() });
        }
    }
    for (number, secret) in http.secret_headers.iter().enumerate() {
        let secret = SecretVolumeSource { secret_name: Some(secret.clone()), ..SecretVolumeSource::default() };
        all.push(Volume { name: format!("{SECRET_HEADERS}-{number}"), secret: Some(secret), ..Volume::default() });
    }
    all
}

fn mounts(request: &Request, workload: &Workload, block: bool) -> Vec<VolumeMount> {
    let mut all = Vec::new();
    let mut mount = |name: String, path: String, read_only: bool| {
        all.push(VolumeMount {
            name,
            mount_path: path,
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
    };
    if !block {
        mount(DATA.into(), path::DATA.into(), false);
    }
    if let Source::Http(http) = &request.source {
        if http.certificates.is_some() {
            mount(CERTIFICATES.into(), CERTIFICATES_PATH.into(), true);
        }
        if workload.proxy.certificates.is_some() {
            mount(PROXY_CERTIFICATES.into(), PROXY_CERTIFICATES_PATH.into(), true);
        }
        for number in 0..http.secret_headers.len() {
            mount(format!("{SECRET_HEADERS}-{number}"), format!("{}/{number}", path::SECRET_HEADERS), true);
        }
    }
    all
}
