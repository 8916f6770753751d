//! What was asked: parameters of a query or of a JSON body, each read as what it is meant to be. One that is wrong,
//! twice there or unknown is refused by its name, with what is accepted.

use super::pairs::{Entry, Pairs};
use super::refused::Refused;
use crate::clock;
use crate::config;
use crate::extract::event_time_ms;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Parameters of one request that are still to be read, and the names of those that were asked for.
#[derive(Debug, Default)]
pub struct Params {
    given: Vec<(String, Given)>,
    known: Vec<String>,
}

/// A value as it came.
#[derive(Debug)]
enum Given {
    /// In a query everything is text.
    Query(String),
    /// In a body it has its type.
    Json(Value),
}

impl Params {
    /// Reads a query.
    pub(super) fn of_query(query: &str) -> Result<Self, Refused> {
        let mut given = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            given.push((name, Given::Query(value)));
        }
        Ok(Self::new(given))
    }

    /// Reads a body: a JSON object, or nothing at all. What is inside an object inside has its name in front:
    /// `filter.source`.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refused> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let Pairs(pairs) = serde_json::from_slice(body).map_err(|error| {
            Refused::bad(if error.is_data() {
                "the body is no JSON object".to_owned()
            } else {
                format!("the body is no JSON: {error}")
            })
        })?;
        let mut given = Vec::new();
        for (name, entry) in pairs {
            let value = match entry {
                Entry::Other(value) => value,
                // That it is there is kept too, for whoever knows no such section.
                Entry::Section(Pairs(inner)) => {
                    let mut section = Map::new();
                    for (below, entry) in inner {
                        let value = entry.value();
                        given.push((format!("{name}.{below}"), Given::Json(value.clone())));
                        section.insert(below, value);
                    }
                    Value::Object(section)
                }
            };
            given.push((name, Given::Json(value)));
        }
        Ok(Self::new(given))
    }

    /// All that is given but not yet read, as it came, for the audit log.
    pub fn said(&self) -> String {
        let given = self.given.iter();
        // What is in a section stands for itself.
        let single = given.filter(|(_, given)| !matches!(given, Given::Json(Value::Object(_))));
        let said: Vec<String> = single
            .map(|(name, given)| format!("{name}={}", given.shown()))
            .collect();
        said.join(" ")
    }

    /// Whether there is an object of this name; one with nothing in it is refused. It can still be read.
    pub fn filled(&self, name: &str) -> Result<bool, Refused> {
        let mut named = self.given.iter().filter(|(given, _)| given == name);
        match named.next() {
            None => Ok(false),
            Some((_, given @ Given::Json(Value::Object(inner)))) if inner.is_empty() => {
                Err(wrong(name, given, "an object with something in it"))
            }
            Some(_) => Ok(true),
        }
    }

    fn new(given: Vec<(String, Given)>) -> Self {
        Self {
            given,
            known: Vec::new(),
        }
    }

    /// Takes out what stands under `name`, which is known from now on.
    fn take(&mut self, name: &str) -> Result<Option<Given>, Refused> {
        self.known.push(name.to_owned());
        let Some(at) = self.given.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.given.remove(at);
        if self.given.iter().any(|(given, _)| given == name) {
            return Err(Refused::bad(format!(
                "{name} is given twice; accepted: once"
            )));
        }
        Ok(Some(value))
    }

    /// An object inside the body, or none: its parameters have its name in front.
    pub fn section(&mut self, name: &str) -> Result<(), Refused> {
        match self.take(name)? {
            None | Some(Given::Json(Value::Object(_))) => Ok(()),
            Some(given) => Err(wrong(name, &given, "an object")),
        }
    }

    /// Text that `parse` makes something of; `accepts` says what it takes.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        accepts: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let Some(given) = self.take(name)? else {
            return Ok(None);
        };
        let parsed = given.text().and_then(parse);
        parsed.map(Some).ok_or_else(|| wrong(name, &given, accepts))
    }

    /// Text that is not empty.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.parsed(name, "a text that is not empty", text)
    }

    /// One text or more under one name: repeated in a query, a list in a body.
    pub fn texts(&mut self, name: &str, most: usize) -> Result<Vec<String>, Refused> {
        self.known.push(name.to_owned());
        let mut texts = Vec::new();
        let (named, others) = self.given.drain(..).partition(|(given, _)| given == name);
        self.given = others;
        let named: Vec<(String, Given)> = named;
        let accepts = format!("1 to {most} texts that are not empty");
        for (_, given) in &named {
            let read: Option<Vec<&str>> = match given {
                Given::Json(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
                other => other.text().map(|text| vec![text]),
            };
            let read = read.filter(|read| !read.is_empty() && !read.contains(&""));
            let read = read.ok_or_else(|| wrong(name, given, &accepts))?;
            texts.extend(read.into_iter().map(str::to_owned));
        }
        if texts.len() > most {
            let many = texts.len();
            return Err(Refused::bad(format!(
                "{name} is given {many} times; accepted: {accepts}"
            )));
        }
        Ok(texts)
    }

    /// A whole number between these, both included.
    pub fn number(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refused> {
        let Some(given) = self.take(name)? else {
            return Ok(None);
        };
        let number = match &given {
            Given::Query(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            Given::Query(_) => None,
            Given::Json(value) => whole(value),
        };
        let number = number.filter(|number| (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| wrong(name, &given, &format!("a whole number, {least} to {most}")))
    }

    /// `true` or `false`; false where it is not given.
    pub fn flag(&mut self, name: &str) -> Result<bool, Refused> {
        let Some(given) = self.take(name)? else {
            return Ok(false);
        };
        let flag = match &given {
            Given::Query(text) => text.parse().ok(),
            Given::Json(value) => value.as_bool(),
        };
        flag.ok_or_else(|| wrong(name, &given, "true or false"))
    }

    /// A point in time, Unix milliseconds: RFC 3339, or how long before `now_ms`.
    pub fn time(&mut self, name: &str, now_ms: u64) -> Result<Option<u64>, Refused> {
        let accepts =
            "RFC 3339 such as 2026-01-31T10:30:00Z, or how long ago such as 30m, 2h or 7d";
        self.parsed(name, accepts, |text| match config::DURATION.option(text) {
            Ok(ago) => Some(now_ms.saturating_sub(clock::millis(ago))),
            // A number could be of seconds or of milliseconds: nobody should have to guess.
            Err(_) if !text.contains('-') => None,
            Err(_) => event_time_ms(text),
        })
    }

    /// The word of one of these.
    pub fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Refused> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.parsed(name, &known.join(", "), |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| *meaning)
        })
    }

    /// Whether nothing is left that nobody asked for.
    pub fn finish(&self) -> Result<(), Refused> {
        let Some((unknown, _)) = self.given.first() else {
            return Ok(());
        };
        let known = match self.known.as_slice() {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        let shown = shown(unknown);
        Err(Refused::bad(format!(
            "unknown parameter {shown}; accepted: {known}"
        )))
    }
}

impl Given {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Query(text) => Some(text),
            Self::Json(value) => value.as_str(),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Query(text) | Self::Json(Value::String(text)) => shown(text),
            Self::Json(value) => cut(&value.to_string()),
        }
    }
}

