//! Who may read the metrics: whom the API server knows by his token and lets read `/metrics`.
//!
//! ```text
//! GET /metrics, Authorization: Bearer TOKEN
//!   TokenReview          whose token is it          nobody's -> 401
//!   SubjectAccessReview  may he get /metrics        he may not -> 403
//! ```

use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::Semaphore;

/// The page that is guarded.
pub(crate) const METRICS: &str = "/metrics";
/// Whoever asks with many tokens at once must not make us ask the API server as often at once.
const AT_ONCE: usize = 4;

/// What is answered to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// He may read.
    Allowed,
    /// Who he is is not known.
    Unknown,
    /// He is known and may not.
    Denied,
    /// The API server could not be asked.
    Unanswered,
}

/// Asks the API server.
pub(crate) struct Access {
    client: Client,
    turns: Semaphore,
}

impl Access {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(AT_ONCE) }
    }

    /// Whether whoever sends these headers may read.
    pub(crate) async fn verdict(&self, headers: &HeaderMap) -> Verdict {
        let Some(token) = token(headers) else { return Verdict::Unknown };
        let Ok(_turn) = self.turns.acquire().await else { return Verdict::Unanswered };
        match self.asked(token).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::warn!(%error, "the API server does not say who may read the metrics");
                Verdict::Unanswered
            }
        }
    }

    async fn asked(&self, token: &str) -> Result<Verdict, Error> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let review = Api::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = review.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(Verdict::Unknown);
        };
        let review = SubjectAccessReview { spec: may_read(user), ..SubjectAccessReview::default() };
        let review: SubjectAccessReview = Api::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let allowed = review.status.is_some_and(|status| status.allowed && status.denied != Some(true));
        Ok(if allowed { Verdict::Allowed } else { Verdict::Denied })
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether this user may get the metrics.
fn may_read(user: UserInfo) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: user.username,
        groups: user.groups,
        uid: user.uid,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some(METRICS.to_owned()),
            verb: Some("get".to_owned()),
        }),
        resource_attributes: None,
    }
}
