//! The presets: for each vendor a piece of a source's YAML, and how a source is laid over it. A preset holds
//! nothing that a user could not write.

use super::yaml;
use serde_yaml::{Mapping, Value};

/// Every preset by name, with its YAML.
pub fn presets() -> &'static [(&'static str, &'static str)] {
    &[
        ("adyen", include_str!("providers/adyen.yaml")),
        (
            "adyen-platforms",
            include_str!("providers/adyen-platforms.yaml"),
        ),
        ("airtable", include_str!("providers/airtable.yaml")),
        ("asana", include_str!("providers/asana.yaml")),
        ("attio", include_str!("providers/attio.yaml")),
        ("auth0", include_str!("providers/auth0.yaml")),
        ("bigcommerce", include_str!("providers/bigcommerce.yaml")),
        ("bitbucket", include_str!("providers/bitbucket.yaml")),
        ("box", include_str!("providers/box.yaml")),
        ("braintree", include_str!("providers/braintree.yaml")),
        ("buildkite", include_str!("providers/buildkite.yaml")),
        (
            "buildkite-token",
            include_str!("providers/buildkite-token.yaml"),
        ),
        ("calendly", include_str!("providers/calendly.yaml")),
        ("cashfree", include_str!("providers/cashfree.yaml")),
        ("chargebee", include_str!("providers/chargebee.yaml")),
        ("chatmefy", include_str!("providers/chatmefy.yaml")),
        ("chatplugify", include_str!("providers/chatplugify.yaml")),
        ("chatsvia", include_str!("providers/chatsvia.yaml")),
        ("circleci", include_str!("providers/circleci.yaml")),
        ("clerk", include_str!("providers/clerk.yaml")),
        ("clickup", include_str!("providers/clickup.yaml")),
        (
            "cloudflare-notifications",
            include_str!("providers/cloudflare-notifications.yaml"),
        ),
        (
            "cloudflare-stream",
            include_str!("providers/cloudflare-stream.yaml"),
        ),
        ("coinbase-cdp", include_str!("providers/coinbase-cdp.yaml")),
        (
            "coinbase-commerce",
            include_str!("providers/coinbase-commerce.yaml"),
        ),
        ("contentful", include_str!("providers/contentful.yaml")),
        ("convoy", include_str!("providers/convoy.yaml")),
        (
            "convoy-advanced",
            include_str!("providers/convoy-advanced.yaml"),
        ),
        ("crisp", include_str!("providers/crisp.yaml")),
        ("crisp-hugo", include_str!("providers/crisp-hugo.yaml")),
        (
            "crisp-website",
            include_str!("providers/crisp-website.yaml"),
        ),
        ("customer-io", include_str!("providers/customer-io.yaml")),
        ("discord", include_str!("providers/discord.yaml")),
        (
            "discord-events",
            include_str!("providers/discord-events.yaml"),
        ),
        ("docusign", include_str!("providers/docusign.yaml")),
        ("drift", include_str!("providers/drift.yaml")),
        ("dropbox", include_str!("providers/dropbox.yaml")),
        ("dropbox-sign", include_str!("providers/dropbox-sign.yaml")),
        ("dwolla", include_str!("providers/dwolla.yaml")),
        ("elevenlabs", include_str!("providers/elevenlabs.yaml")),
        ("freshchat", include_str!("providers/freshchat.yaml")),
        ("freshdesk", include_str!("providers/freshdesk.yaml")),
        ("front", include_str!("providers/front.yaml")),
        (
            "front-channel",
            include_str!("providers/front-channel.yaml"),
        ),
        ("front-rule", include_str!("providers/front-rule.yaml")),
        ("fusionauth", include_str!("providers/fusionauth.yaml")),
        ("github", include_str!("providers/github.yaml")),
        ("github-sha1", include_str!("providers/github-sha1.yaml")),
        ("gitlab", include_str!("providers/gitlab.yaml")),
        (
            "gitlab-signing-token",
            include_str!("providers/gitlab-signing-token.yaml"),
        ),
        ("gocardless", include_str!("providers/gocardless.yaml")),
        ("gorgias", include_str!("providers/gorgias.yaml")),
        ("help-scout", include_str!("providers/help-scout.yaml")),
        ("hook0", include_str!("providers/hook0.yaml")),
        ("hubspot-v1", include_str!("providers/hubspot-v1.yaml")),
        ("hubspot-v2", include_str!("providers/hubspot-v2.yaml")),
        ("hubspot-v3", include_str!("providers/hubspot-v3.yaml")),
        ("intercom", include_str!("providers/intercom.yaml")),
        ("jira", include_str!("providers/jira.yaml")),
        ("jira-connect", include_str!("providers/jira-connect.yaml")),
        ("kustomer", include_str!("providers/kustomer.yaml")),
        (
            "lemon-squeezy",
            include_str!("providers/lemon-squeezy.yaml"),
        ),
        ("line", include_str!("providers/line.yaml")),
        ("linear", include_str!("providers/linear.yaml")),
        ("live-chat", include_str!("providers/live-chat.yaml")),
        ("livechat", include_str!("providers/livechat.yaml")),
        ("mailgun", include_str!("providers/mailgun.yaml")),
        ("mandrill", include_str!("providers/mandrill.yaml")),
        ("messagebird", include_str!("providers/messagebird.yaml")),
        (
            "messagebird-jwt",
            include_str!("providers/messagebird-jwt.yaml"),
        ),
        ("meta", include_str!("providers/meta.yaml")),
        ("meta-sha1", include_str!("providers/meta-sha1.yaml")),
        (
            "modern-treasury",
            include_str!("providers/modern-treasury.yaml"),
        ),
        ("mollie", include_str!("providers/mollie.yaml")),
        ("monday", include_str!("providers/monday.yaml")),
        ("mux", include_str!("providers/mux.yaml")),
        ("netlify", include_str!("providers/netlify.yaml")),
        ("notion", include_str!("providers/notion.yaml")),
        ("okta", include_str!("providers/okta.yaml")),
        ("openai", include_str!("providers/openai.yaml")),
        ("paddle", include_str!("providers/paddle.yaml")),
        (
            "paddle-classic",
            include_str!("providers/paddle-classic.yaml"),
        ),
        ("pagerduty", include_str!("providers/pagerduty.yaml")),
        ("pandadoc", include_str!("providers/pandadoc.yaml")),
        ("pipedrive", include_str!("providers/pipedrive.yaml")),
        ("plivo-v2", include_str!("providers/plivo-v2.yaml")),
        ("plivo-v3", include_str!("providers/plivo-v3.yaml")),
        ("podium", include_str!("providers/podium.yaml")),
        ("postmark", include_str!("providers/postmark.yaml")),
        ("pusher", include_str!("providers/pusher.yaml")),
        ("razorpay", include_str!("providers/razorpay.yaml")),
        ("recurly", include_str!("providers/recurly.yaml")),
        ("resend", include_str!("providers/resend.yaml")),
        ("sanity", include_str!("providers/sanity.yaml")),
        ("segment", include_str!("providers/segment.yaml")),
        ("sendgrid", include_str!("providers/sendgrid.yaml")),
        ("sentry", include_str!("providers/sentry.yaml")),
        ("shopify", include_str!("providers/shopify.yaml")),
        ("slack", include_str!("providers/slack.yaml")),
        ("snyk", include_str!("providers/snyk.yaml")),
        ("square", include_str!("providers/square.yaml")),
        ("square-sha1", include_str!("providers/square-sha1.yaml")),
        (
            "standard-webhooks",
            include_str!("providers/standard-webhooks.yaml"),
        ),
        (
            "standard-webhooks-ed25519",
            include_str!("providers/standard-webhooks-ed25519.yaml"),
        ),
        ("stripe", include_str!("providers/stripe.yaml")),
        ("svix", include_str!("providers/svix.yaml")),
        ("svix-ed25519", include_str!("providers/svix-ed25519.yaml")),
        ("tally", include_str!("providers/tally.yaml")),
        ("tawk-to", include_str!("providers/tawk-to.yaml")),
        ("telegram", include_str!("providers/telegram.yaml")),
        ("telnyx", include_str!("providers/telnyx.yaml")),
        (
            "ticket-tailor",
            include_str!("providers/ticket-tailor.yaml"),
        ),
        ("tidio", include_str!("providers/tidio.yaml")),
        ("tiktok", include_str!("providers/tiktok.yaml")),
        ("trello", include_str!("providers/trello.yaml")),
        ("twilio", include_str!("providers/twilio.yaml")),
        ("twitch", include_str!("providers/twitch.yaml")),
        ("typeform", include_str!("providers/typeform.yaml")),
        ("vercel", include_str!("providers/vercel.yaml")),
        ("viber", include_str!("providers/viber.yaml")),
        ("vowchat", include_str!("providers/vowchat.yaml")),
        ("webflow", include_str!("providers/webflow.yaml")),
        ("whatsapp", include_str!("providers/whatsapp.yaml")),
        ("wise", include_str!("providers/wise.yaml")),
        ("woocommerce", include_str!("providers/woocommerce.yaml")),
        ("workos", include_str!("providers/workos.yaml")),
        ("worldpay", include_str!("providers/worldpay.yaml")),
        ("x", include_str!("providers/x.yaml")),
        ("xaman", include_str!("providers/xaman.yaml")),
        ("xero", include_str!("providers/xero.yaml")),
        ("zendesk", include_str!("providers/zendesk.yaml")),
        ("zoom", include_str!("providers/zoom.yaml")),
    ]
}

