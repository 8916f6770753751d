//! Walks the tree of values and types each of them, while every problem on the way is collected. A function
//! here that returns `None` has said why (or was told by `--allow-unset` not to), so that its caller goes on
//! with the next value.

use super::{
    locate::{KeyPath, Side},
    report::Report,
    substitute, suggest,
    template::Template,
    value::Kind,
};
use serde_yaml::Value;

/// What a reading depends on beside the tree.
pub(crate) struct Context<'a> {
    /// Takes what is found.
    pub(crate) report: &'a Report,
    /// The environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether an unset variable and a missing secret file are stood in for.
    pub(crate) allow_unset: bool,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: KeyPath,
    context: &'a Context<'a>,
}

/// Text of a scalar after substitution.
pub(crate) struct Text {
    /// With its variables replaced.
    pub(crate) value: String,
    /// How messages call it: in quotes as it stands in the file, so that nothing from the environment shows.
    pub(crate) shown: String,
    /// Whether a variable in it is unset and allowed to be.
    pub(crate) unset: bool,
}

impl<'a> Node<'a> {
    /// The top of a file.
    pub(crate) fn root(value: &'a Value, context: &'a Context<'a>) -> Self {
        Self {
            value,
            path: KeyPath::default(),
            context,
        }
    }

    /// The same place with another value: a source laid over its preset.
    pub(crate) fn with_value<'b>(&self, value: &'b Value) -> Node<'b>
    where
        'a: 'b,
    {
        Node {
            value,
            path: self.path.clone(),
            context: self.context,
        }
    }

    /// The raw value.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Where it stands.
    pub(crate) fn path(&self) -> &KeyPath {
        &self.path
    }

    /// What the reading depends on.
    pub(crate) fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// The value of a key, before it is known which keys belong here.
    pub(crate) fn child(&self, key: &str) -> Option<Node<'a>> {
        Some(Node {
            value: self.value.get(key)?,
            path: self.path.key(key),
            context: self.context,
        })
    }

    /// Whether nothing, `null` or `~` stands here.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// Reports that this value is wrong.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.context
            .report
            .problem(&self.path, Side::Value, message);
    }

    /// Reports that something is wrong with the entry as a whole, such as a name, or what is missing in it.
    pub(crate) fn problem_at_key(&self, message: impl Into<String>) {
        self.context.report.problem(&self.path, Side::Key, message);
    }

    /// Reports something about a key below that is not given.
    pub(crate) fn problem_below(&self, keys: &[&str], message: impl Into<String>) {
        let path = keys
            .iter()
            .fold(self.path.clone(), |path, key| path.key(key));
        self.context.report.problem(&path, Side::Key, message);
    }

    /// Reports that this is not what belongs here.
    pub(crate) fn wrong(&self, accepted: &str) {
        self.problem(format!("{}; accepted: {accepted}", self.what()));
    }

    /// The typed value of a scalar.
    pub(crate) fn read<T>(&self, kind: &Kind<T>) -> Option<T> {
        let text = self.text(kind.accepts, kind.quoted)?;
        if text.unset {
            return (kind.parse)(kind.stand_in?).ok();
        }
        match (kind.parse)(&text.value) {
            Ok(value) => Some(value),
            Err(why) => {
                self.problem(format!("{} {why}; accepted: {}", text.shown, kind.accepts));
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choose<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.text(&words.join(", "), false)?;
        let chosen = choices.iter().find(|(word, _)| *word == text.value);
        if chosen.is_none() && !text.unset {
            self.problem(format!(
                "{} is unknown; {}",
                text.shown,
                did_you_mean(&text.value, &words)
            ));
        }
        chosen.map(|(_, value)| *value)
    }

    /// The text of a scalar. Where it must be `quoted`, a number is refused, since `007` or `1e3` would not
    /// survive being read as one.
    pub(crate) fn text(&self, accepted: &str, quoted: bool) -> Option<Text> {
        match self.value {
            Value::String(text) => self.expand(text),
            Value::Number(_) | Value::Bool(_) if quoted => {
                self.problem(format!("{}; put it in quotes to make it text", self.what()));
                None
            }
            Value::Number(number) => Some(Text::literal(&number.to_string())),
            Value::Bool(value) => Some(Text::literal(&value.to_string())),
            _ => {
                self.wrong(accepted);
                None
            }
        }
    }

    fn expand(&self, raw: &str) -> Option<Text> {
        let expanded = match substitute::expand(raw, self.context.variable) {
            Ok(expanded) => expanded,
            Err(bad) => {
                self.problem(bad.to_string());
                return None;
            }
        };
        let unset = !expanded.unset.is_empty();
        if unset && !self.context.allow_unset {
            for name in expanded.unset {
                let placeholder = format!("{{{name}}}");
                let what_to_do = if placeholder.parse::<Template>().is_ok() {
                    format!("a placeholder of a template has no dollar before it: {placeholder}")
                } else {
                    format!("set it, or give a default: ${{{name}:-default}}")
                };
                self.problem(format!(
                    "the environment variable {name} is not set; {what_to_do}"
                ));
            }
            return None;
        }
        let shown = if expanded.from_environment {
            format!("{} (with its value from the environment)", show(raw))
        } else {
            show(raw)
        };
        Some(Text {
            value: expanded.text,
            shown,
            unset,
        })
    }

    /// A list's items.
    pub(crate) fn list(&self, accepted: &str) -> Option<Vec<Node<'a>>> {
        let Value::Sequence(items) = self.value else {
            self.wrong(accepted);
            return None;
        };
        let node = |(index, value)| Node {
            value,
            path: self.path.item(index),
            context: self.context,
        };
        Some(items.iter().enumerate().map(node).collect())
    }

    /// A list's items, or the one scalar that stands for a list of one.
    pub(crate) fn one_or_list(&self, accepted: &str) -> Option<Vec<Node<'a>>> {
        match self.value {
            Value::Sequence(_) => self.list(accepted),
            Value::Null | Value::Mapping(_) => {
                self.wrong(accepted);
                None
            }
            _ => Some(vec![self.clone()]),
        }
    }

    /// A mapping with these keys; others are reported. Nothing counts as an empty mapping: everything in it may
    /// be commented out.
    pub(crate) fn map(&self, keys: &'static [&'static str]) -> Option<Map<'a>> {
        let entries = self.entries(&format!("a mapping with {}", keys.join(", ")))?;
        for (key, entry) in &entries {
            if !keys.contains(&key.as_str()) {
                entry.problem_at_key(format!("unknown key; {}", did_you_mean(key, keys)));
            }
        }
        Some(Map {
            node: self.clone(),
            keys,
            entries,
        })
    }

    /// A mapping whose keys the user chooses.
    pub(crate) fn named(&self) -> Option<Vec<(String, Node<'a>)>> {
        self.entries("a mapping of names to what they stand for")
    }

    fn entries(&self, accepted: &str) -> Option<Vec<(String, Node<'a>)>> {
        let mapping = match self.value {
            Value::Mapping(mapping) => mapping,
            Value::Null => return Some(Vec::new()),
            _ => {
                self.wrong(accepted);
                return None;
            }
        };
        let entry = |(key, value): (&'a Value, &'a Value)| {
            let key = key.as_str()?.to_owned();
            let path = self.path.key(&key);
            Some((
                key,
                Node {
                    value,
                    path,
                    context: self.context,
                },
            ))
        };
        Some(mapping.iter().filter_map(entry).collect())
    }

    /// What stands here, for a message; not the value, which may be a secret in the wrong place.
    fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "this has no value",
            Value::Bool(_) => "this is true or false",
            Value::Number(_) => "this is a number",
            Value::String(_) => "this is text",
            Value::Sequence(_) => "this is a list",
            Value::Mapping(_) => "this is a mapping",
            Value::Tagged(_) => {
                "this begins with ! and so is a YAML tag, while text that begins with ! needs quotes"
            }
        }
    }
}

