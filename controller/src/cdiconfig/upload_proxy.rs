//! Under which host the upload proxy is reached from outside.

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressRule};

use super::openshift::Route;

/// The upload proxy's service.
const SERVICE: &str = "cdi-uploadproxy";

/// The host of an Ingress that leads to the upload proxy.
pub(crate) fn host_of_ingress(ingress: &Ingress) -> Option<String> {
    let spec = ingress.spec.as_ref()?;
    let rules = spec.rules.as_deref().unwrap_or_default();
    let host = if is_ours(spec.default_backend.as_ref()) {
        rules.first().and_then(|rule| rule.host.clone()).or_else(|| host_of_balancer(ingress))
    } else {
        rules.iter().find(|rule| leads_to_us(rule)).and_then(|rule| rule.host.clone())
    };
    host.filter(|host| !host.is_empty())
}

fn is_ours(backend: Option<&IngressBackend>) -> bool {
    backend.and_then(|backend| backend.service.as_ref()).is_some_and(|service| service.name == SERVICE)
}

fn leads_to_us(rule: &IngressRule) -> bool {
    rule.http.iter().flat_map(|http| &http.paths).any(|path| is_ours(Some(&path.backend)))
        && rule.host.as_ref().is_some_and(|host| !host.is_empty())
}

fn host_of_balancer(ingress: &Ingress) -> Option<String> {
    ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.hostname.clone()
}

/// The host of a Route that leads to the upload proxy.
pub(crate) fn host_of_route(route: &Route) -> Option<String> {
    let admitted = route.status.as_ref()?.ingress.first()?.host.clone();
    (route.spec.to.name == SERVICE && !admitted.is_empty()).then_some(admitted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str) -> Value {
        json!({"service": {"name": name, "port": {"number": 443}}})
    }

    fn rule(host: &str, backend: &str) -> Value {
        json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service(backend)}]}})
    }

    #[test]
    fn the_host_of_an_ingress_is_that_of_what_leads_to_the_upload_proxy() {
        for (spec, status, expected) in [
            (
                json!({"defaultBackend": service(SERVICE), "rules": [{"host": "up.example"}]}),
                json!({}),
                Some("up.example"),
            ),
            (
                json!({"defaultBackend": service(SERVICE)}),
                json!({"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}),
                Some("lb.example"),
            ),
            (json!({"defaultBackend": service(SERVICE)}), json!({}), None),
            (json!({"rules": [rule("a.example", "web"), rule("up.example", SERVICE)]}), json!({}), Some("up.example")),
            (json!({"rules": [rule("", SERVICE), rule("up.example", SERVICE)]}), json!({}), Some("up.example")),
            (json!({"rules": [rule("a.example", "web")]}), json!({}), None),
            (json!({"rules": [{"host": "a.example"}]}), json!({}), None),
            (json!({}), json!({}), None),
        ] {
            let ingress: Ingress =
                serde_json::from_value(json!({"metadata": {"name": "i"}, "spec": spec, "status": status})).unwrap();
            assert_eq!(host_of_ingress(&ingress).as_deref(), expected, "{ingress:?}");
        }
    }

    #[test]
    fn a_route_counts_once_a_router_took_it() {
        for (to, status, expected) in [
            (SERVICE, json!({"ingress": [{"host": "up.example"}]}), Some("up.example")),
            (SERVICE, json!({"ingress": []}), None),
            ("web", json!({"ingress": [{"host": "a.example"}]}), None),
        ] {
            let route: Route = serde_json::from_value(json!({
                "apiVersion": "route.openshift.io/v1",
                "kind": "Route",
                "metadata": {"name": "r"},
                "spec": {"to": {"kind": "Service", "name": to}},
                "status": status
            }))
            .unwrap();
            assert_eq!(host_of_route(&route).as_deref(), expected);
        }
    }
}
