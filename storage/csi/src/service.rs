//! gRPC: from the path of a request to a method of the driver, which runs on a thread of its own, is logged and counted.
//!
//! This is what a generator would write from the specification's service definitions, as one table.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use prost::Message;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tracing::{debug, info, warn};

use crate::driver::Driver;
use crate::metrics::Metrics;

/// The three services of the Container Storage Interface on one socket.
#[derive(Clone)]
pub(crate) struct Csi(Arc<Shared>);

struct Shared {
    driver: Driver,
    metrics: Arc<Metrics>,
}

impl Csi {
    pub(crate) fn new(driver: Driver, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { driver, metrics }))
    }

    fn call<A, B>(
        &self,
        name: &'static str,
        run: fn(&Driver, &A) -> Result<B, Status>,
        request: http::Request<Body>,
    ) -> BoxFuture<http::Response<Body>, Infallible>
    where
        A: Message + Debug + Default + 'static,
        B: Message + Default + 'static,
    {
        let method = Method { shared: Arc::clone(&self.0), name, run };
        Box::pin(async move { Ok(Grpc::new(ProstCodec::<B, A>::default()).unary(method, request).await) })
    }
}

impl Service<http::Request<Body>> for Csi {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (service, method) = request.uri().path().trim_start_matches('/').split_once('/').unwrap_or_default();
        match (service, method) {
            ("csi.v1.Identity", "GetPluginInfo") => Self::call(self, "GetPluginInfo", Driver::get_plugin_info, request),
            ("csi.v1.Identity", "GetPluginCapabilities") => {
                Self::call(self, "GetPluginCapabilities", Driver::get_plugin_capabilities, request)
            }
            ("csi.v1.Identity", "Probe") => Self::call(self, "Probe", Driver::probe, request),
            ("csi.v1.Controller", _) => self.controller(request),
            ("csi.v1.Node", _) => self.node(request),
            _ => unimplemented(&request),
        }
    }
}

/// Last part of the path, or nothing that matches.
fn method_of(request: &http::Request<Body>) -> String {
    request.uri().path().rsplit('/').next().unwrap_or_default().to_owned()
}

macro_rules! methods {
    ($self:ident, $request:ident, $($name:literal => $run:path,)*) => {
        match method_of(&$request).as_str() {
            $($name => Self::call($self, $name, $run, $request),)*
            _ => unimplemented(&$request),
        }
    };
}

impl Csi {
    fn controller(&self, request: http::Request<Body>) -> BoxFuture<http::Response<Body>, Infallible> {
        methods! { self, request,
            "CreateVolume" => Driver::create_volume,
            "DeleteVolume" => Driver::delete_volume,
            "ValidateVolumeCapabilities" => Driver::validate_volume_capabilities,
            "ListVolumes" => Driver::list_volumes,
            "ControllerGetVolume" => Driver::controller_get_volume,
            "GetCapacity" => Driver::get_capacity,
            "ControllerGetCapabilities" => Driver::controller_get_capabilities,
            "CreateSnapshot" => Driver::create_snapshot,
            "DeleteSnapshot" => Driver::delete_snapshot,
            "ListSnapshots" => Driver::list_snapshots,
            "GetSnapshot" => Driver::get_snapshot,
            "ControllerExpandVolume" => Driver::controller_expand_volume,
        }
    }

    fn node(&self, request: http::Request<Body>) -> BoxFuture<http::Response<Body>, Infallible> {
        methods! { self, request,
            "NodeStageVolume" => Driver::node_stage_volume,
            "NodeUnstageVolume" => Driver::node_unstage_volume,
            "NodePublishVolume" => Driver::node_publish_volume,
            "NodeUnpublishVolume" => Driver::node_unpublish_volume,
            "NodeGetVolumeStats" => Driver::node_get_volume_stats,
            "NodeExpandVolume" => Driver::node_expand_volume,
            "NodeGetCapabilities" => Driver::node_get_capabilities,
            "NodeGetInfo" => Driver::node_get_info,
        }
    }
}

/// The answer to a method that is not served.
pub(crate) fn unimplemented(request: &http::Request<Body>) -> BoxFuture<http::Response<Body>, Infallible> {
    let status = Status::unimplemented(format!("{} is not served", request.uri().path()));
    Box::pin(async move { Ok(status.into_http()) })
}

/// One method, ready to be called.
struct Method<A, B> {
    shared: Arc<Shared>,
    name: &'static str,
    run: fn(&Driver, &A) -> Result<B, Status>,
}

impl<A: Message + Debug + 'static, B: Send + 'static> UnaryService<A> for Method<A, B> {
    type Response = B;
    type Future = BoxFuture<Response<B>, Status>;

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (shared, name, run) = (Arc::clone(&self.shared), self.name, self.run);
        Box::pin(async move {
            // A caller that goes away does not stop what was begun: its next call finds it done, or running.
            let call = tokio::task::spawn_blocking(move || {
                let (argument, start) = (request.into_inner(), Instant::now());
                let result = run(&shared.driver, &argument);
                let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
                shared.metrics.count(name, code, start.elapsed());
                log(name, &argument, code, result.as_ref().err(), start);
                result
            });
            match call.await {
                Ok(result) => result.map(Response::new),
                Err(error) => Err(Status::internal(format!("{name} ended early: {error}"))),
            }
        })
    }
}

/// Changes and failures are worth a line; sidecars and the kubelet ask the rest all the time.
///
/// Requests have no secrets in them, since the messages leave those fields out.
fn log(method: &str, request: &impl Debug, code: Code, error: Option<&Status>, start: Instant) {
    let milliseconds = start.elapsed().as_millis();
    let is_question =
        ["Get", "List", "Probe", "Validate", "ControllerGet", "NodeGet"].iter().any(|it| method.starts_with(it));
    match error {
        Some(error) => warn!(method, ?request, ?code, error = error.message(), milliseconds, "call failed"),
        None if is_question => debug!(method, ?request, milliseconds, "call"),
        None => info!(method, ?request, milliseconds, "call"),
    }
}
