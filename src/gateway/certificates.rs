//! The certificates that the listeners show: renewed together, and their ends told as metrics.

use crate::config::{Config, Listener, Place};
use crate::http::Tls;
use crate::http::listen::Terms;
use crate::metrics::Metrics;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What renews the certificates of a running gateway.
#[derive(Debug)]
pub(super) struct Certificates {
    listeners: Vec<(Place, Arc<Tls>)>,
    metrics: Arc<Metrics>,
    /// The files whose ends were told last.
    files: Mutex<BTreeSet<Arc<str>>>,
}

impl Certificates {
    /// Of the listeners of `config`, which have these terms.
    pub(super) fn new(config: &Config, terms: &[Arc<Terms>], metrics: &Arc<Metrics>) -> Self {
        let places = config.listeners.iter().map(|listener| &listener.place);
        let listeners = places
            .zip(terms)
            .filter_map(|(place, terms)| Some((place.clone(), Arc::clone(terms.tls.as_ref()?))))
            .collect();
        let certificates = Self {
            listeners,
            metrics: Arc::clone(metrics),
            files: Mutex::default(),
        };
        certificates.tell_ends(&config.listeners);
        certificates
    }

    /// From now on each listener shows what `config` has for its place, and asks its clients for what that says. What
    /// speaks no TLS now goes on without, and the other way round.
    pub(super) fn renew(&self, config: &Config) {
        for (place, tls) in &self.listeners {
            let mut listeners = config.listeners.iter();
            let now = listeners.find(|listener| listener.place == *place);
            if let Some(now) = now.and_then(|listener| listener.tls.as_ref()) {
                tls.renew(now);
            }
        }
        self.tell_ends(&config.listeners);
    }

    fn tell_ends(&self, listeners: &[Listener]) {
        let mut files = self.files.lock();
        let shown = listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref());
        let shown = shown.flat_map(|tls| &tls.certificates);
        let mut now = BTreeSet::new();
        for certificate in shown {
            let end = Some(certificate.not_after);
            self.metrics.certificate_expiry(&certificate.file, end);
            now.insert(Arc::clone(&certificate.file));
        }
        for gone in files.difference(&now) {
            self.metrics.certificate_expiry(gone, None);
        }
        *files = now;
    }
}