/// The preset of this name.
pub(crate) fn named(name: &str) -> Option<Value> {
    let (_, text) = presets().iter().find(|(known, _)| *known == name)?;
    Some(yaml::parse(text).expect("presets are part of the program and parsed by its tests"))
}

/// Whether the preset of this name takes a timestamp, which a source that leaves it out then has too.
pub(crate) fn signs_time(name: &str) -> bool {
    let preset = named(name).unwrap_or_default();
    let verify = preset.get(VERIFY).and_then(Value::as_mapping);
    verify.is_some_and(|verify| {
        verify.values().any(|settings| {
            settings
                .get("timestamp")
                .is_some_and(|timestamp| !timestamp.is_null())
        })
    })
}

/// The words for the kinds of schemes; everything else in `verify` stands beside the kind.
pub(crate) const KINDS: [&str; 9] = [
    "hmac", "hash", "ed25519", "ecdsa", "rsa", "jwt", "token", "bearer", "basic",
];

/// A source over its preset: maps merge key by key, anything else replaces, and so does another kind of
/// `verify`, since a token's settings mean nothing to an HMAC.
pub(crate) fn lay_over(source: &Value, preset: Value) -> Value {
    match (source, preset) {
        (Value::Mapping(source), Value::Mapping(mut preset)) => {
            if changes_kind(source.get(VERIFY), preset.get(VERIFY)) {
                preset.remove(VERIFY);
            }
            Value::Mapping(merge(source, preset))
        }
        // `name:` with nothing below it.
        (Value::Null, preset) => preset,
        (other, _) => other.clone(),
    }
}