/// JSON has one kind of number: 5.0 is 5.
fn whole(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative and small, as is looked at before"
    )]
    let whole = |number: f64| {
        let fits = number.fract() == 0.0 && (0.0..1e15).contains(&number);
        fits.then_some(number as u64)
    };
    value.as_u64().or_else(|| whole(value.as_f64()?))
}

fn wrong(name: &str, given: &Given, accepts: &str) -> Refused {
    let value = given.shown();
    Refused::bad(format!("{name} is {value}; accepted: {accepts}"))
}

/// Quoted, without anything that a terminal would act on, and not at any length.
pub(super) fn shown(text: &str) -> String {
    cut(&format!("{text:?}"))
}

fn cut(text: &str) -> String {
    /// Letters of a wrong value that are shown.
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `%20` and `+` are spaces.
fn decode(text: &str) -> Result<String, Refused> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| {
        Refused::bad(format!(
            "the query holds {}, which is no UTF-8",
            shown(text)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Params {
        Params::of_query(text).expect("a query")
    }

    fn body(text: &str) -> Params {
        Params::of_body(text.as_bytes()).expect("a body")
    }

    fn error<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
        let refused = result.expect_err("refused");
        let answer = refused.answer();
        assert_eq!(answer.status(), 400);
        format!("{answer:?}")
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        let mut params = query("limit=5&source=a%2Fb+c&dry=true&x=1&x=2");
        assert_eq!(params.number("limit", 1, 200).expect("a number"), Some(5));
        assert_eq!(
            params.text("source").expect("a text").as_deref(),
            Some("a/b c")
        );
        assert!(params.flag("dry").expect("a flag"));
        assert_eq!(params.texts("x", 4).expect("texts"), ["1", "2"]);
        assert_eq!(params.text("absent").expect("nothing"), None);
        params.finish().expect("nothing is left");

        let mut params = body(r#"{"filter":{"source":"a","x":["1","2"]},"limit":5.0,"dry":false}"#);
        params.section("filter").expect("a section");
        assert_eq!(
            params.text("filter.source").expect("a text").as_deref(),
            Some("a")
        );
        assert_eq!(params.texts("filter.x", 2).expect("texts"), ["1", "2"]);
        assert_eq!(params.number("limit", 1, 200).expect("a number"), Some(5));
        assert!(!params.flag("dry").expect("a flag"));
        params.finish().expect("nothing is left");
        body("").finish().expect("nothing at all");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_accepted() {
        let number = |mut params: Params| error(params.number("limit", 1, 200));
        for wrong in [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=x",
            "limit=",
            "limit=1.5",
            "limit=+1",
            "limit=99999999999999999999999",
        ] {
            let said = number(query(wrong));
            assert!(
                said.contains("limit is ") && said.contains("1 to 200"),
                "{said}"
            );
        }
        for wrong in [
            r#"{"limit":"5"}"#,
            r#"{"limit":5.5}"#,
            r#"{"limit":null}"#,
            r#"{"limit":[]}"#,
        ] {
            let said = number(body(wrong));
            assert!(said.contains("limit is "), "{said}");
        }
        assert!(error(body(r#"{"filter":5}"#).section("filter")).contains("an object"));
        let mut params = body(r#"{"a":{}}"#);
        assert!(error(params.text("a")).contains("a is {};"));
        assert!(error(body(r#"{"filter":{}}"#).finish()).contains("unknown parameter"));
        assert!(error(query("a=1&a=2").text("a")).contains("a is given twice"));
        assert!(error(query("a=").text("a")).contains("not empty"));
        assert!(error(body(r#"{"a":1}"#).text("a")).contains("a is 1;"));
        assert!(error(body(r#"{"a":[1]}"#).texts("a", 2)).contains("a is [1];"));
        assert!(error(query("a=1&a=2&a=3").texts("a", 2)).contains("3 times"));
        assert!(error(body(r#"{"a":"true"}"#).flag("a")).contains("true or false"));
        assert!(error(query("state=gone").word("state", &[("dead", 1)])).contains("dead"));
        let mut params = query("b=1");
        params.text("a").expect("not there");
        let said = error(params.finish());
        assert!(
            said.contains(r#"unknown parameter \\\"b\\\"; accepted: a"#),
            "{said}"
        );
        assert!(error(Params::of_query("a=%ff")).contains("no UTF-8"));
        assert!(error(body(r#"{"a":1,"a":2}"#).text("a")).contains("a is given twice"));
        let twice = body(r#"{"a":{"b":"1","b":"2"}}"#);
        assert_eq!(twice.said(), r#"a.b="1" a.b="2""#);
        assert!(error({ twice }.text("a.b")).contains("a.b is given twice"));
        assert!(error(body(r#"{"a":{}}"#).filled("a")).contains("something in it"));
        assert!(error(Params::of_body(b"[]")).contains("no JSON object"));
        assert!(error(Params::of_body(b"{")).contains("no JSON: "));
        assert!(error(Params::of_body(b"\xff")).contains("no JSON: "));
        let long = "x".repeat(10_000);
        assert!(error(query(&format!("{long}=1")).finish()).len() < 1_000);
    }

    #[test]
    fn times_are_written_out_or_ago() {
        const NOW_MS: u64 = 1_769_855_400_000;
        for (text, expected) in [
            ("2h", NOW_MS - 7_200_000),
            ("3650d", NOW_MS - 3_650 * 86_400_000),
            ("2026-01-31T10:30:00Z", NOW_MS),
            ("2026-01-31T11:30:00%2B01:00", NOW_MS),
        ] {
            let time = query(&format!("from={text}")).time("from", NOW_MS);
            assert_eq!(time.expect("a time"), Some(expected), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "2",
            "1769855400",
            "-2h",
            "2026-01-31",
            "3651d",
        ] {
            let said = error(query(&format!("from={wrong}")).time("from", NOW_MS));
            assert!(
                said.contains("from is ") && said.contains("RFC 3339"),
                "{said}"
            );
        }
    }
}
