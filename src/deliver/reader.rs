//! Reads what one target needs from the store, page by page, when the scheduler asks for it; and looks after all
//! targets every few seconds.

use super::Deliver;
use super::scheduler::{Plan, Scheduler};
use super::shift::Running;
use super::target::Target;
use crate::shutdown::{Listener as Stop, Phase, persevere};
use crate::store::NotStored;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// Pause after a page that could not be read: the store is locked by another program, or about to end the process.
const PAUSE: Duration = Duration::from_secs(1);

/// How often gauges are refreshed and idle workers dismissed: many times between two scrapes.
const UPKEEP: Duration = Duration::from_secs(1);

/// Reads for one target until the stop drains, and anew after a panic: what waits must not wait for the next start.
pub(super) async fn serve(target: Arc<Target>, running: Running) {
    let what = format!("the reader of target {}", target.name);
    persevere(&what, running.stop.clone(), |panics| {
        if panics > 0 {
            target.fill(Scheduler::forget_page);
        }
        read(Arc::clone(&target), running.clone())
    })
    .await;
}

async fn read(target: Arc<Target>, mut running: Running) {
    loop {
        let read = match target.plan() {
            Plan::ReadFresh(page) => {
                let rows = running.store.fresh(target.id, page.after, page.most).await;
                if rows.is_err() {
                    target.fill(Scheduler::unread_fresh);
                }
                rows.map(|rows| target.fill(|scheduler| scheduler.fill_fresh(page, rows, None)))
            }
            Plan::ReadInOrder(page) => {
                let rows = running
                    .store
                    .fresh_in_order(target.id, page.after, page.most)
                    .await;
                if rows.is_err() {
                    target.fill(Scheduler::unread_fresh);
                }
                rows.map(|(rows, looked_to)| {
                    target.fill(|scheduler| scheduler.fill_fresh(page, rows, looked_to));
                })
            }
            Plan::ReadHeads(lanes) => {
                let heads = running.store.heads(target.id, lanes.clone()).await;
                if heads.is_err() {
                    target.fill(|scheduler| scheduler.unread_heads(&lanes));
                }
                heads.map(|(heads, looked_at)| {
                    target.fill(|scheduler| scheduler.fill_heads(heads, &lanes[looked_at..]));
                })
            }
            Plan::ReadDue(mut page) => {
                let out = std::mem::take(&mut page.out);
                let due = running.store.due(target.id, page.now_ms, page.most, out);
                let rows = due.await;
                if rows.is_err() {
                    target.fill(|scheduler| scheduler.unread_due(&page));
                }
                rows.map(|(rows, next_ms)| {
                    target.fill(|scheduler| scheduler.fill_due(rows, next_ms));
                })
            }
            Plan::Wait(None) => {
                target.reader.notified().await;
                Ok(())
            }
            Plan::Wait(Some(most)) => {
                // Whether it was rung for or the time is over, it plans anew.
                let _ = timeout(most, target.reader.notified()).await;
                Ok(())
            }
            Plan::Stop => return,
        };
        if let Err(error) = read {
            tracing::warn!(target = &*target.name, %error, "cannot read what waits");
            pause(PAUSE, &mut running.stop).await;
        }
    }
}

/// Looks after all targets until the stop drains.
pub(super) async fn look_after(deliver: Arc<Deliver>, running: Running) {
    persevere("the upkeep of targets", running.stop.clone(), |_| {
        keep_up(Arc::clone(&deliver), running.clone())
    })
    .await;
}

async fn keep_up(deliver: Arc<Deliver>, mut running: Running) {
    while pause(UPKEEP, &mut running.stop).await {
        for target in deliver.all() {
            target.dismiss_stale();
            if let Err(error) = show_oldest(&target, &running).await {
                tracing::warn!(target = &*target.name, %error, "cannot tell the oldest that waits");
            }
        }
    }
}

async fn show_oldest(target: &Target, running: &Running) -> Result<(), NotStored> {
    let received_ms = if target.is_pending() {
        running.store.oldest(target.id).await?
    } else {
        None
    };
    target.show_oldest(received_ms);
    Ok(())
}

/// Tells all targets once the stop drains.
pub(super) async fn stop(deliver: Arc<Deliver>, mut running: Running) {
    running.stop.reached(Phase::Draining).await;
    for target in deliver.all() {
        target.stop();
    }
}

/// Waits; false if the stop drains before the time is over.
async fn pause(time: Duration, stop: &mut Stop) -> bool {
    tokio::select! {
        () = sleep(time) => true,
        () = stop.reached(Phase::Draining) => false,
    }
}
