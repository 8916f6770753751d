//! The map of all keys, and what may happen to one: claimed, remembered, freed, expired, evicted.

use super::in_flight::InFlight;
use super::place::{BuildPassThrough, Place, Slot, State};
use super::reservation::Reservation;
use super::ring::Record;
use super::source::Source;
use super::{Claim, Ended, Hash, Kind, Remembered, RequestKey, Restored, Windows};
use crate::event::{EventId, Seq, SourceId, StoreTag};
use dashmap::{DashMap, Entry};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::{Mutex, RwLock};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Parts of the map that grow one by one: while one of them is copied to twice its size, its old half counts for
/// little. A power of two.
const SHARDS: usize = 64;

/// Keys that are evicted at one time, at most: finding the source that has the most looks at all of them. Of a
/// small memory it is one in [`EVICTED_SHARE`].
const EVICTED_MAX: usize = 64;

/// Keys by which a limit is lowered at one time.
const LIMIT_STEP: usize = 4_096;

/// See [`EVICTED_MAX`].
const EVICTED_SHARE: usize = 1_024;

/// Keys that expire under one lock of their ring, so that no request waits long for it.
const SWEPT_MAX: usize = 128;

/// The memory. One for a gateway, shared.
pub struct Dedupe {
    /// Under the store's secret, so that nobody outside can make two keys collide or fill one shard.
    mac: Hmac<Sha256>,
    store_tag: StoreTag,
    /// Keys over all sources.
    limit: AtomicUsize,
    map: DashMap<Hash, Place, BuildPassThrough>,
    in_flight: InFlight,
    /// Ordered by id. One that was here stays: requests of a configuration that is no longer present may still claim.
    sources: RwLock<Arc<Vec<Arc<Source>>>>,
    /// Records in all rings.
    records: AtomicUsize,
    evictions: AtomicU64,
    /// Evicted since the last sweep: the store still has them.
    evicted: Mutex<Vec<(Seq, Kind)>>,
}

