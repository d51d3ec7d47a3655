//! Service accounts, roles and bindings, from the tables of `api::rights`.

use api::rights::{self, ACCOUNTS, Account, Scope, USER_ROLES, UserRole};
use api::{NAMESPACE, label};
use serde_json::{Value, json};

use crate::workloads::labels;

const GROUP: &str = "rbac.authorization.k8s.io";

/// All of them, accounts first.
pub(crate) fn objects() -> Vec<Value> {
    let mut all: Vec<Value> =
        ACCOUNTS.iter().map(|account| object("v1", "ServiceAccount", account.name, true)).collect();
    all.extend(ACCOUNTS.iter().flat_map(of_account));
    all.extend(USER_ROLES.iter().flat_map(of_users));
    all.push(metrics_reader());
    all
}

/// What Prometheus is bound to.
fn metrics_reader() -> Value {
    let mut reader = role("ClusterRole", rights::METRICS_READER, &[]);
    reader["rules"] = json!([{"nonResourceURLs": [rights::METRICS_PAGE], "verbs": ["get"]}]);
    reader
}

fn of_account(account: &Account) -> [Value; 4] {
    let subject = json!([{"kind": "ServiceAccount", "name": account.name, "namespace": NAMESPACE}]);
    [
        role("ClusterRole", account.cluster_role, &rights::rules(account.rights, Scope::Cluster)),
        binding("ClusterRoleBinding", "ClusterRole", account.cluster_role, &subject),
        role("Role", account.role, &rights::rules(account.rights, Scope::Namespace)),
        binding("RoleBinding", "Role", account.role, &subject),
    ]
}

fn of_users(user: &UserRole) -> Vec<Value> {
    let mut cluster_role = role("ClusterRole", user.name, &rights::rules(user.rights, Scope::Cluster));
    for name in user.added_to {
        let key = match *name {
            "admin" => label::AGGREGATE_TO_ADMIN,
            "edit" => label::AGGREGATE_TO_EDIT,
            _ => label::AGGREGATE_TO_VIEW,
        };
        cluster_role["metadata"]["labels"][key] = json!("true");
    }
    let mut all = vec![cluster_role];
    if !user.groups.is_empty() {
        let subjects = user.groups.iter().map(|name| json!({"kind": "Group", "name": name, "apiGroup": GROUP}));
        all.push(binding("ClusterRoleBinding", "ClusterRole", user.name, &subjects.collect()));
    }
    all
}

fn object(version: &str, kind: &str, name: &str, namespaced: bool) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels("")}});
    if namespaced {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    object
}

fn role(kind: &str, name: &str, rules: &[k8s_openapi::api::rbac::v1::PolicyRule]) -> Value {
    let mut role = object("rbac.authorization.k8s.io/v1", kind, name, kind == "Role");
    role["rules"] = json!(rules);
    role
}

fn binding(kind: &str, role_kind: &str, name: &str, subjects: &Value) -> Value {
    let mut binding = object("rbac.authorization.k8s.io/v1", kind, name, kind == "RoleBinding");
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": name});
    binding["subjects"] = subjects.clone();
    binding
}
