//! Which events are meant: the filter of a list, of a bulk replay and of a bulk discard, and one event by its id.

use super::params::{Params, shown};
use super::{Refused, Rooms};
use crate::clock;
use crate::dedupe::{Kind, RequestKey};
use crate::event::{DedupeKey, EventId, Seq};
use crate::store::{Page, Query, State, Summary};

/// Events of a page where nobody says how many.
const PAGE: u64 = 50;
/// Events of a page at most.
const PAGE_MAX: u64 = 200;
/// Parts of a joined key that one may be looked for by; no preset joins more than three.
const PARTS_MAX: usize = 8;

/// The words for where an event stands.
const STATES: [(&str, State); 3] = [
    ("pending", State::Pending),
    ("delivered", State::Delivered),
    ("dead", State::Dead),
];

/// The word for this state.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Delivered => "delivered",
        State::Dead => "dead",
    }
}

/// Which events, and which page of them.
#[derive(Debug)]
pub(super) struct Filter {
    /// As the store is asked.
    pub(super) query: Query,
    /// Only events with one of these keys: the memory of keys does not know them (any more), so that rows are looked
    /// through.
    keys: Option<Vec<DedupeKey>>,
    /// Only the event with this id, whatever else has its number.
    id: Option<String>,
}

impl Filter {
    /// Reads the filter's parameters, `prefix` before the name of each, and those of the page without one.
    pub(super) fn read(rooms: &Rooms, params: &mut Params, prefix: &str) -> Result<Self, Refused> {
        let now_ms = clock::unix_ms();
        if let Some(section) = prefix.strip_suffix('.') {
            params.section(section)?;
        }
        let name = |name: &str| format!("{prefix}{name}");
        let source = params.text(&name("source"))?;
        let target = params.text(&name("target"))?;
        let event_type = params.text(&name("type"))?;
        let state = params.word(&name("state"), &STATES)?;
        let from_ms = params.time(&name("from"), now_ms)?;
        let to_ms = params.time(&name("to"), now_ms)?;
        let tag = rooms.store.tag();
        let id = params.parsed(&name("id"), "an event's id, a UUID", |text| {
            uuid::Uuid::try_parse(text).ok()?;
            Some((text.to_owned(), EventId::parse(text, tag)))
        })?;
        let (id, seq) = id.unzip();
        let key = params.parsed(
            &name("key"),
            "64 hex digits, as in Hookgate-Dedupe-Key",
            key,
        )?;
        let vendor_id = params.texts(&name("vendor_id"), PARTS_MAX)?;
        let (cursor, limit) = page(params, PAGE)?;

        let source = source.map(|name| rooms.source(&name)).transpose()?;
        let mut filter = Self {
            query: Query {
                source,
                target: target
                    .map(|name| rooms.target(&name))
                    .transpose()?
                    .map(|t| t.id),
                event_type,
                state,
                from_ms,
                to_ms,
                seqs: seq.map(|seq| seq.into_iter().collect()),
                cursor,
                limit,
            },
            keys: None,
            id,
        };
        if let Some(key) = key {
            filter.only_key(rooms, |_| key, now_ms);
        }
        if !vendor_id.is_empty() {
            let key =
                |key_name: &str| DedupeKey::new(key_name, vendor_id.iter().map(String::as_bytes));
            filter.only_key(rooms, key, now_ms);
        }
        Ok(filter)
    }

    /// Only events whose key is what `key` makes of the name that their source's keys are hashed under.
    fn only_key(&mut self, rooms: &Rooms, key: impl Fn(&str) -> DedupeKey, now_ms: u64) {
        let sources = rooms.sources.iter();
        let sources = sources.filter(|source| self.query.source.is_none_or(|id| id == source.id));
        let mut keys = Vec::new();
        let mut found = Vec::new();
        for source in sources {
            let key = key(&source.key_name);
            let kind = Kind::Event;
            let remembered = rooms
                .dedupe
                .find(source.id, RequestKey { kind, key }, now_ms);
            found.extend(remembered.map(|(_, seq)| seq));
            keys.push(key);
        }
        if found.is_empty() {
            let both = |known: &Vec<DedupeKey>| {
                keys.iter()
                    .filter(|key| known.contains(key))
                    .copied()
                    .collect()
            };
            self.keys = Some(self.keys.as_ref().map_or_else(|| keys.clone(), both));
        } else {
            let both = |known: &Vec<Seq>| {
                found
                    .iter()
                    .filter(|seq| known.contains(seq))
                    .copied()
                    .collect()
            };
            self.query.seqs = Some(self.query.seqs.as_ref().map_or_else(|| found.clone(), both));
        }
    }

