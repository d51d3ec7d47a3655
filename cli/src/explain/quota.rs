//! ResourceQuotas and LimitRanges. The API server judges each object by itself; what all of them need together, the claim and
//! the one that is filled in its place, is added up here.

use std::collections::BTreeMap;

use contract::{Code, Failure, quantity};
use k8s_openapi::api::core::v1::{LimitRange, PersistentVolumeClaim, Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::report::{Quota, QuotaItem};

/// Amounts by the names that quotas have for them, in thousandths.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<String, u128>);

const WHOLE: u128 = 1000;

impl Needs {
    /// What these objects need; `others` are further objects by their resource and group.
    pub(super) fn of(claims: &[&PersistentVolumeClaim], pod: Option<&Pod>, others: &[&str]) -> Self {
        let mut needs = Self::default();
        for claim in claims {
            needs.claim(claim);
        }
        if let Some(pod) = pod {
            needs.pod(pod);
        }
        for other in others {
            needs.add(&format!("count/{other}"), WHOLE);
        }
        needs
    }

    fn add(&mut self, resource: &str, amount: u128) {
        *self.0.entry(resource.to_owned()).or_default() += amount;
    }

    fn claim(&mut self, claim: &PersistentVolumeClaim) {
        let spec = claim.spec.as_ref();
        let storage = spec.and_then(|spec| thousandths(spec.resources.as_ref()?.requests.as_ref()?.get("storage")?));
        let storage = storage.unwrap_or_default();
        for (resource, amount) in
            [("persistentvolumeclaims", WHOLE), ("count/persistentvolumeclaims", WHOLE), ("requests.storage", storage)]
        {
            self.add(resource, amount);
        }
        if let Some(class) = spec.and_then(|spec| spec.storage_class_name.as_deref()) {
            let of_class = format!("{class}.storageclass.storage.k8s.io");
            self.add(&format!("{of_class}/requests.storage"), storage);
            self.add(&format!("{of_class}/persistentvolumeclaims"), WHOLE);
        }
    }

    fn pod(&mut self, pod: &Pod) {
        self.add("pods", WHOLE);
        self.add("count/pods", WHOLE);
        for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
            let Some(resources) = &container.resources else { continue };
            for (prefix, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
                for (name, amount) in amounts.iter().flatten() {
                    let amount = thousandths(amount).unwrap_or_default();
                    self.add(&format!("{prefix}.{name}"), amount);
                    // The short names are older ones of requests.
                    if prefix == "requests" && matches!(name.as_str(), "cpu" | "memory") {
                        self.add(name, amount);
                    }
                }
            }
        }
    }
}

/// A quantity in thousandths.
fn thousandths(quantity: &Quantity) -> Option<u128> {
    let text = quantity.0.as_str();
    if let Some(number) = text.strip_suffix('m') {
        return number.parse().ok();
    }
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.bytes().all(|byte| byte.is_ascii_digit()) && decimals.len() <= 3 => {
            Some(whole.parse::<u128>().ok()? * WHOLE + format!("{decimals:0<3}").parse::<u128>().ok()?)
        }
        _ => Some(u128::from(quantity::parse(text).ok()?) * WHOLE),
    }
}

/// As people read it: bytes in binary units where they are bytes.
fn shown(resource: &str, amount: u128) -> String {
    let is_bytes =
        resource.contains("storage") && !resource.ends_with("persistentvolumeclaims") || resource.contains("memory");
    match (is_bytes, amount % WHOLE) {
        (true, _) => crate::show::bytes(u64::try_from(amount / WHOLE).unwrap_or(u64::MAX)),
        (false, 0) => (amount / WHOLE).to_string(),
        (false, _) => format!("{amount}m"),
    }
}

/// What a quota says of `needs`; nothing if it limits none of that.
pub(super) fn judge(quota: &ResourceQuota, needs: &Needs) -> Option<Quota> {
    let spec = quota.spec.as_ref()?;
    let status = quota.status.clone().unwrap_or_default();
    let hard = status.hard.or_else(|| spec.hard.clone())?;
    let used = status.used.unwrap_or_default();
    let items = hard.iter().filter_map(|(resource, hard)| {
        let needed = *needs.0.get(resource)?;
        let limit = thousandths(hard)?;
        let taken = used.get(resource).and_then(thousandths).unwrap_or_default();
        Some(QuotaItem {
            resource: resource.clone(),
            hard: shown(resource, limit),
            used: shown(resource, taken),
            needed: shown(resource, needed),
            fits: taken + needed <= limit,
        })
    });
    let items: Vec<QuotaItem> = items.collect();
    let scoped = spec.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty()) || spec.scope_selector.is_some();
    (!items.is_empty()).then(|| Quota { name: quota.name_any(), items, scoped })
}

