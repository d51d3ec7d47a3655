//! What each service account may do, and what users' roles contain: the only place where that is said.
//!
//! `deploy/gantry.yaml` is generated from these tables. A test run on a real cluster compares them with the audit log: a
//! refused call and an unused right are both failures, so a line goes in with the call that needs it and out with it.
//! Two things are never in them: secrets outside the product's own namespace, and logs of pods.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::GUARD;

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace, and for objects that are in none.
    Cluster,
    /// In the product's own namespace.
    Namespace,
}

/// Verbs on resources of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Where it holds.
    pub scope: Scope,
    /// Group of the resources; empty for the core group.
    pub group: &'static str,
    /// The resources, `RESOURCE` or `RESOURCE/SUBRESOURCE`.
    pub resources: &'static [&'static str],
    /// Names of the only objects it holds for; empty for all.
    pub names: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
}

/// A service account of the product.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Its name.
    pub name: &'static str,
    /// Name of its ClusterRole.
    pub cluster_role: &'static str,
    /// Name of its Role in the product's namespace.
    pub role: &'static str,
    /// What it may do.
    pub rights: &'static [Right],
}

/// A role for users.
#[derive(Clone, Copy, Debug)]
pub struct UserRole {
    /// Its name.
    pub name: &'static str,
    /// Roles of Kubernetes that it is added to: `admin`, `edit`, `view`.
    pub added_to: &'static [&'static str],
    /// Groups of users that have it everywhere.
    pub groups: &'static [&'static str],
    /// What it allows.
    pub rights: &'static [Right],
}

/// The service account of the controller.
pub const CONTROLLER: Account =
    Account { name: "cdi-sa", cluster_role: "cdi", role: "cdi-deployment", rights: CONTROLLER_RIGHTS };

/// The service account of the API server.
pub const APISERVER: Account =
    Account { name: "cdi-apiserver", cluster_role: "cdi-apiserver", role: "cdi-apiserver", rights: APISERVER_RIGHTS };

/// All service accounts.
pub const ACCOUNTS: &[Account] = &[CONTROLLER, APISERVER];

const CDI: &str = "cdi.kubevirt.io";
const FORKLIFT: &str = "forklift.cdi.kubevirt.io";
const UPLOAD: &str = "upload.cdi.kubevirt.io";

/// What users may do who only look.
const READ: &[&str] = &["get", "list", "watch"];
/// What fills a cache.
const CACHE: &[&str] = &["list", "watch"];
/// What keeps an object as it should be.
const KEEP: &[&str] = &["get", "list", "watch", "patch"];
/// The same for an object whose state in the cache will do.
const KEEP_WEBHOOK: &[&str] = &["list", "watch", "patch"];

/// The CustomResourceDefinitions by name, which is what a rule can be narrowed to.
pub const CRD_NAMES: &[&str] = &[
    "cdiconfigs.cdi.kubevirt.io",
    "cdis.cdi.kubevirt.io",
    "dataimportcrons.cdi.kubevirt.io",
    "datasources.cdi.kubevirt.io",
    "datavolumes.cdi.kubevirt.io",
    "objecttransfers.cdi.kubevirt.io",
    "openstackvolumepopulators.forklift.cdi.kubevirt.io",
    "ovirtvolumepopulators.forklift.cdi.kubevirt.io",
    "storageprofiles.cdi.kubevirt.io",
    "volumeclonesources.cdi.kubevirt.io",
    "volumeimportsources.cdi.kubevirt.io",
    "volumeuploadsources.cdi.kubevirt.io",
];

/// The validating webhook configurations, which the controller keeps its certificate authority in.
pub const VALIDATING_WEBHOOKS: &[&str] = &[
    "cdi-api-crd-guard",
    "cdi-api-dataimportcron-validate",
    "cdi-api-datavolume-validate",
    "cdi-api-populator-validate",
    "cdi-api-unserved-validate",
    "cdi-api-validate",
    "objecttransfer-api-validate",
];

/// The mutating webhook configurations, likewise.
pub const MUTATING_WEBHOOKS: &[&str] = &["cdi-api-datavolume-mutate", "cdi-api-pvc-mutate"];

