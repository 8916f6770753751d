//! The presets beside the catalogue of vendors that they are made from, row by row: where the signature stands, whether
//! its facts are the vendor's own, and how long the vendor goes on sending.

use super::Preset;
use crate::config::{Status, presets, verify::Proof};
use std::collections::BTreeSet;
use std::time::Duration;

/// A row of the catalogue.
struct Row {
    number: u32,
    /// Whether it is from the vendor's own documents or code; otherwise from third parties or from memory.
    primary: bool,
    /// Each preset with the place of its signature or token.
    presets: &'static [(&'static str, &'static str)],
}

const fn own(number: u32, presets: &'static [(&'static str, &'static str)]) -> Row {
    Row {
        number,
        primary: true,
        presets,
    }
}

const fn others(number: u32, presets: &'static [(&'static str, &'static str)]) -> Row {
    Row {
        number,
        primary: false,
        presets,
    }
}

const ROWS: &[Row] = &[
    own(
        1,
        &[
            ("standard-webhooks", "header:webhook-signature"),
            ("standard-webhooks-ed25519", "header:webhook-signature"),
        ],
    ),
    own(
        2,
        &[
            ("svix", "header:svix-signature"),
            ("svix-ed25519", "header:svix-signature"),
            ("resend", "header:svix-signature"),
        ],
    ),
    own(3, &[("stripe", "header:stripe-signature")]),
    own(
        4,
        &[
            ("github", "header:x-hub-signature-256"),
            ("github-sha1", "header:x-hub-signature"),
        ],
    ),
    own(5, &[("gitlab", "header:x-gitlab-token")]),
    own(6, &[("gitlab-signing-token", "header:webhook-signature")]),
    others(7, &[("bitbucket", "header:x-hub-signature")]),
    own(8, &[("slack", "header:x-slack-signature")]),
    own(9, &[("shopify", "header:x-shopify-hmac-sha256")]),
    own(10, &[("twilio", "header:x-twilio-signature")]),
    own(11, &[("twilio", "header:x-twilio-signature")]),
    own(
        12,
        &[("sendgrid", "header:x-twilio-email-event-webhook-signature")],
    ),
    others(13, &[("mailgun", "json:/signature/signature")]),
    others(14, &[("postmark", "header:authorization")]),
    own(
        15,
        &[
            ("discord", "header:x-signature-ed25519"),
            ("discord-events", "header:x-signature-ed25519"),
        ],
    ),
    own(
        16,
        &[
            ("meta", "header:x-hub-signature-256"),
            ("whatsapp", "header:x-hub-signature-256"),
            ("meta-sha1", "header:x-hub-signature"),
        ],
    ),
    others(
        17,
        &[("telegram", "header:x-telegram-bot-api-secret-token")],
    ),
    own(18, &[("line", "header:x-line-signature")]),
    own(19, &[("viber", "header:x-viber-content-signature")]),
    own(20, &[("intercom", "header:x-hub-signature")]),
    own(21, &[("zendesk", "header:x-zendesk-webhook-signature")]),
    own(22, &[("hubspot-v1", "header:x-hubspot-signature")]),
    own(23, &[("hubspot-v2", "header:x-hubspot-signature")]),
    own(24, &[("hubspot-v3", "header:x-hubspot-signature-v3")]),
    own(25, &[("freshchat", "header:x-freshchat-signature")]),
    others(
        26,
        &[
            ("freshdesk", "header:authorization"),
            ("kustomer", "header:x-kustomer-webhook-signature"),
            ("gorgias", "header:authorization"),
        ],
    ),
    own(
        27,
        &[
            ("crisp", "header:x-crisp-signature"),
            ("crisp-website", "query:key"),
        ],
    ),
    own(28, &[("crisp-hugo", "header:x-crisp-signature")]),
    own(29, &[("tawk-to", "header:x-tawk-signature")]),
    own(30, &[("livechat", "json:/secret_key")]),
    own(31, &[("tidio", "header:x-tidio-signature")]),
    others(32, &[("drift", "json:/token")]),
    others(33, &[("front", "header:x-front-signature")]),
    own(34, &[("front-rule", "header:x-front-signature")]),
    // The unit of its timestamp is from third parties.
    others(35, &[("front-channel", "header:x-front-signature")]),
    own(36, &[("help-scout", "header:x-helpscout-signature")]),
    own(37, &[("linear", "header:linear-signature")]),
    own(38, &[("notion", "header:x-notion-signature")]),
    own(39, &[("zoom", "header:x-zm-signature")]),
    others(40, &[("typeform", "header:typeform-signature")]),
    others(41, &[("calendly", "header:calendly-webhook-signature")]),
    own(42, &[("paddle", "header:paddle-signature")]),
    others(43, &[("paddle-classic", "form:p_signature")]),
    // 44, PayPal: cannot be verified here.
    own(45, &[("square", "header:x-square-hmacsha256-signature")]),
    // Of its older header only the name is known.
    others(45, &[("square-sha1", "header:x-square-signature")]),
    own(
        46,
        &[(
            "adyen",
            "json:/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature",
        )],
    ),
    own(47, &[("adyen-platforms", "header:hmacsignature")]),
    own(48, &[("braintree", "form:bt_signature")]),
    own(49, &[("razorpay", "header:x-razorpay-signature")]),
    own(50, &[("woocommerce", "header:x-wc-webhook-signature")]),
    own(51, &[("bigcommerce", OPEN)]),
    others(52, &[("dropbox", "header:x-dropbox-signature")]),
    own(53, &[("box", "header:box-signature-primary")]),
    own(54, &[("asana", "header:x-hook-signature")]),
    others(55, &[("jira", "header:x-hub-signature")]),
    others(56, &[("jira-connect", "header:authorization")]),
    others(57, &[("trello", "header:x-trello-webhook")]),
    own(58, &[("pagerduty", "header:x-pagerduty-signature")]),
    own(59, &[("sentry", "header:sentry-hook-signature")]),
    own(60, &[("circleci", "header:circleci-signature")]),
    others(61, &[("vercel", "header:x-vercel-signature")]),
    own(62, &[("clerk", "header:svix-signature")]),
    own(63, &[("workos", "header:workos-signature")]),
    own(64, &[("openai", "header:webhook-signature")]),
    own(65, &[("okta", "header:authorization")]),
    own(66, &[("auth0", "header:authorization")]),
    others(67, &[("monday", "header:authorization")]),
    own(68, &[("airtable", "header:x-airtable-content-mac")]),
    own(69, &[("cloudflare-stream", "header:webhook-signature")]),
    others(
        70,
        &[("cloudflare-notifications", "header:cf-webhook-auth")],
    ),
    own(71, &[("gocardless", "header:webhook-signature")]),
    own(
        72,
        &[("coinbase-commerce", "header:x-cc-webhook-signature")],
    ),
    own(
        73,
        &[
            ("coinbase-cdp", "header:x-hook0-signature"),
            ("hook0", "header:x-hook0-signature"),
        ],
    ),
    own(74, &[("pusher", "header:x-pusher-signature")]),
    own(75, &[("telnyx", "header:telnyx-signature-ed25519")]),
    own(76, &[("messagebird", "header:messagebird-signature")]),
    own(
        77,
        &[("messagebird-jwt", "header:messagebird-signature-jwt")],
    ),
    own(78, &[("plivo-v2", "header:x-plivo-signature-v2")]),
    own(79, &[("plivo-v3", "header:x-plivo-signature-v3")]),
    own(80, &[("mux", "header:mux-signature")]),
    own(81, &[("sanity", "header:sanity-webhook-signature")]),
    own(82, &[("webflow", "header:x-webflow-signature")]),
    own(83, &[("elevenlabs", "header:elevenlabs-signature")]),
    own(84, &[("contentful", "header:x-contentful-signature")]),
    own(85, &[("mollie", "header:x-mollie-signature")]),
    own(
        86,
        &[("twitch", "header:twitch-eventsub-message-signature")],
    ),
    own(87, &[("tiktok", "header:tiktok-signature")]),
    others(88, &[("customer-io", "header:x-cio-signature")]),
    own(
        89,
        &[("ticket-tailor", "header:tickettailor-webhook-signature")],
    ),
    own(90, &[("podium", "header:podium-signature")]),
    own(91, &[("cashfree", "header:x-webhook-signature")]),
    own(92, &[("worldpay", "header:event-signature")]),
    own(93, &[("clickup", "header:x-signature")]),
    own(94, &[("xaman", "header:x-xumm-request-signature")]),
    others(95, &[("tally", "header:tally-signature")]),
    others(
        96,
        &[
            ("chargebee", "header:authorization"),
            ("pipedrive", "header:authorization"),
        ],
    ),
    others(
        97,
        &[
            ("lemon-squeezy", "header:x-signature"),
            ("attio", "header:attio-signature"),
            ("modern-treasury", "header:x-signature"),
            ("segment", "header:x-signature"),
            ("snyk", "header:x-hub-signature"),
            ("docusign", "header:x-docusign-signature-1"),
            ("dwolla", "header:x-request-signature-sha-256"),
            ("recurly", "header:recurly-signature"),
        ],
    ),
    others(98, &[("mandrill", "header:x-mandrill-signature")]),
    // 99, AWS SNS, and 100, Plaid: cannot be verified here.
    others(101, &[("wise", "header:x-signature-sha256")]),
    others(102, &[("fusionauth", "header:x-fusionauth-signature-jwt")]),
    others(103, &[("netlify", "header:x-webhook-signature")]),
    others(104, &[("xero", "header:x-xero-signature")]),
    others(105, &[("x", "header:x-twitter-webhooks-signature")]),
    others(106, &[("pandadoc", "query:signature")]),
    others(107, &[("dropbox-sign", "json:/event/event_hash")]),
    others(
        108,
        &[
            ("buildkite", "header:x-buildkite-signature"),
            ("buildkite-token", "header:x-buildkite-token"),
        ],
    ),
    own(
        109,
        &[
            ("convoy", "header:x-convoy-signature"),
            ("convoy-advanced", "header:x-convoy-signature"),
        ],
    ),
];

