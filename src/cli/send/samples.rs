//! The vendors' payloads, one for each event type, as templates with fresh ids and times: no two are equal.
//!
//! Field names are those of the vendors' guides; people and companies are made up. Spaces between the tokens
//! of a template go, since vendors send compact JSON; everything else (`199.00`, the order of keys) stays.

use super::fresh::fresh_number;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

/// Each vendor's payloads; the first one is sent where no event is named.
const VENDORS: [(&str, &str); 5] = [
    ("chatmefy", include_str!("samples/chatmefy.json")),
    ("chatplugify", include_str!("samples/chatplugify.json")),
    ("chatsvia", include_str!("samples/chatsvia.json")),
    ("live-chat", include_str!("samples/live-chat.json")),
    ("vowchat", include_str!("samples/vowchat.json")),
];

/// What a template may contain. `{number}` replaces the quotes around it too, and so becomes a JSON number.
const PLACEHOLDERS: [(&str, Piece); 5] = [
    ("\"{number}\"", Piece::Number),
    ("{n}", Piece::Number),
    ("{time}", Piece::Time("%Y-%m-%dT%H:%M:%SZ")),
    ("{time+00:00}", Piece::Time("%Y-%m-%dT%H:%M:%S+00:00")),
    ("{time UTC}", Piece::Time("%Y-%m-%d %H:%M:%S UTC")),
];

/// The payload of one event type.
#[derive(Debug)]
pub(super) struct Sample {
    /// The vendor's word for what happened.
    pub(super) event: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Number,
    Time(&'static str),
}

impl Sample {
    fn parse(template: &str) -> Self {
        let event = serde_json::from_str::<serde_json::Value>(template)
            .ok()
            .and_then(|value| Some(value.get("event")?.as_str()?.to_owned()))
            .expect("every sample is JSON with an event");
        Self {
            event,
            pieces: cut(&compact(template)),
        }
    }

    /// A payload that was never sent before, of now.
    pub(super) fn fresh(&self) -> Bytes {
        use std::io::Write as _;

        let number = fresh_number();
        let now = Timestamp::now();
        let mut text = Vec::with_capacity(1024);
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.write_all(literal.as_bytes()),
                Piece::Number => write!(text, "{number}"),
                Piece::Time(format) => write!(text, "{}", now.strftime(format)),
            }
            .expect("a Vec takes every write");
        }
        text.into()
    }
}

/// The payloads of a preset's vendor; none for a vendor without samples.
pub(super) fn of(provider: &str) -> Vec<Sample> {
    let Some((_, text)) = VENDORS.iter().find(|(name, _)| *name == provider) else {
        return Vec::new();
    };
    let templates: Vec<&RawValue> = serde_json::from_str(text).expect("samples are a JSON list");
    templates
        .into_iter()
        .map(|template| Sample::parse(template.get()))
        .collect()
}

/// Drops what is between tokens.
fn compact(json: &str) -> String {
    let mut inside_string = false;
    let mut escaped = false;
    json.chars()
        .filter(|&c| {
            let keep = inside_string || !c.is_ascii_whitespace();
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = inside_string,
                '"' => inside_string = !inside_string,
                _ => {}
            }
            keep
        })
        .collect()
}

