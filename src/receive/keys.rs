//! What names an event, and what a captured request cannot change when it comes again.

use super::source::{Exemption, Source};
use crate::config::source::Replay;
use crate::dedupe::{Dedupe, Kind, RequestKey};
use crate::event::DedupeKey;
use crate::extract::Parts;
use sha2::{Digest, Sha256};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::sync::Arc;

/// The keys of one request.
pub(super) struct Keys {
    /// The event's own; none when it is exempt.
    pub(super) event: Option<DedupeKey>,
    /// Those that are claimed.
    pub(super) claimed: Claimed,
    /// The event's name for people ([`KeyExpr::name`]), where it is kept.
    ///
    /// [`KeyExpr::name`]: crate::extract::KeyExpr::name
    pub(super) vendor_id: Option<Arc<str>>,
}

/// The event's own, that of what was signed, and that of the body: seldom more.
type Claimed = SmallVec<[RequestKey; 3]>;

/// The keys of a request whose sender is proven. `signed` is what was signed ([`Verified::signed`]).
///
/// [`Verified::signed`]: crate::verify::Verified::signed
pub(super) fn keys(
    dedupe: &Dedupe,
    source: &Source,
    event_type: Option<&str>,
    parts: Parts<'_>,
    signed: &[[u8; 32]],
    received_ms: u64,
    keeps_history: bool,
) -> Keys {
    let name = &*source.key_name;
    let vendor_id = keeps_history
        .then(|| source.config.event_id.name(parts))
        .flatten();
    let body_key = || DedupeKey::new(name, [Sha256::digest(parts.body).as_slice()]);
    let exempt = match source.exemption(event_type, parts) {
        Exemption::None => false,
        Exemption::Signed => true,
        // Anybody can add an unsigned mark to a captured request, so it exempts no body that came without it.
        Exemption::Unsigned => {
            let key = body_key();
            let knows = |kind| dedupe.knows(source.id, RequestKey { kind, key }, received_ms);
            !knows(Kind::Body) && !knows(Kind::Event) && source.may_exempt()
        }
    };
    if exempt {
        return Keys {
            event: None,
            claimed: Claimed::new(),
            vendor_id,
        };
    }
    let (event, is_body) = source.config.event_id.key(name, parts);
    let mut claimed: Claimed = smallvec![RequestKey {
        kind: Kind::Event,
        key: event,
    }];
    claim_replay(&mut claimed, source, parts, signed);
    if source.has_unsigned_skip() && !is_body {
        claimed.push(RequestKey {
            kind: Kind::Body,
            key: body_key(),
        });
    }
    Keys {
        event: Some(event),
        claimed,
        vendor_id,
    }
}

/// Adds what a captured request cannot change when it comes again: for each scheme that passes a key, so that it is known
/// again without the signature of one of them. A part that is missing counts as empty, or leaving it out would make
/// another key; without any of them there is none.
fn claim_replay(claimed: &mut Claimed, source: &Source, parts: Parts<'_>, signed: &[[u8; 32]]) {
    let replay = &source.config.dedupe.replay;
    let key = |signed: Option<&[u8; 32]>| {
        let value = |replay: &Replay| match replay {
            Replay::Signature => signed.map(|signed| Cow::Borrowed(&signed[..])),
            Replay::Field(field) => field.bytes(parts),
        };
        let values: SmallVec<[Option<Cow<'_, [u8]>>; 2]> = replay.iter().map(value).collect();
        let is_there = values.iter().any(Option::is_some);
        let values = values
            .iter()
            .map(|value| value.as_deref().unwrap_or_default());
        is_there.then(|| RequestKey {
            kind: Kind::Replay,
            key: DedupeKey::new(&source.key_name, values),
        })
    };
    if replay.contains(&Replay::Signature) && !signed.is_empty() {
        claimed.extend(signed.iter().filter_map(|signed| key(Some(signed))));
    } else {
        claimed.extend(key(None));
    }
}