const CONTROLLER_RIGHTS: &[Right] = &[
    cluster(CDI, &["datavolumes"], CACHE),
    cluster(CDI, &["datavolumes/status"], &["update"]),
    cluster(CDI, &["volumeimportsources"], &["list", "watch", "create", "delete"]),
    cluster(CDI, &["storageprofiles"], &["list", "watch", "create", "patch"]),
    cluster(CDI, &["storageprofiles/status"], &["update"]),
    cluster(CDI, &["cdiconfigs"], &["list", "watch", "create", "patch"]),
    cluster(CDI, &["cdis"], CACHE),
    cluster("", &["persistentvolumeclaims"], &["list", "watch", "create", "patch", "delete"]),
    cluster("", &["pods"], &["list", "watch", "create", "delete"]),
    cluster("", &["persistentvolumes"], &["list", "watch", "patch"]),
    // The copy of the proxy's certificate authorities for an importer pod, which its claim owns.
    cluster("", &["configmaps"], &["create"]),
    cluster("events.k8s.io", &["events"], &["create", "patch"]),
    // Why a pod does not get its volumes, and a claim no volume: only events say it.
    cluster("", &["events"], CACHE),
    cluster("storage.k8s.io", &["storageclasses", "csidrivers"], CACHE),
    cluster("snapshot.storage.k8s.io", &["volumesnapshotclasses"], CACHE),
    cluster("config.openshift.io", &["proxies"], CACHE),
    // Certificate authorities of OpenShift's proxy, from a namespace that other clusters do not have.
    cluster("", &["configmaps"], CACHE).named(&["user-ca-bundle"]),
    // Who may read the metrics.
    cluster("authentication.k8s.io", &["tokenreviews"], &["create"]),
    cluster("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
    // An applied object that is not there is created by its name, so these rules can say which, as those for a POST cannot.
    cluster("apiextensions.k8s.io", &["customresourcedefinitions"], &["create", "patch"]).named(CRD_NAMES),
    cluster(
        "admissionregistration.k8s.io",
        &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
        &["create", "patch"],
    )
    .named(&[GUARD]),
    cluster("admissionregistration.k8s.io", &["validatingwebhookconfigurations"], KEEP_WEBHOOK)
        .named(VALIDATING_WEBHOOKS),
    cluster("admissionregistration.k8s.io", &["mutatingwebhookconfigurations"], KEEP_WEBHOOK).named(MUTATING_WEBHOOKS),
    namespace("", &["secrets", "configmaps"], &["create"]),
    namespace("", &["secrets"], KEEP).named(&["cdi-apiserver-signer", "cdi-apiserver-server-cert"]),
    namespace("", &["configmaps"], KEEP).named(&["cdi-apiserver-signer-bundle"]),
    // The proxy's certificate authorities are in a ConfigMap of any name; OpenShift's are copied.
    namespace("", &["configmaps"], &["get"]),
    namespace("", &["configmaps"], &["patch"]).named(&["trusted-ca-proxy-bundle-cm"]),
    namespace("networking.k8s.io", &["ingresses"], CACHE),
    namespace("route.openshift.io", &["routes"], CACHE),
    namespace("coordination.k8s.io", &["leases"], &["create"]),
    namespace("coordination.k8s.io", &["leases"], &["get", "update"]).named(&["cdi-controller-leader-election-helper"]),
];

const APISERVER_RIGHTS: &[Right] = &[
    cluster(CDI, &["storageprofiles", "cdiconfigs"], CACHE),
    cluster("storage.k8s.io", &["storageclasses"], CACHE),
    cluster("", &["persistentvolumeclaims"], &["get"]),
    cluster("", &["persistentvolumes"], &["list"]),
    // Whether objects of a kind are left, before its definition or the product may go.
    cluster(CDI, NAMESPACED_KINDS, &["list"]),
    cluster(CDI, &["cdis", "objecttransfers"], &["list"]),
    cluster(FORKLIFT, FORKLIFT_KINDS, &["list"]),
];

const NAMESPACED_KINDS: &[&str] = &[
    "datavolumes",
    "dataimportcrons",
    "datasources",
    "volumeimportsources",
    "volumeuploadsources",
    "volumeclonesources",
];
const FORKLIFT_KINDS: &[&str] = &["ovirtvolumepopulators", "openstackvolumepopulators"];

const WRITER_RIGHTS: &[Right] = &[
    cluster(CDI, NAMESPACED_KINDS, &["*"]),
    cluster(CDI, &["datavolumes/source"], &["create"]),
    cluster(FORKLIFT, FORKLIFT_KINDS, &["*"]),
    cluster(UPLOAD, &["uploadtokenrequests"], &["*"]),
];

/// The role for whoever scrapes the controller's metrics, by CDI's name: it allows to get [`METRICS_PAGE`], and nothing else.
pub const METRICS_READER: &str = "cdi-metrics-reader";
/// The page of the controller's metrics.
pub const METRICS_PAGE: &str = "/metrics";

/// The roles for users, by CDI's names.
pub const USER_ROLES: &[UserRole] = &[
    UserRole { name: "cdi.kubevirt.io:admin", added_to: &["admin"], groups: &[], rights: WRITER_RIGHTS },
    UserRole { name: "cdi.kubevirt.io:edit", added_to: &["edit"], groups: &[], rights: WRITER_RIGHTS },
    UserRole {
        name: "cdi.kubevirt.io:view",
        added_to: &["view"],
        groups: &[],
        rights: &[
            cluster(CDI, NAMESPACED_KINDS, READ),
            cluster(CDI, &["cdiconfigs", "storageprofiles", "objecttransfers"], READ),
            cluster(FORKLIFT, FORKLIFT_KINDS, READ),
        ],
    },
    // Given in the namespace of a source to whoever may clone from it.
    UserRole {
        name: "cdi.kubevirt.io:clone-sourcer",
        added_to: &[],
        groups: &[],
        rights: &[cluster(CDI, &["datavolumes/source"], &["create"])],
    },
    UserRole {
        name: "cdi.kubevirt.io:config-reader",
        added_to: &[],
        groups: &["system:authenticated", "system:serviceaccounts"],
        rights: &[cluster(CDI, &["cdiconfigs", "storageprofiles"], READ)],
    },
];

const fn cluster(group: &'static str, resources: &'static [&'static str], verbs: &'static [&'static str]) -> Right {
    Right { scope: Scope::Cluster, group, resources, names: &[], verbs }
}

const fn namespace(group: &'static str, resources: &'static [&'static str], verbs: &'static [&'static str]) -> Right {
    Right { scope: Scope::Namespace, group, resources, names: &[], verbs }
}

impl Right {
    const fn named(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }

    /// The right as a rule of a role.
    #[must_use]
    pub fn rule(&self) -> PolicyRule {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        PolicyRule {
            api_groups: Some(vec![self.group.to_owned()]),
            resources: Some(owned(self.resources)),
            resource_names: (!self.names.is_empty()).then(|| owned(self.names)),
            verbs: owned(self.verbs),
            non_resource_urls: None,
        }
    }

    /// Whether the right covers a call.
    #[must_use]
    pub fn covers(&self, group: &str, resource: &str, name: Option<&str>, verb: &str) -> bool {
        let among = |words: &[&str], word: &str| words.iter().any(|known| *known == "*" || *known == word);
        self.group == group
            && among(self.resources, resource)
            && among(self.verbs, verb)
            && (self.names.is_empty() || name.is_some_and(|name| self.names.contains(&name)))
    }
}

/// The rules of a role: those of the rights that hold in `scope`.
#[must_use]
pub fn rules(rights: &[Right], scope: Scope) -> Vec<PolicyRule> {
    rights.iter().filter(|right| right.scope == scope).map(Right::rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = (&'static str, &'static Right)> {
        ACCOUNTS.iter().flat_map(|account| account.rights.iter().map(|right| (account.name, right)))
    }

    #[test]
    fn no_account_reads_secrets_elsewhere_or_logs_of_pods() {
        for (account, right) in all() {
            if right.scope == Scope::Cluster {
                assert!(!right.covers("", "secrets", None, "get"), "{account}: {right:?}");
            }
            assert!(!right.covers("", "pods/log", None, "get"), "{account}: {right:?}");
        }
    }

    #[test]
    fn no_account_has_a_wildcard_or_may_change_roles() {
        for (account, right) in all() {
            for words in [right.resources, right.verbs] {
                assert!(words.iter().all(|word| !word.contains('*')), "{account}: {right:?}");
            }
            assert_ne!(right.group, "rbac.authorization.k8s.io", "{account}");
        }
    }

    #[test]
    fn a_right_by_name_covers_only_that_name() {
        let right = cluster("", &["configmaps"], &["get"]).named(&["a"]);
        assert!(right.covers("", "configmaps", Some("a"), "get"));
        assert!(!right.covers("", "configmaps", Some("b"), "get"));
        assert!(!right.covers("", "configmaps", None, "get"));
        assert!(!right.covers("", "configmaps", Some("a"), "patch"));
    }

    #[test]
    fn the_names_of_definitions_are_those_of_the_kinds() {
        let names: Vec<_> = crate::crds().into_iter().filter_map(|definition| definition.metadata.name).collect();
        assert_eq!(names, CRD_NAMES);
    }
}
