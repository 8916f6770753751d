//! A secret that the vendor brings: before it is there, and once it is.

use super::loaded;
use crate::{
    cli::{
        Failure,
        send::{
            handshake::Asked,
            vendor::{Script, Vendor},
        },
    },
    config::Source,
    http::client::Reply,
};
use http::{HeaderMap, StatusCode};
use std::path::Path;

const FIELD: &str = "x-hook-secret";

fn asana(secret: &str) -> Source {
    loaded(&format!(
        "sources: {{ asana: {{ provider: asana, secret: {secret}, forward: \"http://127.0.0.1/\" }} }}"
    ))
}

fn in_file(file: &Path) -> Source {
    asana(&format!("{{ file: {:?} }}", file.display().to_string()))
}

fn brought(source: &Source) -> String {
    let vendor = Vendor::asking(source, Script::default()).expect("a vendor");
    let asked = Asked::new(&vendor).expect("it can be played");
    let value = &asked.request.headers[FIELD];
    value.to_str().expect("text").to_owned()
}

#[test]
fn without_a_secret_a_handshake_can_be_played_and_an_event_says_why_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = in_file(&dir.path().join("asana-secret"));
    assert!(!brought(&source).is_empty());
    assert_ne!(brought(&source), brought(&source), "made up");
    match Vendor::new(&source, Script::default()) {
        Err(Failure::Failed(why)) => {
            let why = why.to_string();
            for part in [
                "source asana has no secret yet",
                "asana-secret is not there",
                "send asana --handshake",
            ] {
                assert!(why.contains(part), "{why}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_that_is_known_is_brought_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("asana-secret");
    for text in ["brought-before", "brought-before\n", "brought-before\r\n"] {
        std::fs::write(&file, text).expect("writable");
        assert_eq!(brought(&in_file(&file)), "brought-before");
    }
    assert_eq!(brought(&asana("of-the-file")), "of-the-file");
}

#[test]
fn a_refusal_names_the_file_that_may_hold_another_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("asana-secret");
    let complaint = |source: &Source, status: StatusCode| {
        let vendor = Vendor::asking(source, Script::default()).expect("a vendor");
        let reply = Reply {
            status,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            truncated: false,
        };
        let asked = Asked::new(&vendor).expect("it can be played");
        assert!(!asked.is_answered(&reply));
        asked.complaint(&reply)
    };
    let shown = file.display().to_string();
    let source = in_file(&file);
    assert!(complaint(&source, StatusCode::UNAUTHORIZED).contains(&shown));
    assert!(!complaint(&source, StatusCode::SERVICE_UNAVAILABLE).contains(&shown));
    assert!(!complaint(&asana("literal"), StatusCode::UNAUTHORIZED).contains("remove"));
}
