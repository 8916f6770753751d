//! New secrets and certificates for a running gateway: all of them or none, without a request in between that meets half.

use super::certificates::Certificates;
use super::prepare::{seconds, secret_headers};
use crate::clock;
use crate::config::Config;
use crate::metrics::ProcessMetrics;
use crate::receive::Receive;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Renews the secrets and the certificates of a gateway.
#[derive(Clone)]
pub struct Secrets {
    receive: Arc<Receive>,
    certificates: Arc<Certificates>,
    process: ProcessMetrics,
}

impl Secrets {
    pub(super) fn new(
        receive: Arc<Receive>,
        certificates: Arc<Certificates>,
        process: ProcessMetrics,
    ) -> Self {
        Self {
            receive,
            certificates,
            process,
        }
    }

    /// Waits until a handshake has brought one. It is to be told when it is in use; dropped, what is returned says that
    /// it will not be.
    pub async fn learned(&self) -> oneshot::Sender<()> {
        self.receive.learned.rung().await
    }

    /// Uses the secrets and certificates of `config`, which is the running configuration with what its files hold now.
    pub fn renew(&self, config: &Config) {
        for source in &config.sources {
            if let Some(running) = self.receive.sources.get(&source.path) {
                running.renew(&source.secrets);
            }
        }
        self.receive.deliver.renew(secret_headers(&config.sources));
        self.certificates.renew(config);
        self.process.reload_successful.set(1.0);
        self.process.last_reload.set(seconds(clock::wall_ms()));
    }

    /// Says that they could not be read; the present ones stay.
    pub fn not_renewed(&self) {
        self.process.reload_successful.set(0.0);
    }
}
