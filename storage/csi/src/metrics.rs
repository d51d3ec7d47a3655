//! What Prometheus is told: calls by method and result, and the pool's figures at the moment of asking.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use storage::Pool;
use tonic::Code;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    pool: Arc<Pool>,
    registry: Registry,
    calls: Family<Call, Counter>,
    seconds: Family<Method, Histogram>,
    gauges: Gauges,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: &'static str,
    code: CodeName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CodeName(Code);

impl prometheus_client::encoding::EncodeLabelValue for CodeName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        write!(encoder, "{:?}", self.0)
    }
}

#[derive(Debug, Default)]
struct Gauges {
    total: Gauge,
    free: Gauge,
    limit: Gauge,
    promised: Gauge,
    available: Gauge,
    volumes: Gauge,
    snapshots: Gauge,
    complaints: Gauge,
}

impl Metrics {
    /// Metrics of a driver on `pool`.
    #[must_use]
    pub fn new(pool: Arc<Pool>) -> Self {
        let mut registry = Registry::with_prefix("gantry_csi");
        let calls = Family::<Call, Counter>::default();
        let seconds =
            Family::<Method, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8)));
        registry.register("calls", "Calls by method and result", calls.clone());
        registry.register_with_unit("call_duration", "Time from call to answer", Unit::Seconds, seconds.clone());
        let gauges = Gauges::default();
        for (name, help, gauge) in [
            ("pool_total", "Size of the pool's file system", &gauges.total),
            ("pool_free", "Free on the pool's file system", &gauges.free),
            ("pool_limit", "What can be promised in all", &gauges.limit),
            ("pool_promised", "What is promised to volumes and snapshots", &gauges.promised),
            ("pool_available", "What can still be promised", &gauges.available),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        for (name, help, gauge) in [
            ("volumes", "Volumes", &gauges.volumes),
            ("snapshots", "Snapshots", &gauges.snapshots),
            ("complaints", "Things in the pool that need a person; the log names them at start", &gauges.complaints),
        ] {
            registry.register(name, help, gauge.clone());
        }
        Self { pool, registry, calls, seconds, gauges }
    }

    /// Counts a call.
    pub(crate) fn count(&self, method: &'static str, code: Code, took: Duration) {
        self.calls.get_or_create(&Call { method, code: CodeName(code) }).inc();
        self.seconds.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }

    /// All metrics as text, in the OpenMetrics format; an error says why the pool cannot be measured.
    ///
    /// # Errors
    /// The pool's file system cannot be asked.
    pub fn text(&self) -> Result<String, String> {
        let capacity = self.pool.capacity().map_err(|error| crate::driver::text_of(&error))?;
        let (volumes, snapshots) = self.pool.counts();
        let gauges = &self.gauges;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        for (gauge, value) in [
            (&gauges.total, capacity.total),
            (&gauges.free, capacity.free),
            (&gauges.limit, capacity.limit),
            (&gauges.promised, capacity.promised),
            (&gauges.available, capacity.available),
            (&gauges.volumes, count(volumes)),
            (&gauges.snapshots, count(snapshots)),
            (&gauges.complaints, count(self.pool.complaints().len())),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|error| error.to_string())?;
        Ok(text)
    }
}
