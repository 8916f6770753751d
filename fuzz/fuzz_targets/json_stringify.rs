//! `JSON.stringify` of any body: never a panic, a bounded text, and the text of that text is the same.

#![no_main]

use hookgate::extract::json_stringify;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(text) = json_stringify(body) {
        assert!(
            4 * text.len() <= 21 * body.len(),
            "{} of {}",
            text.len(),
            body.len()
        );
        assert_eq!(
            json_stringify(&text).as_ref(),
            Ok(&text),
            "the text of the text"
        );
    }
});
