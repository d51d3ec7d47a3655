//! What an API server's answer means for the user.

use std::error::Error;

use contract::{Code, Failure};

/// An error with all its causes, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// A request that was not answered with what it asked for.
pub(crate) fn failure(error: &kube::Error) -> Failure {
    let kube::Error::Api(status) = error else {
        let code = if matches!(error, kube::Error::Auth(_)) { Code::ClusterDenied } else { Code::ClusterUnreachable };
        return Failure::new(code, chain(error)).transient();
    };
    let said = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match status.code {
        401 | 403 => Failure::new(Code::ClusterDenied, said),
        404 => Failure::new(Code::ClusterNotFound, said),
        429 | 500.. => Failure::new(Code::ClusterUnreachable, said).transient(),
        _ => Failure::new(Code::ClusterRefused, said),
    }
}

/// The same, where all objects of a kind were asked for: what is not found then is the kind.
pub(crate) fn of_kind(error: &kube::Error) -> Failure {
    let failure = failure(error);
    if failure.code() != Code::ClusterNotFound {
        return failure;
    }
    Failure::new(Code::ClusterNotFound, "the cluster has no DataVolumes: neither Gantry nor CDI is installed in it")
        .remedy("install it: kubectl apply --server-side -f deploy/gantry.yaml")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16) -> Failure {
        failure(&kube::Error::Api(Box::new(Status::failure("what it said", "Reason").with_code(code))))
    }

    #[test]
    fn the_servers_words_are_kept_and_its_number_decides_the_code() {
        for (number, code, transient) in [
            (401, Code::ClusterDenied, false),
            (403, Code::ClusterDenied, false),
            (404, Code::ClusterNotFound, false),
            (409, Code::ClusterRefused, false),
            (422, Code::ClusterRefused, false),
            (429, Code::ClusterUnreachable, true),
            (503, Code::ClusterUnreachable, true),
        ] {
            let failure = answered(number);
            assert_eq!((failure.code(), failure.is_transient()), (code, transient), "{number}");
            assert_eq!(failure.what(), "what it said");
            assert_eq!(failure.code().class().exit_code(), 7);
        }
    }

    #[test]
    fn a_kind_that_is_not_there_is_not_installed() {
        let missing = kube::Error::Api(Box::new(Status::failure("404 page not found", "NotFound").with_code(404)));
        assert!(of_kind(&missing).what().contains("installed") && of_kind(&missing).what_to_do().contains("apply"));
        let denied = kube::Error::Api(Box::new(Status::failure("no", "Forbidden").with_code(403)));
        assert_eq!(of_kind(&denied).what(), "no");
    }

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(inner);
        assert_eq!(chain(&outer), "connection refused");
    }
}