/// The user names the header.
const OPEN: &str = "";

/// Rows without a preset, as `config/SCHEMES.md` names their vendors there with the reason.
const WITHOUT: [(u32, &str); 3] = [(44, "PayPal"), (99, "AWS SNS"), (100, "Plaid")];

/// Presets of the catalogue's neighbours: the vendors whose own guides are at hand.
const GUIDES: [&str; 5] = [
    "chatmefy",
    "chatplugify",
    "chatsvia",
    "live-chat",
    "vowchat",
];

/// How long these vendors go on sending an event that is not taken, in hours.
const RETRIES: &[(&str, u64)] = &[
    ("standard-webhooks", 76),
    ("standard-webhooks-ed25519", 76),
    ("svix", 28),
    ("svix-ed25519", 28),
    ("clerk", 28),
    ("resend", 28),
    ("stripe", 72),
    ("slack", 24),
    ("shopify", 4),
    ("sendgrid", 24),
    ("mailgun", 8),
    ("meta", 36),
    ("meta-sha1", 36),
    ("whatsapp", 7 * 24),
    ("telegram", 24),
    ("hubspot-v1", 24),
    ("hubspot-v2", 24),
    ("hubspot-v3", 24),
    ("tawk-to", 12),
    ("linear", 8),
    ("zoom", 2),
    ("calendly", 24),
    ("paddle", 72),
    ("paddle-classic", 72),
    ("square", 24),
    ("square-sha1", 24),
    ("adyen", 30 * 24),
    ("adyen-platforms", 30 * 24),
    ("braintree", 24),
    ("razorpay", 24),
    ("bigcommerce", 48),
    ("box", 2),
    ("asana", 24),
    ("pagerduty", 48),
    ("vercel", 24),
    ("openai", 72),
    ("docusign", 15 * 24),
    ("wise", 14 * 24),
    ("worldpay", 7 * 24),
    ("customer-io", 7 * 24),
    ("xero", 24),
];