impl fmt::Debug for Dedupe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedupe")
            .field("records", &self.records)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Dedupe {
    /// An empty memory. `secret` keys the hashes; `limit` bounds the keys over all sources. A key name must belong
    /// to one source alone.
    pub fn new(
        secret: &[u8; 32],
        store_tag: StoreTag,
        limit: usize,
        sources: &[(SourceId, Windows)],
    ) -> Arc<Self> {
        let mut sources: Vec<Arc<Source>> = sources
            .iter()
            .map(|(id, windows)| Arc::new(Source::new(*id, *windows)))
            .collect();
        sources.sort_by_key(|source| source.id);
        Arc::new(Self {
            mac: Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"),
            store_tag,
            limit: AtomicUsize::new(limit),
            map: DashMap::with_hasher_and_shard_amount(BuildPassThrough::default(), SHARDS),
            in_flight: InFlight::default(),
            sources: RwLock::new(Arc::new(sources)),
            records: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            evicted: Mutex::default(),
        })
    }

    /// Whether it was made for this source, or has taken it in since.
    pub fn has(&self, source: SourceId) -> bool {
        self.source(source).is_some()
    }

    /// Takes sources in, each with the keys that the store has of it ([`Self::restore`]), and gives those that are known
    /// other windows. One that is not named goes on as it was.
    pub fn adopt(&self, windows: &[(SourceId, Windows)], keys: Vec<Remembered>, now_ms: u64) {
        let known = self.sources();
        let mut sources = (*known).clone();
        for (id, windows) in windows {
            match known.iter().find(|source| source.id == *id) {
                Some(source) => source.set_windows(*windows),
                None => sources.push(Arc::new(Source::new(*id, *windows))),
            }
        }
        sources.sort_by_key(|source| source.id);
        *self.sources.write() = Arc::new(sources);
        for key in keys {
            self.restore(key, now_ms);
        }
    }

    /// Bounds the keys over all sources by another number. What is too much is evicted here, in steps, so that no request
    /// that adds a key meanwhile evicts more than one of them.
    pub fn set_limit(&self, limit: usize, now_ms: u64) {
        loop {
            let records = self.records.load(Ordering::Relaxed);
            let next = limit.max(records.saturating_sub(LIMIT_STEP));
            self.limit.store(next, Ordering::Relaxed);
            self.hold_limit(now_ms);
            if next == limit {
                return;
            }
        }
    }

    /// Puts back a key of a durable event, in order of `seq`.
    pub fn restore(&self, key: Remembered, now_ms: u64) -> Restored {
        let Some(source) = self.source(key.source) else {
            return Restored::Stranger;
        };
        if source.is_past(key.kind, key.received_ms, now_ms) {
            return Restored::Past;
        }
        let record = Record::new(key.hash, key.received_ms, Some(key.seq), key.body_check);
        self.insert(&source, key.kind, record);
        self.hold_limit(now_ms);
        Restored::Remembered
    }

    /// Claims all `keys` for one event, or none of them. One key of each kind is looked at.
    ///
    /// A key of [`Kind::Body`] that is known already stands in nobody's way: two events may have one body. It is
    /// just not claimed again.
    ///
    /// # Panics
    /// If `source` is none of those that the memory was made for.
    pub fn claim(
        self: &Arc<Self>,
        source: SourceId,
        keys: &[RequestKey],
        body_check: u32,
        now_ms: u64,
    ) -> Claim {
        let source = self
            .source(source)
            .expect("requests are routed to known sources");
        let mut ours = Reservation::new(self, source.id, body_check);
        for kind in Kind::ALL {
            if let Some(key) = keys.iter().find(|key| key.kind == kind)
                && let Some(theirs) = self.take(&source, *key, &mut ours, now_ms)
            {
                return theirs;
            }
        }
        Claim::Ours(ours)
    }

    /// Adds one key to `ours`, or says whose it is.
    fn take(
        &self,
        source: &Source,
        key: RequestKey,
        ours: &mut Reservation,
        now_ms: u64,
    ) -> Option<Claim> {
        let hash = self.hash(key);
        let entry = self.map.entry(hash);
        let state = match &entry {
            Entry::Vacant(_) => None,
            Entry::Occupied(entry) => Some(entry.get().state()),
        };
        let theirs = match state {
            None => None,
            Some(State::InFlight(_)) if key.kind == Kind::Body => return None,
            Some(State::InFlight(slot)) => {
                Some(Claim::InFlight(self.in_flight.wait(slot, key.kind)))
            }
            Some(State::Remembered(position)) => {
                match source.get(key.kind, position, &hash, now_ms) {
                    None => None,
                    Some(_) if key.kind == Kind::Body => return None,
                    Some(record) => Some(self.duplicate(key.kind, &record, ours.body_check())),
                }
            }
        };
        if theirs.is_none() {
            entry.insert(ours.add(key.kind, hash).into());
        }
        theirs
    }

    fn duplicate(&self, kind: Kind, record: &Record, body_check: u32) -> Claim {
        match record.seq() {
            None => Claim::AnsweredBefore,
            Some(seq) => Claim::Duplicate {
                id: EventId::new(record.received_ms(), self.store_tag, seq),
                conflict: kind == Kind::Event && record.body_check() != body_check,
            },
        }
    }

    /// Whether this key is remembered or in flight, without claiming it (the bound on `dedupe.skip`).
    pub fn knows(&self, source: SourceId, key: RequestKey, now_ms: u64) -> bool {
        let hash = self.hash(key);
        let Some(place) = self.map.get(&hash) else {
            return false;
        };
        match place.state() {
            State::InFlight(_) => true,
            State::Remembered(position) => self
                .source(source)
                .and_then(|source| source.get(key.kind, position, &hash, now_ms))
                .is_some(),
        }
    }

    /// The durable event that has this key, if it is remembered: neither of one in flight nor of one that was only
    /// passed through there is any.
    pub fn find(&self, source: SourceId, key: RequestKey, now_ms: u64) -> Option<(EventId, Seq)> {
        let hash = self.hash(key);
        let place = *self.map.get(&hash)?;
        let State::Remembered(position) = place.state() else {
            return None;
        };
        let source = self.source(source)?;
        let record = source.get(key.kind, position, &hash, now_ms)?;
        let seq = record.seq()?;
        Some((EventId::new(record.received_ms(), self.store_tag, seq), seq))
    }

    /// Forgets what is past its window, at most `most` keys, and returns what the store should forget too:
    /// these, and keys evicted since the last call. Called again at once while it returns `most`.
    pub fn expire(&self, now_ms: u64, most: usize) -> Vec<(Seq, Kind)> {
        let mut forgotten = {
            let mut evicted = self.evicted.lock();
            let kept = evicted.len().saturating_sub(most);
            evicted.split_off(kept)
        };
        for source in self.sources().iter().filter(|source| source.len() > 0) {
            for kind in Kind::ALL {
                while forgotten.len() < most {
                    let past = source.pop_past(kind, now_ms, SWEPT_MAX.min(most - forgotten.len()));
                    if past.is_empty() {
                        break;
                    }
                    for (position, record) in past {
                        self.forget(&record.hash, position.into());
                        forgotten.extend(record.seq().map(|seq| (seq, kind)));
                    }
                }
            }
        }
        forgotten
    }

    /// Keys remembered for a source now.
    pub fn len(&self, source: SourceId) -> usize {
        self.source(source).map_or(0, |source| source.len())
    }

    /// Keys evicted so far because of the limit.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// The window that a source has in effect: the configured one, or, once keys had to be evicted before their
    /// time, the time since the latest of them was received.
    pub fn effective_window(&self, source: SourceId, now_ms: u64) -> Duration {
        self.source(source)
            .map_or(Duration::ZERO, |source| source.effective_window(now_ms))
    }

    fn sources(&self) -> Arc<Vec<Arc<Source>>> {
        Arc::clone(&self.sources.read())
    }

    fn source(&self, id: SourceId) -> Option<Arc<Source>> {
        let sources = self.sources.read();
        let place = sources.binary_search_by_key(&id, |source| source.id);
        place.ok().map(|place| Arc::clone(&sources[place]))
    }

    fn hash(&self, key: RequestKey) -> Hash {
        let mut mac = self.mac.clone();
        mac.update(&[key.kind as u8]);
        mac.update(&key.key.0);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        *full.first_chunk().expect("16 of 32 bytes")
    }

    pub(super) fn open_slot(&self) -> Slot {
        self.in_flight.open()
    }

    pub(super) fn close_slot(&self, slot: Slot, ended: &Ended) {
        self.in_flight.close(slot, ended);
    }

    /// A key in flight is remembered from now on.
    pub(super) fn remember(
        &self,
        source: SourceId,
        kind: Kind,
        hash: Hash,
        received_ms: u64,
        seq: Option<Seq>,
        body_check: u32,
    ) {
        if let Some(source) = self.source(source) {
            self.insert(
                &source,
                kind,
                Record::new(hash, received_ms, seq, body_check),
            );
        }
    }

    fn insert(&self, source: &Source, kind: Kind, record: Record) {
        // Counted first, so that whoever sweeps it at once never counts below zero.
        self.records.fetch_add(1, Ordering::Relaxed);
        // The key is locked before its record can be seen: who sweeps the ring in between waits for the map to
        // point to it.
        let entry = self.map.entry(record.hash);
        entry.insert(source.push(kind, record).into());
    }

    /// A key in flight in `slot` is nobody's again.
    pub(super) fn free(&self, hash: &Hash, slot: Slot) {
        self.map.remove_if(hash, |_, place| *place == slot.into());
    }

    /// The record that was at `place` is gone. False if the map did not point to it any more: its key had
    /// expired and was claimed anew.
    fn forget(&self, hash: &Hash, place: Place) -> bool {
        self.records.fetch_sub(1, Ordering::Relaxed);
        self.map.remove_if(hash, |_, now| *now == place).is_some()
    }

    /// While there are more keys than may be, the source with the most forgets its oldest.
    pub(super) fn hold_limit(&self, now_ms: u64) {
        let limit = self.limit.load(Ordering::Relaxed);
        if self.records.load(Ordering::Relaxed) <= limit {
            return;
        }
        let batch = (limit / EVICTED_SHARE).clamp(1, EVICTED_MAX);
        let sources = self.sources();
        while self.records.load(Ordering::Relaxed) > limit {
            let Some(source) = sources.iter().max_by_key(|source| source.len()) else {
                return;
            };
            let oldest = source.pop_oldest(batch);
            if oldest.is_empty() {
                return;
            }
            for (kind, position, record) in oldest {
                let was_known = self.forget(&record.hash, position.into());
                if was_known && !source.is_past(kind, record.received_ms(), now_ms) {
                    source.was_evicted(record.received_ms());
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(seq) = record.seq() {
                    self.evicted.lock().push((seq, kind));
                }
            }
        }
    }

    /// Keys in the map, those in flight among them.
    #[cfg(test)]
    pub(super) fn keys_in_map(&self) -> usize {
        self.map.len()
    }

    /// Bytes of heap for keys: of the map, with the half that a growing shard still holds, and of the rings.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        /// A key with its place, and hashbrown's control byte.
        const BUCKET_BYTES: usize = size_of::<(Hash, Place)>() + 1;
        // hashbrown fills 7 of 8 buckets.
        let map = self.map.capacity() * 8 / 7 * BUCKET_BYTES;
        map + map / SHARDS
            + self
                .sources()
                .iter()
                .map(|source| source.heap_bytes())
                .sum::<usize>()
    }
}
