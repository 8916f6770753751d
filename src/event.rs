//! An event as it was admitted: immutable from then on, whether it is read from memory or from the store.

mod seqs;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
pub use seqs::Seqs;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use tokio::sync::oneshot;
use uuid::{Uuid, fmt::Hyphenated};

/// A source's number in the store. It stays the same for a name as long as the store lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A target's number in the store. It stays the same for a name as long as the store lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u32);

/// An event's place in the order of admission: 1, 2, 3 ... within one store, never used twice. Below 2^40.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The bits an event id has room for: 1.1e12 events, 254 days of 50,000 a second.
    pub const BITS: u32 = 40;
}

/// A line of events at one target that are delivered one after the other (`order_by`): a hash of the key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u64);

impl Lane {
    /// The lane of a key with these parts: 64 bits of the SHA-256 of each with its length before it. Two keys that share
    /// one by chance wait for each other, which delays and does no harm.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let DedupeKey(hash) = DedupeKey::new("", parts);
        let (first, _) = hash.split_first_chunk().expect("8 of 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// This gateway's name for an event: a `UUIDv7` (RFC 9562 5.7), sent to the app as `Hookgate-Event-Id`.
///
/// Its 74 free bits are 34 bits that a store draws once and the event's [`Seq`] as a counter (RFC 9562 6.2,
/// method 1). So an id needs no memory of its own: receipt time and sequence number give it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// Makes the id of the event that `store_tag`'s store received at `received_ms` (Unix, milliseconds).
    pub fn new(received_ms: u64, store_tag: StoreTag, seq: Seq) -> Self {
        // `Builder` overwrites the top 4 bits of the first byte (version) and the top 2 of the third (variant),
        // so the tag lies in 4 + 8 + 6 + 8 + 8 bits and the counter in the last 5 bytes.
        let [.., high, low] = (store_tag.0 >> 22).to_be_bytes();
        let [.., a, b, c] = (store_tag.0 & 0x3f_ffff).to_be_bytes();
        let [_, _, _, counter @ ..] = seq.0.to_be_bytes();
        let mut random = [high, low, a, b, c, 0, 0, 0, 0, 0];
        random[5..].copy_from_slice(&counter);
        Self(uuid::Builder::from_unix_timestamp_millis(received_ms, &random).into_uuid())
    }

    /// An id that stands for nothing stored (`passthrough`).
    pub fn random(received_ms: u64) -> Self {
        Self::new(
            received_ms,
            StoreTag(fastrand::u64(..1 << 34)),
            Seq(fastrand::u64(..1 << Seq::BITS)),
        )
    }

    /// The number of the event that `text` names, if it is an id that `store_tag`'s store gives: without its memory
    /// of one, an id says all of it by itself. Whether it is the event that is stored there, [`Self::is`] says.
    pub fn parse(text: &str, store_tag: StoreTag) -> Option<Seq> {
        let id = Uuid::try_parse(text).ok()?;
        let bytes = id.as_bytes();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let (received_ms, seq) = (number(&bytes[..6]), Seq(number(&bytes[11..])));
        (Self::new(received_ms, store_tag, seq).0 == id).then_some(seq)
    }

    /// Whether `text` names this event. [`Self::parse`] cannot tell: it knows the store and the number, but not the time
    /// of receipt, and a store that was restored from a backup gives numbers anew.
    pub fn is(&self, text: &str) -> bool {
        Uuid::try_parse(text).is_ok_and(|id| id == self.0)
    }

    /// Room for [`Self::encode`].
    pub const TEXT: [u8; Hyphenated::LENGTH] = [0; Hyphenated::LENGTH];

    /// Its text, as `Display` has it, written into `text`.
    pub fn encode<'t>(&self, text: &'t mut [u8; Hyphenated::LENGTH]) -> &'t str {
        self.0.hyphenated().encode_lower(text)
    }

    /// The 16 bytes, most significant first.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 34 random bits that a store draws when it is made, so that two gateways never give the same event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTag(pub u64);

/// The SHA-256 of an event's canonical key bytes: equal on every gateway and after every restore.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DedupeKey(pub [u8; 32]);

impl DedupeKey {
    /// Hashes the canonical key bytes: version byte 1, then the source's name and each part, every one with
    /// its length before it (u32, big-endian). This never changes: a change would forget every key at an upgrade.
    pub fn new<'a>(source: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        hash.update([1u8]);
        let mut add = |part: &[u8]| {
            // A part longer than 4 GiB cannot occur: bodies and heads are limited far below.
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        };
        add(source.as_bytes());
        parts.into_iter().for_each(&mut add);
        Self(hash.finalize().into())
    }

    /// The key of an event that `dedupe.skip` exempts: made from its id, so that the app never drops it.
    pub fn of_exempt(source: &str, id: EventId) -> Self {
        Self::new(source, [id.as_bytes().as_slice()])
    }
}

impl fmt::Display for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The header that carried the source's secret. Only the secret's name is kept: the value is put back from
/// the configuration when the event is delivered, so that secrets never reach the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeader {
    /// The header to put back.
    pub header: HeaderName,
    /// The configured name of the secret that it carried.
    pub secret: Arc<str>,
}

/// What was admitted of a request.
#[derive(Debug)]
pub struct Event {
    /// Place in the order of admission.
    pub seq: Seq,
    /// Name for the outside.
    pub id: EventId,
    /// Unix time of receipt in milliseconds.
    pub received_ms: u64,
    /// Name of the source that received it (its name then, which a later `replaces` may have changed).
    pub source: Arc<str>,
    /// The vendor's word for what happened, where the request says it.
    pub event_type: Option<Arc<str>>,
    /// The app's idempotency key.
    pub key: DedupeKey,
    /// The sender's headers that go on to the app, as they are to be sent.
    pub headers: HeaderMap,
    /// The header that has to be put back, if the secret itself arrived in one.
    pub secret_header: Option<SecretHeader>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// Who waits for the first attempts (`ack: delivered`); never stored.
    pub first_attempts: Option<FirstAttempts>,
}

