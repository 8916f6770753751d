//! A captured request that comes again in another spelling is known by what was signed.

use super::keys::{public, with_pair};
use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What is remembered of a request that passes.
fn signed(door: &Door, request: &Outgoing) -> Vec<[u8; 32]> {
    door.verified(request, NOW_MS)
        .expect("right")
        .signed()
        .to_vec()
}

#[test]
fn a_signature_is_what_it_signs_however_it_is_written() {
    let keys = secrets(&["key", "old"]);
    let door = Door::new(&by(list()), &keys);
    let (new, old) = (tag("key", "1769855400.b"), tag("old", "1769855400.b"));
    let sent = |value: String| post("b").with("x-signature", value);
    let first = signed(&door, &sent(format!("t=1769855400,v1={new}")));
    assert_eq!(first.len(), 1);
    for value in [
        format!("t=1769855400,v1={}", new.to_uppercase()),
        format!("v1={new},t=1769855400"),
        format!("t=1769855400,v1={old}"),
        format!("t=1769855400,v1={old},v1={new},x=y"),
    ] {
        assert_eq!(signed(&door, &sent(value.clone())), first, "{value}");
    }
    let other = format!("t=1769855401,v1={}", tag("key", "1769855401.b"));
    assert_ne!(
        signed(&door, &sent(other)),
        first,
        "another time is another request"
    );

    let base64 = Signature {
        encoding: Encoding::Base64Url,
        ..plain()
    };
    let door = Door::new(&by(base64), &keys);
    let padded = filters::encode(
        Encoding::Base64Url,
        &hex::decode(tag("key", "b")).expect("hex"),
    );
    let without = signed(&door, &sent(padded.clone()));
    assert_eq!(signed(&door, &sent(format!("{padded}="))), without);
}

#[test]
fn nothing_is_remembered_unasked() {
    let around = Surroundings {
        remember: false,
        ..around()
    };
    let door = Door::within(&by(plain()), &secrets(&["key"]), &around);
    assert!(signed(&door, &post("b").with("x-signature", tag("key", "b"))).is_empty());
}

/// The order of P-256's group (FIPS 186-5, D.1.2.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other right signature of ECDSA: (r, n - s).
fn other(signature: &[u8]) -> Vec<u8> {
    let r_end = 4 + usize::from(signature[3]);
    let s = &signature[r_end + 2..];
    let s = if s[0] == 0 { &s[1..] } else { s };
    let mut full = [0; 32];
    full[32 - s.len()..].copy_from_slice(s);
    let mut borrow = 0;
    let mut negated = [0; 32];
    for place in (0..32).rev() {
        let difference = 0x100 + u16::from(ORDER[place]) - u16::from(full[place]) - borrow;
        negated[place] = (difference & 0xff) as u8;
        borrow = u16::from(difference < 0x100);
    }
    let mut number: Vec<u8> = negated
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    if number[0] >= 0x80 {
        number.insert(0, 0);
    }
    let length = |bytes: usize| u8::try_from(bytes).expect("short");
    let body = [&signature[2..r_end], &[2, length(number.len())], &number].concat();
    [&[0x30, length(body.len())], &body[..]].concat()
}

#[test]
fn ecdsa_has_two_signatures_and_one_identity() {
    let door = with_pair(&public(Algorithm::EcdsaP256));
    let sent = door.sign(&post("order"));
    let first = STANDARD.decode(sent.text("x-signature")).expect("base64");
    let second = other(&first);
    assert_ne!(first, second);
    let again = sent.clone().but("x-signature", STANDARD.encode(second));
    assert_eq!(door.judge(&again), s(1), "the other one is right as well");
    assert_eq!(signed(&door, &again), signed(&door, &sent));
    // DER has one spelling: a number with a zero before it, or a length in two bytes, is none.
    let mut long = first.clone();
    long.splice(1..2, [0x81, first[1]]);
    let mut padded = first.clone();
    padded[1] += 1;
    padded[3] += 1;
    padded.insert(4, 0);
    for spelled in [long, padded, [&first[..], b"\0"].concat()] {
        let sent = sent.clone().but("x-signature", STANDARD.encode(spelled));
        assert_eq!(door.judge(&sent), BAD);
    }
}

/// A request that is signed in two schemes is known by each of them, so that leaving one out makes no other request.
#[test]
fn a_stripped_signature_makes_no_other_request() {
    let dated = Signature {
        fields: vec![field("header:x-dated")],
        timestamp: Some(time_in("header:x-time")),
        ..signing("{timestamp}.{body}")
    };
    let verify = Verify::Schemes(vec![
        scheme(Proof::Signature(plain())),
        scheme(Proof::Signature(dated)),
    ]);
    let door = Door::new(&verify, &secrets(&["key"]));
    let full = post("b")
        .with("x-signature", tag("key", "b"))
        .with("x-time", "1769855400")
        .with("x-dated", tag("key", "1769855400.b"));
    let known = signed(&door, &full);
    assert_eq!(known.len(), 2);
    for stripped in ["x-signature", "x-dated"] {
        let again = signed(&door, &full.clone().without(stripped));
        assert_eq!(again.len(), 1, "{stripped}");
        assert!(known.contains(&again[0]), "{stripped}");
    }
    let stale = door
        .verified(&full, NOW_MS + 300_001)
        .expect("the first still passes");
    assert_eq!(stale.signed().len(), 1);
}

/// What is forwarded and remembered is the text that was signed, whatever bytes it came in.
#[test]
fn a_rewritten_body_is_the_text_that_was_signed() {
    let door = Door::new(&by(signing("{json_stringify}")), &secrets(&["key"]));
    let text = r#"{"a":199,"b":"é"}"#;
    let right = tag("key", text);
    let sent = |body: &str| post(body).with("x-signature", &right);
    let first = signed(&door, &sent(text));
    for body in [
        text,
        r#"{ "a" : 199.00, "b" : "\u00e9" }"#,
        r#"{"a":1,"a":199,"b":"é"}"#,
    ] {
        let verified = door.verified(&sent(body), NOW_MS).expect("right");
        assert_eq!(&verified.body()[..], text.as_bytes(), "{body}");
        assert_eq!(verified.signed(), first, "{body}");
    }
    for body in [r#"{"a":199,"b":"e"}"#, r#"{"b":"é","a":199}"#, "", "{"] {
        assert_eq!(door.judge(&sent(body)), BAD, "{body}");
    }
    // Beside a scheme that signs the bytes, each forwards what it has proven.
    let verify = Verify::Schemes(vec![
        scheme(Proof::Signature(plain())),
        scheme(Proof::Signature(signing("{json_stringify}"))),
    ]);
    let door = Door::new(&verify, &secrets(&["key"]));
    let spaced = r#"{"a": 1}"#;
    for (signed, forwarded) in [(spaced, spaced), (r#"{"a":1}"#, r#"{"a":1}"#)] {
        let sent = post(spaced).with("x-signature", tag("key", signed));
        let verified = door.verified(&sent, NOW_MS).expect("right");
        assert_eq!(&verified.body()[..], forwarded.as_bytes());
    }
}
