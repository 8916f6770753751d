//! What a name that is no preset's was meant to be.

use super::{presets::presets, suggest};

/// Names of presets in a message: there are more than a hundred.
const NEAREST: usize = 3;

/// Vendors whose signatures need something that is fetched while requests wait, by what they may be called. They stand
/// with their reasons in `config/SCHEMES.md`.
const UNVERIFIABLE: [(&str, &str); 6] = [
    ("paypal", "PayPal"),
    ("aws-sns", "AWS SNS"),
    ("amazon-sns", "AWS SNS"),
    ("sns", "AWS SNS"),
    ("aws", "AWS SNS"),
    ("plaid", "Plaid"),
];

/// Other names of vendors, and their products' names, with the preset that is meant.
const ALSO_CALLED: [(&str, &str); 20] = [
    ("bird", "messagebird-jwt"),
    ("chatwoot", "vowchat"),
    ("coinbase", "coinbase-commerce or coinbase-cdp"),
    ("facebook", "meta"),
    ("freshworks", "freshchat or freshdesk"),
    ("hellosign", "dropbox-sign"),
    ("hubspot", "hubspot-v3, hubspot-v2 or hubspot-v1"),
    ("instagram", "meta"),
    ("livechat-text", "livechat"),
    ("mailchimp", "mandrill"),
    ("messenger", "meta"),
    ("monday-com", "monday"),
    ("transferwise", "wise"),
    ("twitter", "x"),
    ("whatsapp-cloud", "whatsapp"),
    ("whatsapp-business", "whatsapp"),
    ("x-twitter", "x"),
    ("xumm", "xaman"),
    ("zendesk-chat", "zendesk"),
    ("zoom-us", "zoom"),
];

/// What to do about `name`, which is no preset: a clause that follows on "is no provider".
pub(crate) fn advice(name: &str) -> String {
    let folded = name.to_ascii_lowercase().replace(['_', ' '], "-");
    if let Some((_, vendor)) = UNVERIFIABLE.iter().find(|(known, _)| *known == folded) {
        return format!("{vendor} cannot be verified offline, see config/SCHEMES.md");
    }
    if let Some((_, meant)) = ALSO_CALLED.iter().find(|(known, _)| *known == folded) {
        return format!("did you mean {meant}?");
    }
    let names: Vec<&'static str> = presets().iter().map(|(name, _)| *name).collect();
    let near = suggest::near(name, &names);
    match near.get(..NEAREST.min(near.len())) {
        Some(near) if !near.is_empty() => format!("did you mean {}?", near.join(" or ")),
        _ => {
            let nearest = suggest::by_distance(name, &names);
            let nearest = nearest.into_iter().take(NEAREST).collect::<Vec<_>>();
            format!("the nearest are {}", nearest.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_preset_is_told_what_it_may_be() {
        let cases = [
            ("Stripe", "did you mean stripe?"),
            ("strip", "did you mean stripe?"),
            ("githb", "did you mean github?"),
            ("LiveChat", "did you mean livechat or live-chat?"),
            ("plivo", "did you mean plivo-v2 or plivo-v3?"),
            ("Twitter", "did you mean x?"),
            ("facebook", "did you mean meta?"),
            (
                "hubspot",
                "did you mean hubspot-v3, hubspot-v2 or hubspot-v1?",
            ),
            (
                "paypal",
                "PayPal cannot be verified offline, see config/SCHEMES.md",
            ),
            (
                "PayPal",
                "PayPal cannot be verified offline, see config/SCHEMES.md",
            ),
            (
                "aws_sns",
                "AWS SNS cannot be verified offline, see config/SCHEMES.md",
            ),
            (
                "plaid",
                "Plaid cannot be verified offline, see config/SCHEMES.md",
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(advice(name), expected, "{name}");
        }
        assert!(advice("zzzzzz").starts_with("the nearest are "));
        assert!(advice("").starts_with("the nearest are "));
    }

    #[test]
    fn other_names_are_of_presets_and_are_none() {
        let names: Vec<&str> = presets().iter().map(|(name, _)| *name).collect();
        for (name, meant) in ALSO_CALLED {
            assert!(!names.contains(&name), "{name}");
            for meant in meant
                .split([',', ' '])
                .filter(|word| !["", "or"].contains(word))
            {
                assert!(names.contains(&meant), "{name}: {meant}");
            }
        }
    }

    /// The document names every vendor, and none of them has a preset by now.
    #[test]
    fn vendors_that_cannot_be_verified_stand_in_the_document() {
        let document = include_str!("../../config/SCHEMES.md");
        for (name, vendor) in UNVERIFIABLE {
            assert!(document.contains(&format!("| {vendor} |")), "{vendor}");
            assert!(presets().iter().all(|(known, _)| *known != name), "{name}");
        }
    }
}
