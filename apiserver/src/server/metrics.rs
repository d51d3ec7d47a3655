//! What Prometheus is told: reviews by path and verdict, and how long they took.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// All metrics.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    reviews: Family<Review, Counter>,
    seconds: Family<Path, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Review {
    path: &'static str,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("gantry_webhook");
        let reviews = Family::<Review, Counter>::default();
        let seconds =
            Family::<Path, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8)));
        registry.register("reviews", "Reviews by path and verdict", reviews.clone());
        registry.register_with_unit("review_duration", "Time from request to answer", Unit::Seconds, seconds.clone());
        Self { registry, reviews, seconds }
    }

    /// Counts a review.
    pub(super) fn count(&self, path: &'static str, verdict: &'static str, took: Duration) {
        self.reviews.get_or_create(&Review { path, verdict }).inc();
        self.seconds.get_or_create(&Path { path }).observe(took.as_secs_f64());
    }

    /// All metrics as text, in the OpenMetrics format.
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
