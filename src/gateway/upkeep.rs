//! What has to be done again and again while a gateway runs: keys expire, gauges follow, histograms are folded, and
//! what waits for removed targets grows too old.

use crate::admin::api::Rooms;
use crate::clock;
use crate::dedupe::Dedupe;
use crate::event::{SourceId, TargetId};
use crate::metrics::{Metrics, ProcessMetrics, SourceMetrics};
use crate::store::Store;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};

/// How often keys expire, gauges follow, and histograms are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that one step of the upkeep forgets, so that no lock is held for long.
const EXPIRE_SLICE: usize = 1_000;
/// How often deliveries to removed targets are looked at.
const REMOVED_INTERVAL: Duration = Duration::from_secs(10);

/// What has to be done again and again.
pub(super) struct Upkeep {
    pub(super) metrics: Arc<Metrics>,
    pub(super) dedupe: Arc<Dedupe>,
    pub(super) store: Store,
    pub(super) sources: HashMap<SourceId, Arc<SourceMetrics>>,
    pub(super) process: ProcessMetrics,
    /// Removed targets, and the age at which their events become dead letters.
    pub(super) abandoning: Vec<(TargetId, Duration)>,
    /// What the API shows.
    pub(super) rooms: Rooms,
}

impl Upkeep {
    pub(super) async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut removed_next = Instant::now();
        loop {
            tick.tick().await;
            let now_ms = clock::unix_ms();
            self.expire(now_ms).await;
            self.gauges(now_ms);
            self.rooms.rates.sample();
            self.metrics.upkeep();
            if Instant::now() >= removed_next {
                removed_next = Instant::now() + REMOVED_INTERVAL;
                for (target, age) in &self.abandoning {
                    let before_ms = now_ms.saturating_sub(clock::millis(*age));
                    self.store.abandon(*target, before_ms);
                }
            }
        }
    }

    async fn expire(&self, now_ms: u64) {
        loop {
            let forgotten = self.dedupe.expire(now_ms, EXPIRE_SLICE);
            let more = forgotten.len() >= EXPIRE_SLICE;
            if !forgotten.is_empty() {
                self.store.forget(forgotten);
            }
            if !more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    fn gauges(&self, now_ms: u64) {
        for (id, source) in &self.sources {
            source.dedupe_keys.set(self.dedupe.len(*id) as f64);
            source
                .dedupe_window
                .set(self.dedupe.effective_window(*id, now_ms).as_secs_f64());
        }
        self.process
            .dedupe_evictions
            .absolute(self.dedupe.evictions());
    }
}
