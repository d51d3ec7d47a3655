//! The policy that keeps definitions whose objects somebody would miss, once the webhook that counts objects has gone.
//!
//! ```text
//! controller: there are objects of a kind --> annotation gantry.dev/in-use on its definition
//! policy, in the API server itself:           a definition with that annotation is not deleted
//! ```
//!
//! The webhook goes with the product. A policy needs no program; but it sees only the object that is to be deleted, so what the
//! controller knew last is written there. It is installed by the controller and in no manifest: whoever deletes all manifests
//! twice still has all disks.

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec, Validation,
};
use kube::core::ObjectMeta;

use crate::annotation::IN_USE;

/// Name of the policy and of its binding.
pub const GUARD: &str = "gantry-definition-guard";

/// The policy, and the binding that puts it into force.
#[must_use]
pub fn guard() -> (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding) {
    let metadata = ObjectMeta { name: Some(GUARD.to_owned()), ..ObjectMeta::default() };
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let deletions = NamedRuleWithOperations {
        api_groups: words(&["apiextensions.k8s.io"]),
        api_versions: words(&["*"]),
        operations: words(&["DELETE"]),
        resources: words(&["customresourcedefinitions"]),
        ..NamedRuleWithOperations::default()
    };
    let policy = ValidatingAdmissionPolicySpec {
        failure_policy: Some("Fail".to_owned()),
        match_constraints: Some(MatchResources { resource_rules: Some(vec![deletions]), ..MatchResources::default() }),
        validations: Some(vec![Validation {
            expression: format!(
                "!has(oldObject.metadata.annotations) || !('{IN_USE}' in oldObject.metadata.annotations)"
            ),
            message_expression: Some(reason()),
            reason: Some("Forbidden".to_owned()),
            ..Validation::default()
        }]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    let binding = ValidatingAdmissionPolicyBindingSpec {
        policy_name: GUARD.to_owned(),
        validation_actions: vec!["Deny".to_owned()],
        ..ValidatingAdmissionPolicyBindingSpec::default()
    };
    (
        ValidatingAdmissionPolicy { metadata: metadata.clone(), spec: Some(policy), status: None },
        ValidatingAdmissionPolicyBinding { metadata, spec: binding },
    )
}

/// What is said to whoever wants to delete a definition, as an expression.
fn reason() -> String {
    let name = "oldObject.metadata.name";
    format!(
        "{name} + ' stays: there were objects of this kind when the controller looked last, and deleting their definition deletes \
         them; with DataVolumes go their PersistentVolumeClaims, so every disk they made. Delete the objects first, while the \
         controller runs; or, if what is left of them may go: kubectl annotate crd ' + {name} + ' {IN_USE}-'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_puts_the_policy_into_force_for_deletions_of_definitions() {
        let (policy, binding) = guard();
        let (policy, binding) = (policy.spec.unwrap(), binding.spec);
        assert_eq!(binding.policy_name, GUARD);
        assert_eq!(binding.validation_actions, ["Deny"]);
        let rules = policy.match_constraints.unwrap().resource_rules.unwrap();
        assert_eq!(rules[0].operations, Some(vec!["DELETE".to_owned()]));
        let validations = policy.validations.unwrap();
        assert!(validations[0].expression.contains("'gantry.dev/in-use' in"));
        assert!(validations[0].message_expression.as_ref().unwrap().contains(" gantry.dev/in-use-'"));
    }
}
