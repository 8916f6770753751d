//! What the language of schemes can say, each value asserted.

use super::{accepted, field, proof, secs, signature, token};
use crate::config::{
    Sample, Source, Status,
    handshake::{HandshakeBody, HandshakeValue},
    template::Template,
    verify::{
        Algorithm, Encoding, Expected, Hash, HeaderPiece, Jwt, KeyForm, Prefix, Proof, Subject,
        TimeFormat, TimePlace, TokenForm,
    },
};

/// A source with these keys beside `forward`, in flow style.
fn source(keys: &str) -> Source {
    let (config, _) = accepted(&format!(
        "sources: {{ a: {{ forward: 'http://a/', {keys} }} }}"
    ));
    config.sources.into_iter().next().expect("one source")
}

/// A source with this one scheme.
fn scheme(verify: &str) -> Source {
    source(&format!("verify: {verify}, secret: a-b"))
}

fn template(text: &str) -> Template {
    text.parse().expect("a template")
}

fn jwt(source: &Source) -> &Jwt {
    match proof(source) {
        Proof::Jwt(jwt) => jwt,
        other => panic!("no JWT: {other:?}"),
    }
}

#[test]
fn a_signature_has_these_defaults() {
    let source = scheme("{ hmac: { header: A } }");
    let hmac = signature(&source);
    assert_eq!(hmac.algorithm, Algorithm::Hmac(Hash::Sha256));
    assert_eq!(hmac.fields, [field("header:A")]);
    assert!(!hmac.repeated && hmac.split.is_none() && hmac.key_id.is_none());
    assert!(hmac.timestamp.is_none() && hmac.named_headers.is_none());
    assert_eq!(hmac.prefix, Prefix::Text(String::new()));
    assert_eq!(hmac.encoding, Encoding::Hex);
    assert_eq!(hmac.key, KeyForm::Text);
    assert_eq!(hmac.signed, template("{body}"));
    assert!(source.verify.schemes()[0].when.is_empty());
    assert!(source.verify.schemes()[0].secrets.is_none());
    assert_eq!((source.status, source.public_url), (None, None));
    assert!(source.handshakes.is_empty() && source.params.is_empty() && source.sample.is_none());
}

#[test]
fn a_file_with_all_of_the_language_loads() {
    let (config, warnings) = accepted(include_str!("language.yaml"));
    assert_eq!(config.limits.signatures, 9);
    let [undated, off] = warnings.as_slice() else {
        panic!("not two: {warnings:?}");
    };
    assert!(
        off.ends_with("handshake 1 is off until params.token is set"),
        "{off}"
    );
    assert!(
        undated.contains("sources.signed.verify[1]: another scheme"),
        "{undated}"
    );
}

#[test]
fn every_setting_of_a_signature_is_read() {
    let source = source(
        "public_url: 'https://A.example/x', params: { id: '7' }, secret: { id: k, value: a-b }, verify: { hash: { \
         header: [A, B], repeated: true, split: ';', prefix: 'h={key_id}/', algorithm: sha384, encoding: base64url, \
         key: 'without_first:-', key_id: 'query:key', covers_body: false, \
         signed: '{secret}{param:id}{url}{timestamp}{named_headers}{named_headers_list}', \
         timestamp: { element: 'ts=', format: rfc3339, tolerance: { past: 2m, future: null } }, \
         named_headers: { names: { element: 'n=' }, split: ' ', each: '{name}={value};', join: '' } } }",
    );
    let hash = signature(&source);
    assert_eq!(hash.algorithm, Algorithm::Hash(Hash::Sha384));
    assert_eq!(hash.fields, [field("header:a"), field("header:b")]);
    assert!(hash.repeated);
    assert_eq!(hash.split.as_deref(), Some(";"));
    assert_eq!(hash.prefix, Prefix::KeyId("h=".to_owned(), "/".to_owned()));
    assert_eq!(hash.encoding, Encoding::Base64Url);
    assert_eq!(hash.key, KeyForm::WithoutFirst("-".to_owned()));
    assert_eq!(hash.key_id, Some(field("query:key")));
    let timestamp = hash.timestamp.as_ref().expect("a timestamp");
    assert_eq!(timestamp.place, TimePlace::Element("ts=".to_owned()));
    assert_eq!(timestamp.format, TimeFormat::Rfc3339);
    assert_eq!((timestamp.past, timestamp.future), (Some(secs(120)), None));
    let named = hash.named_headers.as_ref().expect("named headers");
    assert_eq!(named.place, TimePlace::Element("n=".to_owned()));
    assert_eq!((&*named.split, &*named.join), (" ", ""));
    let text = |text: &str| HeaderPiece::Literal(text.to_owned());
    assert_eq!(
        named.each,
        [HeaderPiece::Name, text("="), HeaderPiece::Value, text(";")]
    );
    assert_eq!(source.public_url.as_deref(), Some("https://A.example/x"));
    assert_eq!(&*source.params[0].0, "id");
    assert_eq!(source.params[0].1.expose(), b"7");
    assert_eq!(source.secrets[0].id.as_deref(), Some("k"));
}