const VERIFY: &str = "verify";

/// Whether the source verifies in another way than its preset. What stands beside the kind is no way of its own.
fn changes_kind(source: Option<&Value>, preset: Option<&Value>) -> bool {
    let kinds = |verify: &Mapping| -> Vec<&'static str> {
        let is_there = |kind: &&str| verify.contains_key(*kind);
        KINDS.into_iter().filter(is_there).collect()
    };
    match (source, preset) {
        (Some(Value::Mapping(source)), Some(Value::Mapping(preset))) => {
            let (ours, theirs) = (kinds(source), kinds(preset));
            !ours.is_empty() && !ours.iter().any(|kind| theirs.contains(kind))
        }
        (source, _) => source.is_some_and(|source| !source.is_null()),
    }
}

fn merge(over: &Mapping, mut under: Mapping) -> Mapping {
    for (key, value) in over {
        let merged = match (value, under.remove(key)) {
            (Value::Mapping(over), Some(Value::Mapping(under))) => {
                Value::Mapping(merge(over, under))
            }
            _ => value.clone(),
        };
        under.insert(key.clone(), merged);
    }
    under
}

/// Whether `name` takes the signature for what a captured request cannot change.
pub(crate) fn replays_by_signature(name: &str) -> bool {
    let replay = named(name).and_then(|preset| preset.get("dedupe")?.get("replay").cloned());
    replay.is_some_and(|replay| replay.as_str() == Some("signature"))
}

