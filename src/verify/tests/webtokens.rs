//! JSON Web Tokens: the algorithm is the configured one, and what a token claims is what came.

use super::*;
use crate::verify::filters::{decode, encode};
use crate::verify::mac::Mac;
use serde_json::{Value, json};

const BODY: &str = r#"{"id":1}"#;

fn jwt(hash: Hash) -> Jwt {
    let claim =
        |name: &str, template: &str| (name.to_owned(), template.parse().expect("a template"));
    Jwt {
        field: field("header:x-jwt"),
        prefix: "Bearer ".to_owned(),
        hash,
        key: KeyForm::Text,
        claims: vec![claim("sha256", "{body|sha256|hex}"), claim("iss", "vendör")],
        tolerance: Duration::from_mins(1),
    }
}

fn door() -> Door {
    let verify = Verify::Schemes(vec![scheme(Proof::Jwt(jwt(Hash::Sha256)))]);
    Door::new(&verify, &secrets(&["old", "key"]))
}

fn part(value: impl AsRef<[u8]>) -> String {
    encode(Encoding::Base64Url, value.as_ref())
}

/// A token with this header and payload, signed in this hash.
fn signed(hash: Hash, key: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let signed = format!("{}.{}", part(header), part(payload));
    let mut mac = Mac::new(hash, key.as_bytes());
    mac.update(signed.as_bytes());
    format!("{signed}.{}", part(mac.finish().as_bytes()))
}

fn claims() -> Value {
    use sha2::Digest;
    let hash = hex::encode(sha2::Sha256::digest(BODY));
    json!({ "sha256": hash, "iss": "vendör" })
}

/// A request with a token of these claims.
fn with(claims: &Value) -> Outgoing {
    let token = signed(
        Hash::Sha256,
        "key",
        r#"{"alg":"HS256","typ":"JWT"}"#,
        claims.to_string(),
    );
    carrying(&token)
}

fn carrying(token: &str) -> Outgoing {
    post(BODY).with("x-jwt", format!("Bearer {token}"))
}

/// The claims and one more, or another.
fn and(name: &str, value: Value) -> Outgoing {
    let mut claims = claims();
    claims[name] = value;
    with(&claims)
}

fn without(name: &str) -> Outgoing {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    with(&claims)
}

#[test]
fn claims_are_what_came() {
    table(
        &door(),
        [
            ("right", with(&claims()), s(2)),
            ("another body", with(&claims()).body("{}"), BAD),
            ("another issuer", and("iss", "vendor".into()), BAD),
            ("no issuer", without("iss"), BAD),
            ("no hash", without("sha256"), BAD),
            ("null", and("iss", Value::Null), BAD),
            ("a list", and("iss", json!(["vendör"])), BAD),
            ("more claims", and("sub", json!({ "a": 1 })), s(2)),
        ],
    );
}