#[test]
fn timestamps_are_taken_from_where_they_are_signed() {
    let five = Some(secs(300));
    let cases = [
        (
            "signed: '{timestamp}{body}', timestamp: { header: T }",
            TimePlace::Field(field("header:T")),
            (five, five),
        ),
        (
            "timestamp: { field: 'json:/t', tolerance: 1m }",
            TimePlace::Field(field("json:/t")),
            (Some(secs(60)), Some(secs(60))),
        ),
        (
            "split: ',', signed: '{timestamp}{body}', timestamp: { element: first, tolerance: null }",
            TimePlace::FirstElement,
            (None, None),
        ),
        (
            "signed: '{header:T}{body}', timestamp: { header: T, tolerance: { past: 1m } }",
            TimePlace::Field(field("header:T")),
            (Some(secs(60)), five),
        ),
        // Nothing looks at its age.
        (
            "timestamp: { header: T, tolerance: null }",
            TimePlace::Field(field("header:T")),
            (None, None),
        ),
        // The request's list of signed headers says whether it is signed.
        (
            "signed: '{named_headers}{body}', timestamp: { header: T }, \
             named_headers: { names: 'header:N', split: ',', each: '{value}', join: ',' }",
            TimePlace::Field(field("header:T")),
            (five, five),
        ),
    ];
    for (settings, place, limits) in cases {
        let source = scheme(&format!("{{ hmac: {{ header: A, {settings} }} }}"));
        let timestamp = signature(&source).timestamp.clone().expect("a timestamp");
        assert_eq!(timestamp.place, place, "{settings}");
        assert_eq!((timestamp.past, timestamp.future), limits, "{settings}");
    }
}

/// The public keys are made with openssl.
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPZat8oOMwvOSgR6Uord4ABsx+k6VAm8rMp+tbBI7+R0rJEgRMLvrNneBcz/fUVLsTUSPEZov3EMJmZYyNfTDaQ==";

#[test]
fn kinds_of_signatures_have_their_keys() {
    let hex = "ab".repeat(32);
    let base64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
    let cases: [(&str, &str, Algorithm, KeyForm); 9] = [
        (
            "hmac",
            "key: whsec",
            Algorithm::Hmac(Hash::Sha256),
            KeyForm::Prefixed("whsec_"),
        ),
        (
            "hmac",
            "key: sha1, algorithm: sha1",
            Algorithm::Hmac(Hash::Sha1),
            KeyForm::Sha1,
        ),
        (
            "hmac",
            "key: base64, algorithm: sha512",
            Algorithm::Hmac(Hash::Sha512),
            KeyForm::Encoded(Encoding::Base64),
        ),
        (
            "hmac",
            "key: base64",
            Algorithm::Hmac(Hash::Sha256),
            KeyForm::Encoded(Encoding::Base64),
        ),
        (
            "ed25519",
            "",
            Algorithm::Ed25519,
            KeyForm::Encoded(Encoding::Hex),
        ),
        (
            "ed25519",
            "key: hex",
            Algorithm::Ed25519,
            KeyForm::Encoded(Encoding::Hex),
        ),
        (
            "ed25519",
            "key: base64",
            Algorithm::Ed25519,
            KeyForm::Encoded(Encoding::Base64),
        ),
        (
            "ed25519",
            "key: whpk",
            Algorithm::Ed25519,
            KeyForm::Prefixed("whpk_"),
        ),
        ("ecdsa", "", Algorithm::EcdsaP256, KeyForm::PublicKey),
    ];
    for (kind, settings, algorithm, key) in cases {
        let secret = match (kind, &key) {
            ("ecdsa", _) => P256,
            ("ed25519", KeyForm::Encoded(Encoding::Hex)) => &hex,
            _ => base64,
        };
        let source = source(&format!(
            "verify: {{ {kind}: {{ header: A, {settings} }} }}, secret: '{secret}'"
        ));
        let signature = signature(&source);
        assert_eq!(
            (signature.algorithm, &signature.key),
            (algorithm, &key),
            "{kind} {settings}"
        );
    }
}

