//! gRPC over the kubelet's unix sockets.

use super::fault;
use crate::sensor::{Cause, Fault};
use hyper_util::rt::TokioIo;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tower::service_fn;

/// The most that an answer may be, in bytes: the pods of a node come to some hundreds of KiB.
pub(super) const LARGEST: usize = 16 << 20;

/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// A connection to a socket, made anew for each use: the kubelet makes its socket anew when it restarts.
pub(super) async fn connect(path: &Path) -> Result<Channel, Fault> {
    // Looked at first, because gRPC hides the reason.
    match tokio::time::timeout(CONNECT, UnixStream::connect(path)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(refused(path, error)),
        Err(_) => return Err(refused(path, ErrorKind::TimedOut.into())),
    }
    let failed =
        |error: tonic::transport::Error| fault(&path.display().to_string(), error.to_string(), "");
    // The address is not used.
    let endpoint = Endpoint::try_from("http://kubelet").map_err(failed)?;
    let socket = PathBuf::from(path);
    let dial = service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    endpoint
        .connect_timeout(CONNECT)
        .connect_with_connector(dial)
        .await
        .map_err(failed)
}

fn refused(path: &Path, error: std::io::Error) -> Fault {
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => {
            "run gramwatt with root's uid: the kubelet's sockets are root's"
        }
        ErrorKind::NotFound => {
            "mount the directory of the kubelet's socket (not the socket, which the kubelet makes anew), or give its \
             path in workloads.kubernetes"
        }
        _ => "look whether the kubelet runs on this node; it is asked again",
    };
    Fault {
        place: path.display().to_string(),
        cause: Cause::Io(error),
        mend: mend.to_owned(),
    }
}

/// What a refusal means.
pub(super) fn answered(path: &Path, status: &Status) -> Fault {
    let mend = match status.code() {
        Code::Unimplemented => {
            "this kubelet has not that service: it needs a newer Kubernetes, or its feature gate"
        }
        Code::ResourceExhausted => {
            "the kubelet answers only so many a second, all asking together; it is asked again"
        }
        _ => "look at the kubelet's log; it is asked again",
    };
    let what = format!(
        "the kubelet answers {:?}: {}",
        status.code(),
        status.message()
    );
    fault(
        &path.display().to_string(),
        what.chars().take(300).collect(),
        mend,
    )
}
