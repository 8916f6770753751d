//! `json_stringify` against the Node that is installed: the same text for every document, and an error for the same.
//!
//! `HOOKGATE_TEST_SEED` and `HOOKGATE_TEST_DOCUMENTS` choose other documents, and more or fewer.

mod documents;
mod node;
mod traps;

use crate::support::{process::own_ticks, tools};
use hookgate::extract::{NotJson, STRINGIFY_DEPTH_MAX, json_stringify};
use node::{Answer, Node};

const SEED: u64 = 0x6a73_6f6e;
const DOCUMENTS: u64 = 40_000;
const BATCH: u64 = 1_000;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    })
}

/// Whether both say the same. Only what is too deep for one of them may differ.
fn agree(document: &[u8], answer: &Answer) -> bool {
    match (json_stringify(document), answer) {
        (Ok(ours), Answer::Text(theirs)) => *ours == **theirs,
        (Err(NotJson::Syntax { .. }), Answer::Syntax(_))
        | (Err(NotJson::TooDeep { .. }), _)
        | (_, Answer::TooDeep) => true,
        (Ok(_), Answer::Syntax(_)) | (Err(NotJson::Syntax { .. }), Answer::Text(_)) => false,
    }
}

/// A smaller document that fails as well, by leaving out ever smaller pieces; `failing` picks from several.
fn shrunk(mut document: Vec<u8>, mut failing: impl FnMut(&[Vec<u8>]) -> Option<usize>) -> Vec<u8> {
    let mut piece = document.len();
    while piece > 0 {
        let without = |at: usize| {
            let end = document.len().min(at + piece);
            [&document[..at], &document[end..]].concat()
        };
        let mut smaller: Vec<_> = (0..document.len()).step_by(piece).map(without).collect();
        match failing(&smaller) {
            Some(place) => document = smaller.swap_remove(place),
            None => piece /= 2,
        }
    }
    document
}

#[track_caller]
fn assert_agreement(node: &mut Node, name: &str, documents: &[Vec<u8>]) -> Vec<Answer> {
    let answers = node.ask(documents);
    let mut pairs = documents.iter().zip(&answers);
    if let Some(place) = pairs.position(|(document, answer)| !agree(document, answer)) {
        let document = shrunk(documents[place].clone(), |smaller| {
            let answers = node.ask(smaller);
            smaller
                .iter()
                .zip(&answers)
                .position(|(document, answer)| !agree(document, answer))
        });
        let ours = json_stringify(&document).map(|text| text.escape_ascii().to_string());
        let theirs = match node.ask(std::slice::from_ref(&document)).remove(0) {
            Answer::Text(text) => text.escape_ascii().to_string(),
            other => format!("{other:?}"),
        };
        panic!(
            "{name}, document {place}, at its smallest:\n{}\nhere: {ours:?}\nNode: {theirs}",
            document.escape_ascii()
        );
    }
    answers
}

#[test]
fn every_document_becomes_what_node_makes_of_it() {
    if !tools::has("node", &["--version"]) {
        return;
    }
    let seed = from_environment("HOOKGATE_TEST_SEED", SEED);
    let count = from_environment("HOOKGATE_TEST_DOCUMENTS", DOCUMENTS);
    let mut node = Node::start();
    let (mut texts, mut errors) = (0, 0);
    for first in (0..count).step_by(usize::try_from(BATCH).expect("small")) {
        let batch: Vec<_> = (first..count.min(first + BATCH))
            .map(|index| documents::document(seed, index))
            .collect();
        let name = format!("HOOKGATE_TEST_SEED={seed}, documents from {first}");
        for answer in assert_agreement(&mut node, &name, &batch) {
            match answer {
                Answer::Text(_) => texts += 1,
                Answer::Syntax(_) => errors += 1,
                Answer::TooDeep => panic!("{name}: too deep to compare"),
            }
        }
    }
    println!("seed {seed}: {texts} texts, {errors} errors");
    assert!(
        texts >= count / 2,
        "most documents are JSON: {texts} of {count}"
    );
    assert!(
        errors >= count / 20,
        "some documents are not: {errors} of {count}"
    );
}

