//! The kubelet's plugin registration: it finds our socket, asks what we are, and tells whether it took us.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tracing::{error, info};

use crate::service::unimplemented;
use crate::spec::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse};

/// The name of the socket at which the kubelet finds the driver.
///
/// The kubelet, a Go program, sends the socket's path as the request's authority, with `/` as `%2F`. Our HTTP library allows
/// that in front of an `@` only, as user information (RFC 3986, section 3.2.1), and otherwise resets the stream.
pub(crate) fn socket_name(driver: &str) -> String {
    format!("registration@{driver}.sock")
}

/// The service `pluginregistration.Registration`.
#[derive(Clone)]
pub(crate) struct Registration(PluginInfo);

impl Registration {
    pub(crate) fn new(driver: &str, endpoint: &Path) -> Self {
        Self(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: driver.to_owned(),
            endpoint: endpoint.display().to_string(),
            supported_versions: vec!["1.0.0".to_owned()],
        })
    }
}

impl Service<http::Request<Body>> for Registration {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let registration = self.clone();
        match request.uri().path() {
            "/pluginregistration.Registration/GetInfo" => Box::pin(async move {
                Ok(Grpc::new(ProstCodec::<PluginInfo, InfoRequest>::default()).unary(registration, request).await)
            }),
            "/pluginregistration.Registration/NotifyRegistrationStatus" => Box::pin(async move {
                let codec = ProstCodec::<RegistrationStatusResponse, RegistrationStatus>::default();
                Ok(Grpc::new(codec).unary(registration, request).await)
            }),
            _ => unimplemented(&request),
        }
    }
}

impl UnaryService<InfoRequest> for Registration {
    type Response = PluginInfo;
    type Future = Ready<Result<Response<PluginInfo>, Status>>;

    fn call(&mut self, _: Request<InfoRequest>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

impl UnaryService<RegistrationStatus> for Registration {
    type Response = RegistrationStatusResponse;
    type Future = Ready<Result<Response<RegistrationStatusResponse>, Status>>;

    fn call(&mut self, request: Request<RegistrationStatus>) -> Self::Future {
        let status = request.into_inner();
        if status.plugin_registered {
            info!(driver = self.0.name, "registered with the kubelet");
        } else {
            error!(driver = self.0.name, error = status.error, "the kubelet refused the registration");
        }
        ready(Ok(Response::new(RegistrationStatusResponse {})))
    }
}
