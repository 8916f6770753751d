//! What has to be done again and again while a gateway runs: keys expire, gauges follow, histograms are folded, and
//! what waits for removed targets grows too old.

use super::present::Present;
use super::running::Running;
use crate::clock;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};

/// How often keys expire, gauges follow, and histograms are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that one step of the upkeep forgets, so that no lock is held for long.
const EXPIRE_SLICE: usize = 1_000;
/// How often deliveries to removed targets are looked at.
const REMOVED_INTERVAL: Duration = Duration::from_secs(10);

/// What has to be done again and again.
pub(super) struct Upkeep {
    pub(super) running: Arc<Running>,
}

impl Upkeep {
    pub(super) async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut removed_next = Instant::now();
        loop {
            tick.tick().await;
            let now_ms = clock::unix_ms();
            let shared = &self.running.shared;
            self.expire(now_ms).await;
            let present = self.running.present();
            self.gauges(&present, now_ms);
            present.rooms.rates.sample();
            shared.metrics.upkeep();
            if Instant::now() >= removed_next {
                removed_next = Instant::now() + REMOVED_INTERVAL;
                for (target, age) in &present.abandoning {
                    let before_ms = now_ms.saturating_sub(clock::millis(*age));
                    shared.store.abandon(*target, before_ms);
                }
            }
        }
    }

    async fn expire(&self, now_ms: u64) {
        loop {
            let shared = &self.running.shared;
            let forgotten = shared.dedupe.expire(now_ms, EXPIRE_SLICE);
            let more = forgotten.len() >= EXPIRE_SLICE;
            if !forgotten.is_empty() {
                shared.store.forget(forgotten);
            }
            if !more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    fn gauges(&self, present: &Present, now_ms: u64) {
        let dedupe = &self.running.shared.dedupe;
        for (id, source) in &present.sources {
            source.dedupe_keys.set(dedupe.len(*id) as f64);
            let window = dedupe.effective_window(*id, now_ms);
            source.dedupe_window.set(window.as_secs_f64());
        }
        let evictions = &self.running.process.dedupe_evictions;
        evictions.absolute(dedupe.evictions());
    }
}
