//! The vendors: which library is compared with which preset.

use super::bodies::{
    Bodies,
    Content::{Empty, Unicode},
};
use super::library::Language::{JavaScript, Python};
use super::request::Place;
use super::row::{
    EMPTY, Query, Row, Secret, TEXT, any_bytes, bodies, boxed, listed, row, secret, standard, timed,
};

const WEBHOOK: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// Every library with its preset.
pub(super) const ROWS: &[Row] = &[
    standard(Python, "standardwebhooks-py", "standard-webhooks", WEBHOOK),
    standard(
        JavaScript,
        "standardwebhooks-js",
        "standard-webhooks",
        WEBHOOK,
    ),
    any_bytes(secret(
        standard(
            JavaScript,
            "standard-webhooks-ed25519",
            "standard-webhooks-ed25519",
            WEBHOOK,
        ),
        Secret::Pair,
    )),
    standard(Python, "svix", "svix", SVIX),
    standard(JavaScript, "openai", "openai", WEBHOOK),
    listed(
        row(Python, "stripe", "stripe", "stripe-signature"),
        "t=",
        "v1=",
    ),
    timed(
        row(Python, "slack", "slack", "x-slack-signature"),
        Place::Header("x-slack-request-timestamp"),
    ),
    Row {
        foreign: &[TEXT, EMPTY],
        ..row(JavaScript, "github", "github", "x-hub-signature-256")
    },
    Row {
        foreign: &[],
        query: Query::Pairs,
        open_body: Some("another way to write the same fields is the same form"),
        ..bodies(
            row(Python, "twilio-form", "twilio", "x-twilio-signature"),
            Bodies::Form,
        )
    },
    Row {
        query: Query::BodySha256,
        ..row(Python, "twilio-json", "twilio", "x-twilio-signature")
    },
    Row {
        percent: 50,
        ..timed(
            secret(
                row(
                    JavaScript,
                    "sendgrid",
                    "sendgrid",
                    "x-twilio-email-event-webhook-signature",
                ),
                Secret::Pair,
            ),
            Place::Header("x-twilio-email-event-webhook-timestamp"),
        )
    },
    any_bytes(timed(
        secret(
            row(JavaScript, "discord", "discord", "x-signature-ed25519"),
            Secret::Pair,
        ),
        Place::Header("x-signature-timestamp"),
    )),
    any_bytes(row(JavaScript, "line", "line", "x-line-signature")),
    any_bytes(row(Python, "viber", "viber", "x-viber-content-signature")),
    Row {
        foreign: &[TEXT, EMPTY],
        headers: &[
            ("x-shopify-topic", "orders/create"),
            ("x-shopify-shop-domain", "example.myshopify.com"),
            ("x-shopify-api-version", "2026-10"),
            (
                "x-shopify-webhook-id",
                "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            ),
        ],
        ..row(JavaScript, "shopify", "shopify", "x-shopify-hmac-sha256")
    },
    Row {
        headers: &[("x-hubspot-signature-version", "v1")],
        ..row(
            JavaScript,
            "hubspot-v1",
            "hubspot-v1",
            "x-hubspot-signature",
        )
    },
    Row {
        headers: &[("x-hubspot-signature-version", "v2")],
        query: Query::Pairs,
        ..row(
            JavaScript,
            "hubspot-v2",
            "hubspot-v2",
            "x-hubspot-signature",
        )
    },
    timed(
        row(
            JavaScript,
            "hubspot-v3",
            "hubspot-v3",
            "x-hubspot-signature-v3",
        ),
        Place::Header("x-hubspot-request-timestamp"),
    ),
    Row {
        headers: &[("x-crisp-request-timestamp", "1700000000000")],
        open_body: Some("what is signed is the document, written again"),
        ..timed(
            bodies(
                row(JavaScript, "crisp", "crisp", "x-crisp-signature"),
                Bodies::LooseJson,
            ),
            Place::Header("x-crisp-request-timestamp"),
        )
    },
    Row {
        timestamp: Some(Place::Body("\"webhookTimestamp\":")),
        ..any_bytes(bodies(
            row(JavaScript, "linear", "linear", "linear-signature"),
            Bodies::TimedJson,
        ))
    },
    any_bytes(row(JavaScript, "notion", "notion", "x-notion-signature")),
    listed(
        row(JavaScript, "paddle", "paddle", "paddle-signature"),
        "ts=",
        "h1=",
    ),
    Row {
        foreign: &[TEXT, EMPTY],
        ..row(Python, "square", "square", "x-square-hmacsha256-signature")
    },
    Row {
        signature: Place::Body("\"hmacSignature\":\""),
        open_body: Some("eight of its values are signed, and nothing else"),
        ..secret(
            bodies(row(Python, "adyen", "adyen", ""), Bodies::Adyen),
            Secret::Hex,
        )
    },
    any_bytes(secret(
        row(
            Python,
            "adyen-platforms",
            "adyen-platforms",
            "hmacsignature",
        ),
        Secret::Hex,
    )),
    Row {
        signature: Place::Form("bt_signature"),
        open_body: Some("another way to write the same field is the same form"),
        ..secret(
            bodies(row(Python, "braintree", "braintree", ""), Bodies::Braintree),
            Secret::Named("integration_public_key"),
        )
    },
    row(Python, "razorpay", "razorpay", "x-razorpay-signature"),
    any_bytes(row(Python, "gocardless", "gocardless", "webhook-signature")),
    boxed("box", "box-signature-primary"),
    Row {
        unsent: Some("it signs in the first header"),
        ..boxed("box-secondary", "box-signature-secondary")
    },
    Row {
        foreign: &[TEXT, (Unicode, "takes ASCII")],
        ..secret(
            row(Python, "airtable", "airtable", "x-airtable-content-mac"),
            Secret::Base64,
        )
    },
    listed(
        bodies(
            row(JavaScript, "workos", "workos", "workos-signature"),
            Bodies::Json,
        ),
        "t=",
        "v1=",
    ),
    listed(row(JavaScript, "mux", "mux", "mux-signature"), "t=", "v1="),
    timed(
        secret(
            row(JavaScript, "telnyx", "telnyx", "telnyx-signature-ed25519"),
            Secret::Pair,
        ),
        Place::Header("telnyx-timestamp"),
    ),
    Row {
        headers: &[("x-plivo-signature-v2-nonce", "12345678901234567890")],
        open_body: Some("the scheme does not sign the body"),
        ..any_bytes(row(Python, "plivo-v2", "plivo-v2", "x-plivo-signature-v2"))
    },
    Row {
        headers: &[("x-plivo-signature-v3-nonce", "12345678901234567890")],
        open_body: Some("another way to write the same fields is the same form"),
        ..bodies(
            row(Python, "plivo-v3", "plivo-v3", "x-plivo-signature-v3"),
            Bodies::FormOnce,
        )
    },
    Row {
        foreign: &[TEXT, EMPTY],
        ..listed(
            row(JavaScript, "sanity", "sanity", "sanity-webhook-signature"),
            "t=",
            "v1=",
        )
    },
    timed(
        row(JavaScript, "webflow", "webflow", "x-webflow-signature"),
        Place::Header("x-webflow-timestamp"),
    ),
    listed(
        row(Python, "elevenlabs", "elevenlabs", "elevenlabs-signature"),
        "t=",
        "v0=",
    ),
    Row {
        ..timed(
            secret(
                row(
                    JavaScript,
                    "contentful",
                    "contentful",
                    "x-contentful-signature",
                ),
                Secret::Text64,
            ),
            Place::Header("x-contentful-timestamp"),
        )
    },
    Row {
        foreign: &[],
        query: Query::Pairs,
        open_body: Some("another way to write the same fields is the same form"),
        ..bodies(
            row(JavaScript, "twilio-js", "twilio", "x-twilio-signature"),
            Bodies::FormOnce,
        )
    },
    Row {
        headers: &[("x-pusher-key", "pusher_key")],
        ..secret(
            bodies(
                row(JavaScript, "pusher", "pusher", "x-pusher-signature"),
                Bodies::Json,
            ),
            Secret::Named("pusher_key"),
        )
    },
    any_bytes(listed(
        row(JavaScript, "hook0", "hook0", "x-hook0-signature"),
        "t=",
        "v1=",
    )),
    row(
        JavaScript,
        "coinbase-commerce",
        "coinbase-commerce",
        "x-cc-webhook-signature",
    ),
    Row {
        foreign: &[(
            Empty,
            "an empty body has no payload_hash; the preset asks for one",
        )],
        query: Query::Pairs,
        unsent: Some("it writes no jti, which the library asks for"),
        ..row(
            JavaScript,
            "messagebird-jwt",
            "messagebird-jwt",
            "messagebird-signature-jwt",
        )
    },
];