impl Text {
    fn literal(text: &str) -> Self {
        Self {
            value: text.to_owned(),
            shown: text.to_owned(),
            unset: false,
        }
    }
}

/// A mapping whose keys are known.
pub(crate) struct Map<'a> {
    node: Node<'a>,
    keys: &'static [&'static str],
    entries: Vec<(String, Node<'a>)>,
}

impl<'a> Map<'a> {
    /// The mapping as a node.
    pub(crate) fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// The value of a key; `key: null` is a value.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        debug_assert!(self.keys.contains(&key), "{key} is not a declared key");
        let entry = self.entries.iter().find(|(name, _)| name == key)?;
        Some(entry.1.clone())
    }

    /// The value of a key unless it is null.
    pub(crate) fn get_some(&self, key: &str) -> Option<Node<'a>> {
        self.get(key).filter(|node| !node.is_null())
    }

    /// The value of a key that can't be left out.
    pub(crate) fn need(&self, key: &str, why: &str) -> Option<Node<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.miss(key, why);
        }
        value
    }

    /// Reports that a key is not given, unless it is there and mistyped, which was said.
    pub(crate) fn miss(&self, key: &str, why: &str) {
        let is_meant = |(name, _): &(String, Node<'_>)| {
            !self.keys.contains(&name.as_str()) && suggest::nearest(name, self.keys) == Some(key)
        };
        if !self.entries.iter().any(is_meant) {
            self.node.problem_below(&[key], why);
        }
    }

    /// The typed value of a key, where it is given.
    pub(crate) fn read<T>(&self, key: &str, kind: &Kind<T>) -> Option<T> {
        self.get(key)?.read(kind)
    }

    /// The typed value of a key, or the default.
    pub(crate) fn read_or<T>(&self, key: &str, kind: &Kind<T>, default: T) -> T {
        self.read(key, kind).unwrap_or(default)
    }

    /// One of a few words, or the default.
    pub(crate) fn choose_or<T: Copy>(&self, key: &str, choices: &[(&str, T)], default: T) -> T {
        self.get(key)
            .and_then(|node| node.choose(choices))
            .unwrap_or(default)
    }
}

/// The value in quotes, with control characters escaped, cut where it gets long, and without a password in a URL.
pub(crate) fn show(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(scheme) = text.find("://") {
        let from = scheme + "://".len();
        let authority_ends = text[from..]
            .find(['/', '?'])
            .map_or(text.len(), |at| from + at);
        if let Some(at) = text[from..authority_ends].rfind('@') {
            text.replace_range(from..from + at, "***");
        }
    }
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// Characters of a value in a message: enough to recognise it, and the message stays on a line or two.
const SHOWN_CHARS: usize = 80;

/// The known word that was probably meant, or all of them.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    match suggest::nearest(word, known) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("accepted: {}", known.join(", ")),
    }
}

/// All values, if there are all of them; unlike `collect` it looks at each, so that each can say what is wrong.
pub(crate) fn every<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let values: Vec<Option<T>> = values.collect();
    values.into_iter().collect()
}