/// Whether `name` verifies in several ways; a source's own `verify` then takes the place of all of them.
pub(crate) fn verifies_in_several_ways(name: &str) -> bool {
    named(name).is_some_and(|preset| preset.get("verify").is_some_and(Value::is_sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(source: &str, preset: &str) -> Value {
        let source = yaml::parse(source).expect("source");
        lay_over(&source, yaml::parse(preset).expect("preset"))
    }

    #[test]
    fn sources_override_field_by_field() {
        let preset =
            "{verify: {hmac: {header: A, prefix: p}}, event: {type: t, time: u}, skip: [1, 2]}";
        let cases = [
            ("{}", preset),
            ("~", preset),
            (
                "{verify: {hmac: {header: B}}}",
                "{verify: {hmac: {header: B, prefix: p}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {token: {header: B}}}",
                "{verify: {token: {header: B}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {when: {method: POST}, secrets: [a]}}",
                "{verify: {hmac: {header: A, prefix: p}, when: {method: POST}, secrets: [a]}, \
                 event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {token: {header: B}, when: {method: POST}}}",
                "{verify: {token: {header: B}, when: {method: POST}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {hmca: {header: B}}}",
                "{verify: {hmac: {header: A, prefix: p}, hmca: {header: B}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: [{hmac: {header: B}}]}",
                "{verify: [{hmac: {header: B}}], event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: bearer}",
                "{verify: bearer, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: }",
                "{verify: , event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{skip: [], event: {time: null}, ack: x}",
                "{verify: {hmac: {header: A, prefix: p}}, event: {type: t, time: null}, skip: [], ack: x}",
            ),
        ];
        for (source, expected) in cases {
            let expected = yaml::parse(expected).expect("expected");
            assert_eq!(laid(source, preset), expected, "{source}");
        }
        assert_eq!(laid("text", preset), Value::from("text"));
    }

    #[test]
    fn conditions_merge_inside_the_same_kind() {
        let preset = "{verify: {hmac: {header: A, prefix: p}, when: {method: POST, query:v: '2'}}}";
        let cases = [
            (
                "{verify: {hmac: {prefix: q}, when: {query:v: null}}}",
                "{verify: {hmac: {header: A, prefix: q}, when: {method: POST, query:v: null}}}",
            ),
            (
                "{verify: {jwt: {header: B}}}",
                "{verify: {jwt: {header: B}}}",
            ),
        ];
        for (source, expected) in cases {
            let expected = yaml::parse(expected).expect("expected");
            assert_eq!(laid(source, preset), expected, "{source}");
        }
        let list = "{verify: [bearer, basic]}";
        assert_eq!(laid("{}", list), yaml::parse(list).expect("expected"));
        let source = "{verify: {hmac: {header: A}}}";
        assert_eq!(laid(source, list), yaml::parse(source).expect("expected"));
    }

    #[test]
    fn every_preset_is_yaml() {
        for (name, _) in presets() {
            assert!(
                named(name).is_some_and(|preset| preset.is_mapping()),
                "{name}"
            );
        }
        assert!(named("nobody").is_none());
    }
}