#[test]
fn every_row_has_a_preset_or_a_reason() {
    let page = include_str!("../../../config/SCHEMES.md");
    let (_, reasons) = page
        .split_once("## Vendors that cannot be verified here")
        .expect("a chapter");
    let mut numbers: BTreeSet<u32> = ROWS.iter().map(|row| row.number).collect();
    for (number, vendor) in WITHOUT {
        assert!(reasons.contains(&format!("| {vendor} | ")), "{vendor}");
        assert!(numbers.insert(number), "{vendor} has a preset");
    }
    assert!(numbers.into_iter().eq(1..=109));

    let named: BTreeSet<&str> = ROWS
        .iter()
        .flat_map(|row| row.presets)
        .map(|(name, _)| *name)
        .chain(GUIDES)
        .collect();
    let there: BTreeSet<&str> = presets().iter().map(|(name, _)| *name).collect();
    assert_eq!(named, there);
}

#[test]
fn signatures_stand_where_the_catalogue_says() {
    for (name, place) in ROWS.iter().flat_map(|row| row.presets) {
        let preset = Preset::read(name).expect("a preset");
        if *place == OPEN {
            assert!(preset.header_is_open(), "{name}");
            continue;
        }
        let first = preset.source.verify.schemes().first().expect("it verifies");
        let field = match &first.proof {
            Proof::Signature(signature) => signature.fields.first(),
            Proof::Jwt(jwt) => Some(&jwt.field),
            Proof::Token(token) => Some(&token.field),
        };
        assert_eq!(field, Some(&place.parse().expect("a field")), "{name}");
    }
}

/// Whatever is not from the vendor itself says so, to whoever lists the presets.
#[test]
fn what_rests_on_third_parties_or_memory_is_marked() {
    for row in ROWS {
        for (name, _) in row.presets {
            let status = Preset::read(name).expect("a preset").source.status;
            let expected = if row.primary {
                Status::Verified
            } else {
                Status::Unverified
            };
            assert_eq!(status, Some(expected), "row {}, {name}", row.number);
        }
    }
}

#[test]
fn a_key_is_remembered_while_its_vendor_goes_on_sending() {
    for (name, hours) in RETRIES {
        let source = Preset::read(name).expect("a preset").source;
        let retries = Duration::from_hours(*hours);
        assert_eq!(source.sender_retries, Some(retries), "{name}");
    }
    for (name, _) in presets() {
        let source = Preset::read(name).expect("a preset").source;
        if let Some(retries) = source.sender_retries {
            assert!(source.dedupe.window >= retries, "{name}");
        }
    }
}
