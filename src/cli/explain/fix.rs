//! What to do about a finding: settings as they would stand in the configuration, and actions elsewhere.

use crate::config::verify::{Algorithm, Proof, Scheme, TokenForm};

/// The nearest remedy. Never holds a secret or a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fix {
    /// Below the kind of scheme, as key and YAML value.
    settings: Vec<(&'static str, String)>,
    /// Beside `verify`, as whole lines.
    source: Vec<String>,
    /// Whether `{json_stringify}` stands where the scheme has `{body}`.
    stringified: bool,
    /// In words.
    actions: Vec<String>,
}

impl Fix {
    /// A setting of the scheme; the value is a text.
    pub(super) fn setting(key: &'static str, value: &str) -> Self {
        Self::raw_setting(key, scalar(value))
    }

    /// A setting of the scheme; the value is YAML.
    pub(super) fn raw_setting(key: &'static str, value: String) -> Self {
        Self {
            settings: vec![(key, value)],
            ..Self::default()
        }
    }

    /// The body as `JSON.stringify` writes it is signed.
    pub(super) fn stringified(words: impl Into<String>) -> Self {
        Self {
            stringified: true,
            ..Self::action(words)
        }
    }

    /// A line of the source.
    pub(super) fn line(line: String) -> Self {
        Self {
            source: vec![line],
            ..Self::default()
        }
    }

    /// Something to do.
    pub(super) fn action(words: impl Into<String>) -> Self {
        Self {
            actions: vec![words.into()],
            ..Self::default()
        }
    }

    /// The same with something to do.
    pub(super) fn or_action(mut self, words: impl Into<String>) -> Self {
        self.actions.push(words.into());
        self
    }

    /// Both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (key, value) in &other.settings {
            self.settings.retain(|(known, _)| known != key);
            self.settings.push((key, value.clone()));
        }
        self.stringified |= other.stringified;
        for line in &other.source {
            if !self.source.contains(line) {
                self.source.push(line.clone());
            }
        }
        for action in &other.actions {
            if !self.actions.contains(action) {
                self.actions.push(action.clone());
            }
        }
        self
    }

    /// The settings, with the whole text that is signed where a part of it changes.
    fn settings_for(&self, scheme: &Scheme) -> Vec<(&'static str, String)> {
        let mut settings = self.settings.clone();
        let Proof::Signature(signature) = &scheme.proof else {
            return settings;
        };
        if !self.stringified {
            return settings;
        }
        let place = settings.iter().position(|(key, _)| *key == "signed");
        let signed = match place {
            Some(place) => settings.remove(place).1,
            None => scalar(&signature.signed.to_string()),
        };
        let new = signed
            .replace("{body}", "{json_stringify}")
            .replace("{body|", "{json_stringify|");
        if new != signed {
            settings.push(("signed", new));
        }
        settings
    }

    /// Lines to show. `entry` is the scheme's place in a list of them.
    pub(super) fn lines(&self, scheme: &Scheme, entry: Option<usize>) -> Vec<String> {
        let mut lines = Vec::new();
        let settings = self.settings_for(scheme);
        if !settings.is_empty() {
            let settings: Vec<String> = settings
                .iter()
                .map(|(key, value)| format!("{key}: {value}"))
                .collect();
            let settings = format!("{}: {{ {} }}", kind(&scheme.proof), settings.join(", "));
            lines.push(match entry {
                None => format!("verify: {{ {settings} }}"),
                Some(entry) => format!("{settings}     # in entry {} of verify", entry + 1),
            });
        }
        lines.extend(self.source.iter().cloned());
        lines.extend(self.actions.iter().cloned());
        lines
    }
}

/// The word for a scheme in a configuration.
fn kind(proof: &Proof) -> &'static str {
    match proof {
        Proof::Jwt(_) => "jwt",
        Proof::Token(token) => match token.form {
            TokenForm::Plain => "token",
            TokenForm::Scheme => "bearer",
            TokenForm::Basic => "basic",
        },
        Proof::Signature(signature) => match signature.algorithm {
            Algorithm::Hmac(_) => "hmac",
            Algorithm::Hash(_) => "hash",
            Algorithm::Ed25519 => "ed25519",
            Algorithm::EcdsaP256 => "ecdsa",
            Algorithm::Rsa(_) => "rsa",
        },
    }
}

/// A text as YAML: bare where that means the same, else in quotes.
pub(super) fn scalar(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let means_else = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if bare && !means_else.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        crate::cli::origin::scalar(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bare_where_that_is_the_same() {
        for (text, yaml) in [
            ("hex", "hex"),
            ("X-Signature", "X-Signature"),
            ("", "\"\""),
            ("sha256=", "\"sha256=\""),
            ("no", "\"no\""),
            ("1", "\"1\""),
            ("{timestamp}.{body}", "\"{timestamp}.{body}\""),
        ] {
            assert_eq!(scalar(text), yaml);
        }
    }
}