/// Cuts a template at its placeholders, the earliest first.
fn cut(mut template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let earliest = |text: &str| {
        PLACEHOLDERS
            .iter()
            .filter_map(|(mark, piece)| Some((text.find(mark)?, *mark, piece.clone())))
            .min_by_key(|(at, _, _)| *at)
    };
    while let Some((at, mark, piece)) = earliest(template) {
        pieces.push(Piece::Text(template[..at].to_owned()));
        pieces.push(piece);
        template = &template[at + mark.len()..];
    }
    pieces.push(Piece::Text(template.to_owned()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::HashSet;

    /// An event type and the fields of its payload, as JSON pointers.
    type Event = (&'static str, &'static [&'static str]);

    /// Every event type of every vendor, with the fields that its guide shows.
    const EXPECTED: [(&str, &[Event]); 5] = [
        (
            "chatsvia",
            &[
                ("order.created", ORDER),
                ("order.updated", ORDER),
                ("message.received", &["/timestamp", "/data/messageId"]),
                (
                    "conversation.created",
                    &["/timestamp", "/data/conversationId"],
                ),
            ],
        ),
        (
            "vowchat",
            &[
                ("conversation_created", CONVERSATION),
                ("conversation_updated", CONVERSATION),
                (
                    "conversation_status_changed",
                    &[
                        "/id",
                        "/status",
                        "/changed_at",
                        "/conversation/id",
                        "/conversation/messages",
                        "/conversation/contact",
                        "/conversation/inbox",
                        "/account",
                    ],
                ),
                ("message_created", MESSAGE),
                ("message_updated", MESSAGE),
                ("webwidget_triggered", &["/id", "/account"]),
                ("conversation_typing_on", &["/conversation/id", "/account"]),
                ("conversation_typing_off", &["/conversation/id", "/account"]),
            ],
        ),
        (
            "chatplugify",
            &[
                ("conversation.created", PLUG),
                ("conversation.updated", PLUG),
                ("conversation.completed", PLUG),
                ("contact.created", PLUG),
                ("contact.updated", PLUG),
                ("contact.deleted", PLUG),
                ("task.created", PLUG),
                ("task.updated", PLUG),
                ("task.completed", PLUG),
                ("task.deleted", PLUG),
                ("order.requested", PLUG),
            ],
        ),
        (
            "live-chat",
            &[
                (
                    "message.received",
                    &[
                        "/timestamp",
                        "/data/message_id",
                        "/data/content",
                        "/data/is_from_admin",
                        "/data/admin_name",
                        "/data/conversation_id",
                        "/data/visitor_name",
                        "/data/visitor_email",
                        "/data/visitor_phone",
                        "/data/visitor_ip",
                        "/data/current_url",
                        "/data/status",
                        "/data/created_at",
                    ],
                ),
                (
                    "conversation.started",
                    &[
                        "/timestamp",
                        "/data/conversation_id",
                        "/data/visitor_name",
                        "/data/visitor_email",
                        "/data/visitor_phone",
                        "/data/visitor_ip",
                        "/data/current_url",
                        "/data/status",
                        "/data/created_at",
                    ],
                ),
            ],
        ),
        (
            "chatmefy",
            &[
                ("lead.created", LEAD),
                ("lead.updated", LEAD),
                ("conversation.started", &["/timestamp", "/data/id"]),
                ("conversation.ended", &["/timestamp", "/data/id"]),
                ("conversation.handoff", &["/timestamp", "/data/id"]),
                ("message.sent", &["/timestamp", "/data/id"]),
                ("message.received", &["/timestamp", "/data/id"]),
            ],
        ),
    ];
    const ORDER: &[&str] = &[
        "/timestamp",
        "/data/orderId",
        "/data/orderNumber",
        "/data/status",
        "/data/customer/name",
        "/data/customer/email",
        "/data/customer/phone",
        "/data/customer/address",
        "/data/items/0/productId",
        "/data/items/0/name",
        "/data/items/0/quantity",
        "/data/items/0/price",
        "/data/items/0/variant",
        "/data/subtotal",
        "/data/shipping",
        "/data/total",
        "/data/currency",
        "/data/source/type",
        "/data/source/accountId",
        "/data/createdAt",
    ];
    const CONVERSATION: &[&str] = &["/id", "/status", "/conversation/id", "/account/id"];
    const MESSAGE: &[&str] = &[
        "/id",
        "/content",
        "/created_at",
        "/message_type",
        "/content_type",
        "/content_attributes",
        "/source_id",
        "/sender/id",
        "/sender/name",
        "/sender/email",
        "/conversation/id",
        "/conversation/inbox_id",
        "/conversation/status",
        "/account/id",
        "/account/name",
    ];
    const PLUG: &[&str] = &[
        "/timestamp",
        "/data/id",
        "/data/workspaceId",
        "/data/userId",
        "/data/status",
        "/data/metadata/source",
        "/data/metadata/customerEmail",
        "/webhookId",
    ];
    const LEAD: &[&str] = &[
        "/timestamp",
        "/data/id",
        "/data/email",
        "/data/name",
        "/data/phone",
        "/data/company",
        "/data/score",
        "/data/source/url",
        "/data/source/referrer",
        "/data/source/campaign",
        "/data/custom_fields",
        "/data/conversation_id",
        "/data/bot_id",
        "/data/created_at",
    ];

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn every_vendor_sends_its_events_with_their_fields() {
        for (vendor, events) in EXPECTED {
            let samples = of(vendor);
            let sent: HashSet<&str> = samples.iter().map(|sample| sample.event.as_str()).collect();
            let expected: HashSet<&str> = events.iter().map(|(event, _)| *event).collect();
            assert_eq!(sent, expected, "{vendor}");
            for (event, fields) in events {
                let sample = samples.iter().find(|sample| sample.event == *event);
                let body = sample.expect("just compared").fresh();
                let payload: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(payload["event"], *event);
                for field in *fields {
                    assert!(
                        payload.pointer(field).is_some(),
                        "{vendor} {event} lacks {field}"
                    );
                }
                assert!(!text(&body).contains("{n") && !text(&body).contains("{time"));
            }
        }
    }

    #[test]
    fn no_two_payloads_are_equal() {
        for (vendor, _) in VENDORS {
            for sample in of(vendor) {
                let bodies: HashSet<Bytes> = (0..100).map(|_| sample.fresh()).collect();
                assert_eq!(bodies.len(), 100, "{vendor} {}", sample.event);
            }
        }
    }

    #[test]
    fn bodies_are_compact_and_keep_numbers_as_the_vendor_writes_them() {
        let order = of("chatsvia").remove(0).fresh();
        assert!(text(&order).starts_with(r#"{"event":"order.created","timestamp":"2"#));
        assert!(text(&order).contains(r#""price":199.00,"variant":"Blue"}],"subtotal":199.00,"#));
        let message = of("live-chat").remove(0).fresh();
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        assert!(message["data"]["message_id"].is_u64());
    }

    #[test]
    fn times_are_written_as_each_vendor_does() {
        let field = |vendor: &str, pointer: &str| {
            let body = of(vendor).remove(0).fresh();
            let payload: Value = serde_json::from_slice(&body).expect("JSON");
            payload
                .pointer(pointer)
                .and_then(Value::as_str)
                .expect("text")
                .to_owned()
        };
        let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "9");
        assert_eq!(
            shape(&field("chatmefy", "/timestamp")),
            "9999-99-99T99:99:99Z"
        );
        assert_eq!(
            shape(&field("live-chat", "/timestamp")),
            "9999-99-99T99:99:99+99:99"
        );
        assert_eq!(
            shape(&field("vowchat", "/created_at")),
            "9999-99-99 99:99:99 UTC"
        );
    }

    #[test]
    fn compacting_spares_strings() {
        let cases = [
            (r#"{ "a" : "b c" }"#, r#"{"a":"b c"}"#),
            (r#"{ "a\" b" : 1 , "c\\" : 2 }"#, r#"{"a\" b":1,"c\\":2}"#),
            ("[ 199.00 ,\n\t0 ]", "[199.00,0]"),
        ];
        for (loose, tight) in cases {
            assert_eq!(compact(loose), tight);
        }
    }

    #[test]
    fn a_vendor_without_samples_has_none() {
        assert!(of("erp").is_empty());
    }
}
