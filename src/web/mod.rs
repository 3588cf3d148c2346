//! stub
#![allow(missing_docs, clippy::unused_async)]
use std::{future::Future, io, net::TcpListener, path::PathBuf, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
pub struct Settings {
    pub telemetry_path: String,
    pub config_file: Option<PathBuf>,
    pub max_requests: usize,
}
impl From<&crate::config::Web> for Settings {
    fn from(w: &crate::config::Web) -> Self {
        Self {
            telemetry_path: w.telemetry_path.clone(),
            config_file: w.config_file.clone(),
            max_requests: w.max_requests,
        }
    }
}
pub struct Site {
    pub settings: Settings,
    pub latest: watch::Receiver<Arc<crate::snapshot::Snapshot>>,
    pub reload: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
}
pub fn bind(a: &[String], _s: bool) -> io::Result<Vec<TcpListener>> {
    a.iter()
        .map(|a| {
            TcpListener::bind(if a.starts_with(':') {
                format!("0.0.0.0{a}")
            } else {
                a.clone()
            })
        })
        .collect()
}
pub async fn serve(
    l: Vec<TcpListener>,
    site: Site,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let _ = (l, site);
    shutdown.await;
    Ok(())
}
