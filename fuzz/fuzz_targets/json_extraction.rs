//! A key expression and a body, with a line break between them: never a panic, and never an empty value.

#![no_main]

use hookgate::extract::{Field, Parts};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let break_at = input.iter().position(|byte| *byte == b'\n');
    let (written, body) = break_at.map_or((input, input), |at| (&input[..at], &input[at + 1..]));
    let headers = HeaderMap::new();
    let parts = Parts {
        members: None,
        headers: &headers,
        query: None,
        body,
    };
    let written = std::str::from_utf8(written).unwrap_or("json:/id");
    for field in [written, "json:/a/b", "json:/a/0"] {
        if let Ok(field) = field.parse::<Field>() {
            assert_ne!(
                field.bytes(parts).as_deref(),
                Some(&b""[..]),
                "empty is absent"
            );
        }
    }
});
