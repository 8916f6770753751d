//! What may be shown of a request. A value that holds a secret is not; neither is one that steers a terminal.

use crate::config::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 120;

/// Secrets shorter than this would hide half of any text.
const HIDDEN_MIN: usize = 3;

/// Shorter ones are words of any text, too.
const HIDDEN_IN_TEXT_MIN: usize = 6;

/// Knows what must not be shown.
pub(super) struct Screen {
    hidden: Vec<Zeroizing<Vec<u8>>>,
}

impl Screen {
    /// Hides these, as they are, in base 64, and without the space around them.
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s Secret>) -> Self {
        let mut hidden = Vec::new();
        for secret in secrets {
            let value = secret.expose();
            let bare = value
                .trim_ascii()
                .trim_ascii()
                .strip_prefix(b"whsec_")
                .unwrap_or(value.trim_ascii());
            for text in [value, value.trim_ascii(), bare] {
                let encoded = STANDARD.encode(text);
                hidden.push(Zeroizing::new(text.to_vec()));
                hidden.push(Zeroizing::new(
                    encoded.trim_end_matches('=').as_bytes().to_vec(),
                ));
            }
        }
        hidden.retain(|text| text.len() >= HIDDEN_MIN);
        Self { hidden }
    }

    /// Whether some secret stands in it.
    pub(super) fn hides(&self, value: &[u8]) -> bool {
        self.hidden.iter().any(|secret| {
            value
                .windows(secret.len())
                .any(|part| part == secret.as_slice())
        })
    }

    /// A page with every secret in it replaced, such as one that is a part of a URL.
    pub(super) fn page(&self, text: &str) -> String {
        let mut secrets: Vec<&str> = self
            .hidden
            .iter()
            .filter(|secret| secret.len() >= HIDDEN_IN_TEXT_MIN)
            .filter_map(|secret| std::str::from_utf8(secret).ok())
            .collect();
        // A longer one may hold a shorter one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
            .into_iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// The value, escaped and cut.
    pub(super) fn show(&self, value: &[u8]) -> String {
        if self.hides(value) {
            return "(holds a secret, so it is not shown)".to_owned();
        }
        let mut text = String::new();
        for (count, byte) in value.iter().enumerate() {
            if count == SHOWN_MAX {
                text.push_str(&format!("... ({} characters)", value.len()));
                break;
            }
            match byte {
                b' '..=b'~' => text.push(char::from(*byte)),
                _ => text.push_str(&format!("\\x{byte:02x}")),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_cut_and_without_secrets() {
        let secrets = [Secret::new("1", b"hunter2\n".to_vec())];
        let screen = Screen::new(secrets.iter());
        for (value, shown) in [
            (&b"abc"[..], "abc"),
            (b"a\x1b[31m\xc3\xa9\n", "a\\x1b[31m\\xc3\\xa9\\x0a"),
            (b"t=hunter2", "(holds a secret, so it is not shown)"),
            (
                b"Basic aHVudGVyMg==",
                "(holds a secret, so it is not shown)",
            ),
        ] {
            assert_eq!(screen.show(value), shown);
        }
        let long = screen.show(&[b'a'; 200]);
        assert_eq!(long, format!("{}... (200 characters)", "a".repeat(120)));
    }
}