    /// The page. It may be empty and not the last: then the search goes on at its cursor.
    pub(super) async fn page(&self, rooms: &Rooms) -> Result<Page, Refused> {
        let mut page = rooms.store.browse(self.query.clone()).await?;
        if let Some(keys) = &self.keys {
            page.events.retain(|event| keys.contains(&event.key));
        }
        if let Some(id) = &self.id {
            page.events.retain(|event| event.id.is(id));
        }
        Ok(page)
    }

    /// The deliveries of an event that the filter means, as places in its list.
    pub(super) fn deliveries<'a>(
        &'a self,
        event: &'a Summary,
    ) -> impl Iterator<Item = &'a crate::store::DeliveryState> {
        let query = &self.query;
        event.deliveries.iter().filter(|delivery| {
            query.target.is_none_or(|target| target == delivery.target)
                && query.state.is_none_or(|state| state == delivery.state)
        })
    }

    /// Whether it means all deliveries of an event.
    pub(super) fn means_all(&self) -> bool {
        self.query.target.is_none() && self.query.state.is_none()
    }
}

/// The parameters of a page: where it begins, and how much it holds.
pub(super) fn page(params: &mut Params, default: u64) -> Result<(Option<Seq>, usize), Refused> {
    let accepts = "the cursor of an earlier answer";
    let cursor = params.parsed("cursor", accepts, cursor)?;
    let limit = params.number("limit", 1, PAGE_MAX)?.unwrap_or(default);
    Ok((cursor, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// Reads what [`cursor_text`] wrote.
fn cursor(text: &str) -> Option<Seq> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let seq: u64 = digits.then(|| text.parse().ok())??;
    (seq < 1 << Seq::BITS).then_some(Seq(seq))
}

/// A cursor as text: whoever gets it need not know what it means.
pub(super) fn cursor_text(cursor: Option<Seq>) -> Option<String> {
    cursor.map(|seq| seq.0.to_string())
}

fn key(text: &str) -> Option<DedupeKey> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).ok()?;
    Some(DedupeKey(key))
}

/// The event that a path names. An id with another time than the one that is stored is another event's, such as one
/// from before a backup was restored.
pub(super) async fn event(rooms: &Rooms, segments: &[String]) -> Result<Seq, Refused> {
    let text = segments.first().map_or("", String::as_str);
    let seq = EventId::parse(text, rooms.store.tag()).ok_or_else(|| no_event(text))?;
    let query = Query {
        seqs: Some(vec![seq]),
        limit: 1,
        ..Query::default()
    };
    let page = rooms.store.browse(query).await?;
    let is_there = page.events.iter().any(|event| event.id.is(text));
    is_there.then_some(seq).ok_or_else(|| no_event(text))
}

/// It is not there, or no longer.
pub(super) fn no_event(text: &str) -> Refused {
    let text = shown(text);
    Refused::not_found(format!("no event {text} is kept here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_what_was_given_out() {
        for seq in [1, 77, (1 << Seq::BITS) - 1] {
            let text = cursor_text(Some(Seq(seq))).expect("a cursor");
            assert_eq!(cursor(&text), Some(Seq(seq)));
        }
        for bad in [
            "",
            "0",
            "01",
            "-1",
            "+1",
            "1.0",
            "x",
            "1099511627776",
            "99999999999999999999999",
        ] {
            assert_eq!(cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_are_as_the_app_sees_them() {
        let text = "d4dbb79b8416065e7f6d96017fb22763b214181c858eda68f1dc6f09916f63b9";
        assert_eq!(key(text).expect("a key").to_string(), text);
        assert_eq!(key(&text.to_uppercase()), key(text));
        for bad in [
            "",
            "d4",
            &text[1..],
            &format!("{text}00"),
            &text.replace('d', "g"),
        ] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