#[test]
fn tokens_and_json_web_tokens_are_read() {
    let words = [
        ("bearer", TokenForm::Scheme, "Bearer "),
        ("basic", TokenForm::Basic, "Basic "),
    ];
    for (word, form, prefix) in words {
        for verify in [
            word.to_owned(),
            format!("{{ {word}: , when: {{ method: POST }} }}"),
        ] {
            let source = source(&format!("verify: {verify}, secret: 'u:p'"));
            let token = token(&source);
            assert_eq!((token.form, &*token.prefix), (form, prefix), "{verify}");
            assert_eq!(token.field, field("header:authorization"));
        }
    }
    let in_body = scheme("{ token: { field: 'json:/secret_key', prefix: 'k ' } }");
    let in_body = token(&in_body);
    assert_eq!(in_body.field, field("json:/secret_key"));
    assert_eq!((in_body.form, &*in_body.prefix), (TokenForm::Plain, "k "));

    let plain = scheme("{ jwt: { header: J, claims: { h: '{body|sha256|hex}' } } }");
    let plain = jwt(&plain);
    assert_eq!((plain.hash, &plain.key), (Hash::Sha256, &KeyForm::Text));
    assert_eq!((&*plain.prefix, plain.tolerance), ("", secs(60)));
    let full = scheme(
        "{ jwt: { field: 'query:jwt', prefix: 'Bearer ', algorithm: HS512, key: sha1, tolerance: 0s, \
         covers_body: false, claims: { iss: me } } }",
    );
    let full = jwt(&full);
    assert_eq!((full.hash, &full.key), (Hash::Sha512, &KeyForm::Sha1));
    assert_eq!(full.field, field("query:jwt"));
    assert_eq!((&*full.prefix, full.tolerance), ("Bearer ", secs(0)));
    assert_eq!(full.claims, [("iss".to_owned(), template("me"))]);
}

#[test]
fn schemes_of_a_list_have_conditions_and_secrets() {
    let source = source(
        "secrets: [{ name: new, value: x }, { name: old, value: y }], verify: [\
         { hmac: { header: A }, when: { method: POST, 'header:V': '2', 'query:b': '*', 'json:/c': null, \
         'query:h': '{body|sha256|hex}' }, secrets: [new] }, { token: { header: T }, secrets: [old] }]",
    );
    let [new, old] = source.verify.schemes() else {
        panic!("not two");
    };
    let names = |names: &Option<Vec<std::sync::Arc<str>>>| -> Vec<String> {
        names.iter().flatten().map(ToString::to_string).collect()
    };
    assert_eq!(names(&new.secrets), ["new"]);
    assert_eq!(names(&old.secrets), ["old"]);
    assert!(matches!(old.proof, Proof::Token(_)) && old.when.is_empty());
    let at = |index: usize| &new.when[index];
    assert_eq!(new.when.len(), 5);
    assert_eq!(at(0).subject, Subject::Method);
    assert_eq!(at(1).subject, Subject::Field(field("header:V")));
    assert!(matches!(&at(0).expected, Expected::Is(is) if *is == template("POST")));
    assert!(matches!(&at(1).expected, Expected::Is(is) if *is == template("2")));
    assert!(matches!(at(2).expected, Expected::Present));
    assert!(matches!(at(3).expected, Expected::Absent));
    assert!(matches!(&at(4).expected, Expected::Is(is) if *is == template("{body|sha256|hex}")));
}

