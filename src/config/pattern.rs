//! Event patterns: `*` matches any run of characters, anywhere; `!x` excludes. Matching takes time linear in
//! the event type, whatever the pattern: a sender chooses the type.

use std::fmt;

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Patterns {
    /// Reads a list as it stands in the file. An empty list (or one of exclusions only) wants everything else.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(excluded) => read.exclude.push(Glob::new(excluded)),
                None => read.include.push(Glob::new(pattern)),
            }
        }
        read
    }

    /// Whether an event of this type is wanted. An unknown type is wanted by a list without inclusions and by `*`.
    pub fn want(&self, event_type: Option<&str>) -> bool {
        let hit = |glob: &Glob| match event_type {
            Some(event_type) => glob.matches(event_type),
            None => glob.is_any(),
        };
        (self.include.is_empty() || self.include.iter().any(hit)) && !self.exclude.iter().any(hit)
    }

    /// Whether it names what it wants, rather than only what it does not want.
    pub fn has_inclusions(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether every event is wanted, of known and of unknown type.
    pub fn wants_everything(&self) -> bool {
        self.exclude.is_empty()
            && (self.include.is_empty() || self.include.iter().any(Glob::is_any))
    }
}

impl fmt::Display for Patterns {
    /// As in the file, inclusions first: `order.* !order.draft`; `*` for a list that wants everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: Vec<String> = self.include.iter().map(Glob::to_string).collect();
        if shown.is_empty() {
            shown.push("*".to_owned());
        }
        shown.extend(self.exclude.iter().map(|glob| format!("!{glob}")));
        f.write_str(&shown.join(" "))
    }
}

/// A pattern as the literal texts between its stars: one text is an exact match.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<String>);

impl Glob {
    fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    /// Whether nothing but stars stands in it.
    fn is_any(&self) -> bool {
        self.0.len() > 1 && self.0.iter().all(String::is_empty)
    }

    /// The first text is a prefix and the last a suffix; each text between is taken where it first occurs after
    /// the one before, which never spoils a match, since what follows a star may be anywhere.
    fn matches(&self, text: &str) -> bool {
        let (first, last, middle) = match self.0.as_slice() {
            [exact] => return exact == text,
            [first, middle @ .., last] => (first, last, middle),
            [] => return false,
        };
        let inner = text
            .strip_prefix(first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()));
        let Some(mut rest) = inner else {
            return false;
        };
        for piece in middle {
            match rest.split_once(piece.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_want_what_they_name() {
        let cases: [(&[&str], Option<&str>, bool); 22] = [
            (&[], Some("a"), true),
            (&[], None, true),
            (&["*"], Some("a"), true),
            (&["*"], None, true),
            (&["a"], Some("a"), true),
            (&["a"], Some("ab"), false),
            (&["a"], None, false),
            (&["order.*"], Some("order.created"), true),
            (&["order.*"], Some("order."), true),
            (&["order.*"], Some("orders"), false),
            (&["order.*"], None, false),
            (&["*_created"], Some("message_created"), true),
            (&["a*a"], Some("a"), false),
            (&["a*a"], Some("aa"), true),
            (&["*.item.*"], Some("order.item.added"), true),
            (&["order.*", "!order.draft"], Some("order.draft"), false),
            (&["order.*", "!order.draft"], Some("order.paid"), true),
            (&["!order.draft"], Some("other"), true),
            (&["!order.draft"], None, true),
            (&["*", "!*"], None, false),
            (&["**"], None, true),
            (&["a", "b*"], Some("bc"), true),
        ];
        for (patterns, event_type, wanted) in cases {
            let read = Patterns::new(patterns.iter().copied());
            assert_eq!(read.want(event_type), wanted, "{patterns:?} {event_type:?}");
        }
    }

    #[test]
    fn lists_are_written_back() {
        assert_eq!(Patterns::default().to_string(), "*");
        assert_eq!(Patterns::new(["!a", "b*c"]).to_string(), "b*c !a");
        assert_eq!(Patterns::new(["!a"]).to_string(), "* !a");
        assert!(Patterns::new(["*", "a"]).wants_everything());
        assert!(!Patterns::new(["!a"]).wants_everything());
    }

    /// Matches by trying every length for every star.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_naive_matcher_says(pattern in "[ab*é]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                Glob::new(&pattern).matches(&text),
                naive(&chars(&pattern), &chars(&text))
            );
        }
    }
}