/// The failure of what does not fit, all objects taken together.
pub(super) fn exceeded(quotas: &[Quota]) -> Option<Failure> {
    let items =
        quotas.iter().filter(|quota| !quota.scoped).flat_map(|quota| quota.items.iter().map(move |item| (quota, item)));
    let (quota, item) = items.into_iter().find(|(_, item)| !item.fits)?;
    let QuotaItem { resource, hard, used, needed, .. } = item;
    let what = format!("the quota {} has {hard} of {resource}, {used} are used, and {needed} are needed", quota.name);
    Some(Failure::new(Code::QuotaExceeded, what))
}

/// What limit ranges say about claims and containers, a line for each.
pub(super) fn limits(ranges: &[LimitRange]) -> Vec<String> {
    let mut lines = Vec::new();
    for range in ranges {
        let items = range.spec.iter().flat_map(|spec| &spec.limits);
        for item in items.filter(|item| matches!(item.type_.as_str(), "PersistentVolumeClaim" | "Container" | "Pod")) {
            let parts = [
                ("at least", &item.min),
                ("at most", &item.max),
                ("requests by default", &item.default_request),
                ("limits by default", &item.default),
            ];
            let said = parts.iter().filter_map(|(what, amounts)| {
                let amounts = amounts.as_ref().filter(|amounts| !amounts.is_empty())?;
                let amounts: Vec<_> = amounts.iter().map(|(name, amount)| format!("{name} {}", amount.0)).collect();
                Some(format!("{what} {}", amounts.join(", ")))
            });
            lines.push(format!("{}: {}: {}", range.name_any(), item.type_, said.collect::<Vec<_>>().join("; ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(size: &str) -> PersistentVolumeClaim {
        let text = format!(
            "{{metadata: {{name: a}}, spec: {{storageClassName: fast, resources: {{requests: {{storage: {size}}}}}}}}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const POD: &str =
        "{metadata: {name: p}, spec: {containers: [{name: c, resources: {requests: {cpu: 100m, memory: 60Mi},
        limits: {cpu: 1.5, memory: 600Mi}}}]}}";

    fn judged(hard: &str, used: &str, claims: &[&PersistentVolumeClaim]) -> Vec<QuotaItem> {
        let text = format!("{{metadata: {{name: q}}, spec: {{}}, status: {{hard: {{{hard}}}, used: {{{used}}}}}}}");
        let pod: Pod = serde_saphyr::from_str(POD).unwrap();
        let needs = Needs::of(claims, Some(&pod), &["datavolumes.cdi.kubevirt.io"]);
        judge(&serde_saphyr::from_str(&text).unwrap(), &needs).map(|quota| quota.items).unwrap_or_default()
    }

    #[test]
    fn two_claims_need_twice_what_one_needs() {
        let one = claim("1Gi");
        for (hard, used, claims, fits) in [
            ("requests.storage: 2Gi", "requests.storage: 1Gi", 1, true),
            ("requests.storage: 2Gi", "requests.storage: 1Gi", 2, false),
            ("persistentvolumeclaims: '1'", "persistentvolumeclaims: '0'", 1, true),
            ("persistentvolumeclaims: '1'", "persistentvolumeclaims: '0'", 2, false),
            ("fast.storageclass.storage.k8s.io/requests.storage: 1Gi", "", 2, false),
            ("requests.cpu: 100m", "requests.cpu: '0'", 1, true),
            ("cpu: '1'", "cpu: 901m", 1, false),
            ("limits.cpu: 1500m", "", 1, true),
            ("limits.memory: 1Gi", "limits.memory: 500Mi", 1, false),
            ("count/datavolumes.cdi.kubevirt.io: '3'", "count/datavolumes.cdi.kubevirt.io: '3'", 1, false),
        ] {
            let items = judged(hard, used, &vec![&one; claims]);
            assert_eq!(items.iter().map(|item| item.fits).collect::<Vec<_>>(), [fits], "{hard} {used} {claims}");
        }
        assert!(
            judged("secrets: '1', other.storageclass.storage.k8s.io/requests.storage: '1'", "", &[&one]).is_empty()
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_numbers() {
        let quota =
            |scoped| Quota { name: "q".into(), items: judged("requests.storage: 1Gi", "", &[&claim("2Gi")]), scoped };
        let failure = exceeded(&[quota(false)]).unwrap();
        assert_eq!(failure.code(), Code::QuotaExceeded);
        assert_eq!(
            failure.what(),
            "the quota q has 1.00 GiB of requests.storage, 0 B are used, and 2.00 GiB are needed"
        );
        assert!(exceeded(&[quota(true)]).is_none());
    }

    #[test]
    fn limits_are_listed_as_they_stand() {
        let range = "{metadata: {name: l}, spec: {limits: [
            {type: PersistentVolumeClaim, min: {storage: 1Mi}, max: {storage: 1Gi}},
            {type: Container, default: {cpu: 1}, defaultRequest: {cpu: 100m}},
            {type: openshift.io/Image, max: {storage: 1Gi}}]}}";
        assert_eq!(
            limits(&[serde_saphyr::from_str(range).unwrap()]),
            [
                "l: PersistentVolumeClaim: at least storage 1Mi; at most storage 1Gi",
                "l: Container: requests by default cpu 100m; limits by default cpu 1",
            ]
        );
    }
}