impl Event {
    /// Bytes that the event counts for in memory and in a target's backlog: body, headers and a share of bookkeeping.
    pub fn weight(&self) -> u64 {
        weight(&self.headers, &self.body)
    }

    /// The line of the audit log that says that the event was accepted.
    pub fn log_accepted(&self) {
        tracing::info!(
            event_id = %self.id,
            source = %self.source,
            event_type = self.event_type.as_deref(),
            "event.accepted"
        );
    }
}

/// Row headers, index entries and map entries of one event, rounded up.
pub const OVERHEAD_BYTES: usize = 256;

/// Bytes that an event with these parts counts for: see [`Event::weight`].
pub fn weight(headers: &HeaderMap, body: &Bytes) -> u64 {
    let head: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    (OVERHEAD_BYTES + head + body.len()) as u64
}

/// Counts the first attempts of one event at its targets and tells the waiting request when all have ended.
#[derive(Debug)]
pub struct FirstAttempts(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    open: usize,
    all_delivered: bool,
    tell: Option<oneshot::Sender<bool>>,
}

impl FirstAttempts {
    /// Waits for `targets` attempts. The receiver gets `true` if every one of them delivered.
    pub fn new(targets: usize) -> (Self, oneshot::Receiver<bool>) {
        let (tell, told) = oneshot::channel();
        let waiting = Waiting {
            open: targets,
            all_delivered: true,
            tell: Some(tell),
        };
        (Self(Mutex::new(waiting)), told)
    }

    /// One target's first attempt has ended, or cannot start now (`delivered` is false then).
    /// Later attempts must not be reported.
    pub fn ended(&self, delivered: bool) {
        let mut waiting = self.0.lock();
        waiting.open = waiting.open.saturating_sub(1);
        waiting.all_delivered &= delivered;
        if waiting.open == 0
            && let Some(tell) = waiting.tell.take()
        {
            // The request may have given up at its ack deadline: then nobody listens any more.
            let _ = tell.send(waiting.all_delivered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the public contract.
    #[test]
    fn canonical_key_bytes_never_change() {
        let body = Sha256::digest(br#"{"a":1}"#);
        let cases: [(&str, Vec<&[u8]>, &str); 3] = [
            (
                "erp",
                vec![b"evt_42"],
                "d4dbb79b8416065e7f6d96017fb22763b214181c858eda68f1dc6f09916f63b9",
            ),
            (
                "erp",
                vec![b"order.created", b"7"],
                "6f94530a39b5abf60692edc8898ef9791b25840397d31cb9e4dd02a3e5a5ed0b",
            ),
            (
                "chatmefy",
                vec![&body],
                "122edc8abdbbb0f395c5d2ecd02496a97fbfcdecca56acb75e4c96a0c9e58b8f",
            ),
        ];
        for (source, parts, expected) in cases {
            assert_eq!(DedupeKey::new(source, parts).to_string(), expected);
        }
    }

    #[test]
    fn event_ids_are_uuid_v7_and_differ_by_store_and_sequence() {
        let id = |tag, seq| EventId::new(1_700_000_000_123, StoreTag(tag), Seq(seq));
        let text = id(0x3_ffff_ffff, 7).to_string();
        let parsed = Uuid::parse_str(&text).expect("a UUID");
        assert_eq!(parsed.get_version_num(), 7);
        assert_eq!(parsed.get_variant(), uuid::Variant::RFC4122);
        let (secs, nanos) = parsed.get_timestamp().expect("v7 has a time").to_unix();
        assert_eq!((secs, nanos), (1_700_000_000, 123_000_000));
        let tags: std::collections::HashSet<_> =
            (0..34).map(|bit| id(1 << bit, 7).to_string()).collect();
        assert_eq!(tags.len(), 34, "every bit of the tag shows");
        let seqs: std::collections::HashSet<_> = (0..Seq::BITS)
            .map(|bit| id(5, 1 << bit).to_string())
            .collect();
        assert_eq!(seqs.len(), 40, "every bit of the sequence shows");
        assert!(
            id(5, 41).to_string() < id(5, 42).to_string(),
            "ids of one store sort by sequence"
        );
    }

    #[test]
    fn an_id_says_which_event_it_names() {
        let tag = StoreTag(0x2_dead_beef);
        for seq in [1, 77, (1 << Seq::BITS) - 1] {
            let id = EventId::new(1_700_000_000_123, tag, Seq(seq)).to_string();
            assert_eq!(EventId::parse(&id, tag), Some(Seq(seq)));
            assert_eq!(
                EventId::parse(&id.to_uppercase(), tag),
                Some(Seq(seq)),
                "as an operator may type it"
            );
            let elsewhere = StoreTag(tag.0 ^ 1);
            assert_eq!(EventId::parse(&id, elsewhere), None, "another store's");
        }
        for text in ["", "evt_42", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(EventId::parse(text, tag), None, "{text}");
        }
        let v4 = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        assert_eq!(EventId::parse(v4, tag), None, "a UUID of another version");
    }

    #[tokio::test]
    async fn first_attempts_report_once_all_have_ended() {
        let (attempts, mut told) = FirstAttempts::new(2);
        attempts.ended(true);
        assert!(told.try_recv().is_err());
        attempts.ended(false);
        assert!(!told.await.expect("told"));
    }
}
