//! A request out of a HAR file (HTTP Archive 1.2), as browsers and proxies save their traffic.

use super::capture::{BadCapture, Capture, Oddity, split_target};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_LENGTH};
use serde_json::Value;

/// Whether a file looks like a HAR file and not like a raw message.
pub(super) fn is_har(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii_start().starts_with(b"{")
}

/// The request of this entry, counted from 1; of the first POST where none is named.
pub(super) fn read(bytes: &[u8], entry: Option<usize>) -> Result<Capture, BadCapture> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bad = |why: &str| BadCapture::Har(why.to_owned());
    let har: Value = serde_json::from_slice(bytes)
        .map_err(|error| BadCapture::Har(format!("the file begins like HAR, but: {error}")))?;
    let entries = har
        .pointer("/log/entries")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("the file is JSON, but no HAR file: it has no log.entries"))?;
    let found = match entry {
        Some(number) => entries.get(number.wrapping_sub(1)).ok_or_else(|| {
            BadCapture::Har(format!(
                "no entry {number} in the HAR file; it has {}",
                entries.len()
            ))
        })?,
        None => entries
            .iter()
            .find(|entry| text(entry, "/request/method") == Some("POST"))
            .ok_or_else(|| bad("no entry of the HAR file is a POST; name one with --entry N"))?,
    };
    request(found).ok_or_else(|| bad("the entry of the HAR file has no request that can be read"))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

fn request(entry: &Value) -> Option<Capture> {
    let method: Method = text(entry, "/request/method")?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in entry.pointer("/request/headers")?.as_array()? {
        let (name, value) = (text(line, "/name")?, text(line, "/value")?);
        // HTTP/2 has `:path` and others here.
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) else {
            continue;
        };
        headers.append(name, value);
    }
    let (path, query) = split_target(text(entry, "/request/url")?, &mut headers);
    let body = entry
        .pointer("/request/postData")
        .map_or_else(Bytes::new, |data| body(data).into());
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut oddities = Vec::new();
    match announced {
        Some(announced) if announced > body.len() => oddities.push(Oddity::Cut {
            announced,
            there: body.len(),
        }),
        Some(announced) if announced < body.len() => oddities.push(Oddity::Longer {
            announced,
            whole: body.clone(),
        }),
        _ => {}
    }
    Some(Capture {
        method,
        path,
        query,
        headers,
        body,
        oddities,
    })
}

/// `text`, which may be base64, or the form's `params` where there is none.
fn body(data: &Value) -> Vec<u8> {
    let encoding = text(data, "/encoding").or_else(|| text(data, "/_encoding"));
    match text(data, "/text") {
        Some(text) if encoding == Some("base64") => STANDARD
            .decode(text)
            .unwrap_or_else(|_| text.as_bytes().to_vec()),
        Some(text) => text.as_bytes().to_vec(),
        None => form(data.pointer("/params").and_then(Value::as_array)),
    }
}

/// Names and values as a browser encodes them; they are decoded in the file.
fn form(params: Option<&Vec<Value>>) -> Vec<u8> {
    let pairs = params.into_iter().flatten().filter_map(|param| {
        let value = text(param, "/value").unwrap_or_default();
        Some((text(param, "/name")?.as_bytes(), value.as_bytes()))
    });
    super::bodies::encode_form(pairs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn har(entries: &str) -> String {
        format!(r#"{{"log":{{"version":"1.2","entries":[{entries}]}}}}"#)
    }

    fn entry(method: &str, data: &str) -> String {
        format!(
            r#"{{"request":{{"method":"{method}","url":"https://a.example/in?x=1","headers":
               [{{"name":":path","value":"/in"}},{{"name":"X-A","value":"1"}}]{data}}}}}"#
        )
    }

    #[test]
    fn the_first_post_is_taken_or_the_one_that_is_named() {
        let text = har(&[
            entry("GET", ""),
            entry("POST", r#","postData":{"text":"a"}"#),
            entry("POST", r#","postData":{"text":"b"}"#),
        ]
        .join(","));
        let body = |entry| read(text.as_bytes(), entry).expect("a request").body;
        assert_eq!(body(None), "a");
        assert_eq!(body(Some(3)), "b");
        assert_eq!(body(Some(1)), "");
        let capture = read(text.as_bytes(), None).expect("a request");
        assert_eq!(capture.path, "/in");
        assert_eq!(capture.query.as_deref(), Some("x=1"));
        assert_eq!(capture.headers["host"], "a.example");
        assert_eq!(capture.headers["x-a"], "1");
        for (entry, why) in [
            (Some(0), "no entry 0 in the HAR file; it has 3"),
            (Some(4), "no entry 4 in the HAR file; it has 3"),
        ] {
            let error = read(text.as_bytes(), entry).expect_err("no such entry");
            assert_eq!(error.to_string(), why);
        }
    }

    #[test]
    fn bodies_are_text_base64_or_a_form() {
        let cases = [
            (r#"{"text":"{\"a\":\"é\"}"}"#, "{\"a\":\"é\"}"),
            (r#"{"text":"Ym9keQ==","encoding":"base64"}"#, "body"),
            (r#"{"text":"Ym9keQ=="}"#, "Ym9keQ=="),
            (
                r#"{"params":[{"name":"a b","value":"1&2"},{"name":"c"}]}"#,
                "a+b=1%262&c=",
            ),
            (r#"{"text":"","params":[{"name":"a"}]}"#, ""),
        ];
        for (data, expected) in cases {
            let text = har(&entry("POST", &format!(r#","postData":{data}"#)));
            let capture = read(text.as_bytes(), None).expect("a request");
            assert_eq!(capture.body, expected, "{data}");
        }
    }

    #[test]
    fn what_is_no_har_file_says_so() {
        for (text, why) in [
            ("{", "the file begins like HAR, but: "),
            (
                "{}",
                "the file is JSON, but no HAR file: it has no log.entries",
            ),
            (
                r#"{"log":{"entries":[]}}"#,
                "no entry of the HAR file is a POST; name one with --entry N",
            ),
            (
                r#"{"log":{"entries":[{"request":{"method":"POST"}}]}}"#,
                "the entry of the HAR file has no request that can be read",
            ),
        ] {
            let error = read(text.as_bytes(), None).expect_err("no HAR").to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