/// A body of a mebibyte that asks for as much work as it can. Quadratic work would take minutes. Processor time counts: what
/// else the machine does is not in it.
#[test]
fn hostile_bodies_take_no_longer_than_others() {
    const LEN: usize = 1 << 20;
    const LIMIT_TICKS: u64 = 20 * 100;
    let repeated = |open: &str, item: &dyn Fn(usize) -> String, close: &str| {
        let mut text = open.to_owned();
        for number in 0.. {
            let item = item(number);
            if text.len() + item.len() + close.len() > LEN {
                break;
            }
            text.push_str(&item);
        }
        (text + close).into_bytes()
    };
    let nested = |open: &str, inner: &str, close: &str| {
        let levels = 4_000;
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    let digits = "9".repeat(LEN);
    let zeros = "0".repeat(LEN);
    let text = "x".repeat(LEN);
    let bodies = [
        (
            "many names",
            repeated("{", &|n| format!("\"k{n}\":0,"), "\"\":0}"),
        ),
        (
            "one name",
            repeated("{", &|_| "\"a\":0,".to_owned(), "\"\":0}"),
        ),
        (
            "pairs of names",
            repeated("{", &|n| format!("\"{}\":0,", n / 2), "\"\":0}"),
        ),
        (
            "falling indices",
            repeated("{", &|n| format!("\"{}\":0,", 999_999 - n), "\"\":0}"),
        ),
        ("names with a long beginning", {
            let long = "n".repeat(500);
            repeated("{", &|n| format!("\"{long}{n}\":0,"), "\"\":0}")
        }),
        (
            "small objects to rearrange",
            repeated("[", &|_| "{\"b\":0,\"1\":0},".to_owned(), "0]"),
        ),
        (
            "rearranged at every level",
            nested("{\"a\":1,\"1\":", &format!("\"{text}\""), "}"),
        ),
        (
            "replaced at every level",
            nested("{\"a\":0,\"a\":", &format!("\"{text}\""), "}"),
        ),
        (
            "replaced around everything",
            nested("{\"a\":[0],\"b\":", "0", ",\"a\":[1]}"),
        ),
        ("digits", digits.clone().into_bytes()),
        ("a fraction", format!("0.{digits}").into_bytes()),
        (
            "zeros and an exponent",
            format!("0.{zeros}1e1048577").into_bytes(),
        ),
        (
            "zeros taken back",
            format!("1{zeros}e-1048576").into_bytes(),
        ),
        ("an exponent", format!("1e-{digits}").into_bytes()),
        (
            "numbers that grow",
            repeated("[", &|_| "1e20,".to_owned(), "0]"),
        ),
        (
            "subnormal numbers",
            repeated("[", &|_| "4.9406564584124654e-324,".to_owned(), "0]"),
        ),
        (
            "middles between doubles",
            repeated(
                "[",
                &|_| format!("9007199254740993{},", "0".repeat(800)),
                "0]",
            ),
        ),
        ("escapes", repeated("\"", &|_| "\\ud83d".to_owned(), "\"")),
        (
            "not UTF-8",
            [b"\"".as_slice(), &vec![0xff; LEN], b"\""].concat(),
        ),
        (
            "cut characters",
            [b"\"".as_slice(), &b"\xf0\x9f\x98".repeat(LEN / 3), b"\""].concat(),
        ),
        ("without end", "[".repeat(LEN).into_bytes()),
        ("spaces", " ".repeat(LEN).into_bytes()),
        ("not at the end", format!("[\"{text}\",]").into_bytes()),
    ];
    for (name, body) in &bodies {
        let before = own_ticks();
        let len = json_stringify(body).map_or(0, |text| text.len());
        let took = own_ticks() - before;
        println!("{name}: {} to {len} bytes in {took}0 ms", body.len());
        assert!(took < LIMIT_TICKS, "{name} took {took}0 ms");
        assert!(
            4 * len <= 21 * body.len(),
            "{name}: {len} bytes of {}",
            body.len()
        );
    }
    if tools::has("node", &["--version"]) {
        let mut node = Node::start();
        for (name, body) in bodies {
            assert_agreement(&mut node, name, &[body]);
        }
    }
}

/// Node writes as many levels as we do; beyond, both refuse.
#[test]
fn node_has_a_limit_too() {
    if !tools::has("node", &["--version"]) {
        return;
    }
    let mut node = Node::start();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested =
            |levels| format!("{}0{}", open.repeat(levels), close.repeat(levels)).into_bytes();
        // A little less than the limit: how much stack is left in Node depends on what called JSON.stringify.
        let fits = nested(STRINGIFY_DEPTH_MAX - 100);
        let answers = assert_agreement(
            &mut node,
            "as deep as both can",
            std::slice::from_ref(&fits),
        );
        assert_eq!(answers, [Answer::Text(fits)]);
        let deep = nested(2 * STRINGIFY_DEPTH_MAX);
        assert!(matches!(
            json_stringify(&deep),
            Err(NotJson::TooDeep { .. })
        ));
        assert_eq!(node.ask(&[deep]), [Answer::TooDeep]);
    }
}

#[test]
fn a_failing_document_is_made_small() {
    let failing = |documents: &[Vec<u8>]| {
        documents.iter().position(|document| {
            document.windows(3).any(|piece| piece == b"\"1\"") && document.contains(&b'x')
        })
    };
    let found = shrunk(br#"{"a":[1,2,3],"1":{"b":"text"}}"#.to_vec(), failing);
    assert_eq!(found.escape_ascii().to_string(), "\\\"1\\\"x");
}