/// A hash of the body in a place that is signed covers the body, so `covers_body` is not needed.
#[test]
fn a_condition_covers_the_body_where_its_place_is_signed() {
    let source = source(
        "public_url: 'https://a/', secret: s, verify: { hmac: { header: A, signed: '{url}' }, \
         when: { 'query:bodySHA256': '{body|sha256|hex}' } }",
    );
    assert!(source.verify.schemes()[0].covers_body());
}

#[test]
fn secrets_have_ids_and_times() {
    let source = source(
        "verify: bearer, secrets: [a, { value: b, id: 'k 1', not_before: 2026-11-01T00:00:00Z, \
         not_after: '2027-01-01T00:00:00+01:00' }]",
    );
    let [always, sometimes] = source.secrets.as_slice() else {
        panic!("not two");
    };
    assert_eq!((always.not_before_ms, always.not_after_ms), (0, u64::MAX));
    assert_eq!(always.id, None);
    assert_eq!(sometimes.id.as_deref(), Some("k 1"));
    assert_eq!(
        (sometimes.not_before_ms, sometimes.not_after_ms),
        (1_793_491_200_000, 1_798_758_000_000)
    );
}

#[test]
fn handshakes_are_read_and_those_without_their_param_are_off() {
    let rules = "[{ when: { method: GET, 'query:t': '{param:token}' }, verified: false, \
         respond: { status: 201, content_type: text/x, body: '{query:c}', headers: { X-A: '{method}' } } }, \
         { when: { 'json:/e': ask }, respond: { json: { p: '{json:/p}', q: '{json:/p|hmac_sha256|hex}' } } }, \
         { when: { method: HEAD } }]";
    let text = |param: &str| {
        format!(
            "sources: {{ a: {{ verify: {{ hmac: {{ header: A }} }}, secret: s, forward: 'http://a/', \
             params: {{ token: {param} }}, handshake: {rules} }} }}"
        )
    };
    let (config, warnings) = accepted(&text("t"));
    assert_eq!(warnings, [""; 0]);
    let [get, ask, head] = config.sources[0].handshakes.as_slice() else {
        panic!("not three");
    };
    assert!(!get.verified && ask.verified && head.verified);
    assert_eq!(get.when.len(), 2);
    assert_eq!(
        (get.answer.status.as_u16(), &get.answer.content_type),
        (201, &Some("text/x".parse().expect("a value")))
    );
    assert!(
        matches!(&get.answer.body, HandshakeBody::Text(text) if *text == template("{query:c}"))
    );
    assert_eq!(
        get.answer.headers,
        [("x-a".parse().expect("a name"), template("{method}"))]
    );
    let json = http::HeaderValue::from_static("application/json");
    assert_eq!(ask.answer.content_type, Some(json));
    let entries = [
        ("p".to_owned(), HandshakeValue::Text(template("{json:/p}"))),
        (
            "q".to_owned(),
            HandshakeValue::Text(template("{json:/p|hmac_sha256|hex}")),
        ),
    ];
    assert!(matches!(&ask.answer.body, HandshakeBody::Json(json) if *json == entries));
    assert_eq!(head.answer.status, 200);
    assert_eq!(head.answer.content_type, None, "of an empty body");
    assert!(matches!(&head.answer.body, HandshakeBody::Text(text) if text.0.is_empty()));

    let (config, warnings) = accepted(&text("null"));
    assert_eq!(config.sources[0].handshakes.len(), 2);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with("handshake 1 is off until params.token is set"),
        "{warnings:?}"
    );
}

#[test]
fn a_sample_is_kept_as_it_is_written() {
    let source = source(
        "status: unverified, sender_retries: 72h, verify: bearer, secret: s, \
         sample: { headers: { X-Id: '<uuid>' }, content_type: text/x, query: 'a=<unix>', body: '{\"n\":<number>}' }",
    );
    let Some(Sample {
        headers,
        content_type,
        query,
        body,
    }) = &source.sample
    else {
        panic!("no sample");
    };
    assert_eq!(
        *headers,
        [("x-id".parse().expect("a name"), "<uuid>".to_owned())]
    );
    assert_eq!(content_type, "text/x");
    assert_eq!((&**query, &**body), ("a=<unix>", "{\"n\":<number>}"));
    assert_eq!(source.status, Some(Status::Unverified));
    assert_eq!(source.sender_retries, Some(secs(259_200)));
    assert_eq!(source.dedupe.window, secs(259_200));
}
