//! gRPC over a Unix socket of the kubelet's.

use super::trouble;
use crate::sensor::Fault;
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoRequest, Status, Streaming};
use tonic_prost::ProstCodec;

/// Largest answer.
const LARGEST: usize = 16 << 20;

/// One connection, which is not made anew: the kubelet's next start makes another socket.
pub(super) struct Socket(Grpc<Channel>);

impl Socket {
    pub(super) async fn connect(path: &Path) -> Result<Self, Fault> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|error| trouble::socket(path, error))?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(stream)
        });
        // Some name must be in the request; the path to the socket is none that HTTP allows.
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| {
                trouble::socket(path, io::Error::other(trouble::words(&chain(&error))))
            })?;
        Ok(Self(Grpc::new(channel).max_decoding_message_size(LARGEST)))
    }

    pub(super) async fn ask<Q, A>(&mut self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let method = PathAndQuery::from_static(method);
        let answer = self.0.unary(question.into_request(), method, codec).await?;
        Ok(answer.into_inner())
    }

    pub(super) async fn watch<Q, A>(
        &mut self,
        method: &'static str,
        question: Q,
    ) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let method = PathAndQuery::from_static(method);
        let answer = self
            .0
            .server_streaming(question.into_request(), method, codec)
            .await?;
        Ok(answer.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(chain(&error)))
    }
}

/// An error with what is behind it: the outer ones of this library say little.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    text
}