#[test]
fn the_algorithm_is_the_configured_one() {
    let payload = claims().to_string();
    let sign = |header: &str| carrying(&signed(Hash::Sha256, "key", header, &payload));
    let unsigned = |header: &str, signature: &str| {
        carrying(&format!("{}.{}.{signature}", part(header), part(&payload)))
    };
    let none = r#"{"alg":"none"}"#;
    table(
        &door(),
        [
            ("HS256", sign(r#"{"alg":"HS256"}"#), s(2)),
            ("none, signed", sign(none), BAD),
            ("none, unsigned", unsigned(none, ""), BAD),
            ("nOnE", unsigned(r#"{"alg":"nOnE"}"#, ""), BAD),
            ("no signature", unsigned(r#"{"alg":"HS256"}"#, ""), BAD),
            ("hs256", sign(r#"{"alg":"hs256"}"#), BAD),
            ("HS512 said", sign(r#"{"alg":"HS512"}"#), BAD),
            ("RS256", sign(r#"{"alg":"RS256"}"#), BAD),
            ("no alg", sign("{}"), BAD),
            ("alg is a list", sign(r#"{"alg":["HS256"]}"#), BAD),
            (
                "crit",
                sign(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#),
                BAD,
            ),
            ("empty crit", sign(r#"{"alg":"HS256","crit":[]}"#), BAD),
            ("b64", sign(r#"{"alg":"HS256","b64":false}"#), BAD),
            ("alg twice", sign(r#"{"alg":"HS256","alg":"none"}"#), BAD),
            ("the header is no object", sign(r#"["alg","HS256"]"#), BAD),
            ("the header is no JSON", sign("alg"), BAD),
            (
                "HS512 made",
                carrying(&signed(Hash::Sha512, "key", r#"{"alg":"HS512"}"#, &payload)),
                BAD,
            ),
            (
                "HS512 made, HS256 said",
                carrying(&signed(Hash::Sha512, "key", r#"{"alg":"HS256"}"#, &payload)),
                BAD,
            ),
            (
                "another key",
                carrying(&signed(Hash::Sha256, "kez", r#"{"alg":"HS256"}"#, &payload)),
                BAD,
            ),
        ],
    );
    for (hash, name) in [(Hash::Sha384, "HS384"), (Hash::Sha512, "HS512")] {
        let verify = Verify::Schemes(vec![scheme(Proof::Jwt(jwt(hash)))]);
        let door = Door::new(&verify, &secrets(&["key"]));
        let header = format!(r#"{{"alg":"{name}"}}"#);
        assert_eq!(
            door.judge(&carrying(&signed(hash, "key", &header, &payload))),
            s(1)
        );
        assert_eq!(
            door.judge(&carrying(&signed(Hash::Sha256, "key", &header, &payload))),
            BAD
        );
        assert_eq!(door.judge(&door.sign(&post(BODY))), s(1), "{name}");
    }
}

#[test]
fn a_token_has_three_parts_in_base64url() {
    let right = with(&claims());
    let text = right.text("x-jwt");
    let token = text.strip_prefix("Bearer ").expect("the prefix");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let cases = [
        ("as it is", token.to_owned(), s(2)),
        ("padded", format!("{token}="), s(2)),
        ("four parts", format!("{token}."), BAD),
        ("four full parts", format!("{token}.{signature}"), BAD),
        ("two parts", signed.to_owned(), BAD),
        ("a part empty", format!(".{token}"), BAD),
        ("cut", token[..token.len() - 2].to_owned(), BAD),
        (
            "an alphabet of others",
            format!("{signed}.{}", "+".repeat(43)),
            BAD,
        ),
        ("a space", format!(" {token}"), BAD),
        ("too long", format!("{}{token}", "a".repeat(16 << 10)), BAD),
        ("nothing", String::new(), BAD),
    ];
    for (name, token, expected) in cases {
        assert_eq!(door().judge(&carrying(&token)), expected, "{name}");
    }
    let bare = right.clone().but("x-jwt", token);
    assert_eq!(door().judge(&bare), BAD, "without its prefix");
    assert_eq!(
        door().judge(&right.clone().with("x-jwt", &text)),
        BAD,
        "twice"
    );
    assert_eq!(door().judge(&right.without("x-jwt")), MISSING);
    let deep = signed_deep();
    assert_eq!(door().judge(&carrying(&deep)), BAD, "nested beyond reason");
    assert!(decode(Encoding::Base64Url, signature.as_bytes()).is_some());
}

fn signed_deep() -> String {
    let payload = format!("{{\"a\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
    signed(Hash::Sha256, "key", r#"{"alg":"HS256"}"#, payload)
}

/// The tolerance is a minute; `exp` is the first moment that is too late (RFC 7519 4.1.4).
#[test]
fn a_token_has_its_time() {
    let now = NOW_MS / 1000;
    let cases = [
        ("exp", json!(now + 300), s(2)),
        ("exp", json!(now - 59), s(2)),
        ("exp", json!(now - 60), STALE),
        ("exp", json!(now - 3600), STALE),
        (
            "exp",
            json!(f64::from(u32::try_from(now).expect("until 2106")) - 59.5),
            s(2),
        ),
        ("exp", json!(-1), STALE),
        ("exp", json!(NOW_MS), STALE),
        ("exp", json!(1e300), STALE),
        ("exp", json!("soon"), STALE),
        ("exp", json!((now + 300).to_string()), STALE),
        ("exp", Value::Null, STALE),
        ("nbf", json!(now), s(2)),
        ("nbf", json!(now + 60), s(2)),
        ("nbf", json!(now + 61), STALE),
        ("nbf", json!(-1), s(2)),
        ("nbf", json!([]), STALE),
        ("iat", json!(now + 3600), s(2)),
    ];
    for (name, value, expected) in cases {
        assert_eq!(
            door().judge(&and(name, value.clone())),
            expected,
            "{name} {value}"
        );
    }
    let forged = and("exp", json!(now - 3600)).body("x");
    assert_eq!(
        door().judge(&forged),
        BAD,
        "a time counts only where all else is right"
    );
}

#[test]
fn a_rewritten_body_is_the_one_that_was_claimed() {
    let mut config = jwt(Hash::Sha256);
    config.claims[0].1 = "{json_stringify|sha256|hex}".parse().expect("a template");
    let door = Door::new(
        &Verify::Schemes(vec![scheme(Proof::Jwt(config))]),
        &secrets(&["old", "key"]),
    );
    let sent = with(&claims()).body(r#"{ "id": 1.0 }"#);
    let verified = door.verified(&sent, NOW_MS).expect("right");
    assert_eq!(&verified.body()[..], BODY.as_bytes());
}
