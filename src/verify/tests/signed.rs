//! What is signed: every value and filter of a template, with what is missing or there twice.

use super::*;

/// What the sender signs for `template` is `text`: with that the request passes, and with nothing else.
fn check(template: &str, request: &Outgoing, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let door = Door::new(&by(signing(template)), &secrets(&["key"]));
    let signed = request.clone().with("x-signature", tag("key", text));
    let shown = String::from_utf8_lossy(text);
    assert_eq!(door.judge(&signed), s(1), "{template} {shown}");
    let other = request
        .clone()
        .with("x-signature", tag("key", [text, b"x"].concat()));
    assert_eq!(door.judge(&other), BAD, "{template} {shown}, another text");
}

/// No text is made of such a request, so no signature passes.
fn refused(template: &str, request: &Outgoing, why: &Result<String, Refused>) {
    for text in ["", "b", "{}"] {
        let signed = request.clone().with("x-signature", tag("key", text));
        assert_eq!(
            judge(&signing(template), &secrets(&["key"]), &signed),
            *why,
            "{template} {request:?}"
        );
    }
}

#[test]
fn values_are_taken_as_they_were_sent() {
    let body = r#"{"a":{"b":"c\n"},"n":1.0}"#;
    let sent = post(body)
        .query("q=1%202&e=&r=%20+")
        .with("x-id", "  7 ")
        .with("x-obs", b"\xff\xfe");
    let cases: [(&str, &[u8]); 19] = [
        ("{body}", body.as_bytes()),
        (
            "v0:{body}:{body}",
            &[b"v0:", body.as_bytes(), b":", body.as_bytes()].concat(),
        ),
        ("{method}", b"POST"),
        ("{header:X-ID}", b"  7 "),
        ("{header:x-obs}", b"\xff\xfe"),
        ("{query:q}", b"1 2"),
        ("{query:r}", b"  "),
        ("{query}", b"q=1%202&e=&r=%20+"),
        ("{query|sorted}", b"e=&q=1+2&r=++"),
        ("{json:/a/b}", b"c\n"),
        ("{json:/n}", b"1.0"),
        ("{json:/a}", br#"{"b":"c\n"}"#),
        (
            "{url}",
            b"https://hooks.example.com/hooks/erp?q=1%202&e=&r=%20+",
        ),
        (
            "{public_url}{path}",
            b"https://hooks.example.com/hooks/erp/hooks/erp",
        ),
        ("{param:app}.{param:app|upper}", b"app-1.APP-1"),
        ("{header:x-none|optional}|{query:e|optional}", b"|"),
        (
            "{json:/none|optional|sha256|hex}",
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("}{method|lower}", b"}post"),
        ("{json_stringify}", br#"{"a":{"b":"c\n"},"n":1}"#),
    ];
    for (template, text) in cases {
        check(template, &sent, text);
    }
    check("{url}", &post(""), URL);
    check("{url}", &post("").query(""), format!("{URL}?"));
    check("{query}{query|sorted}", &post(""), "");
    check("{form:a}", &form("b=1&a=%C3%A9+x"), "é x");
}

#[test]
fn what_is_missing_or_there_twice_is_refused() {
    let json = post(r#"{"a":null,"e":"","t":"1","t":"2"}"#);
    refused("{header:x-id}", &json, &MISSING);
    refused(
        "{header:x-id}",
        &post("").with("x-id", "1").with("x-id", "1"),
        &BAD,
    );
    refused("{header:x-id}", &post("").with("x-id", ""), &BAD);
    refused("{query:q}", &post(""), &BAD);
    refused("{query:q}", &post("").query("q=b&q=b"), &BAD);
    refused("{query:q}", &post("").query("q"), &BAD);
    refused("{json:/a}", &json, &BAD);
    refused("{json:/e}", &json, &BAD);
    refused("{json:/none}", &json, &BAD);
    refused("{json:/t}", &post(r#"{"t":"b"} x"#), &BAD);
    refused("{form:t}", &form("t=b&t=b"), &BAD);
    refused("{form:t}", &post("t=b"), &BAD);
    refused("{form|sorted}", &post("t=b"), &BAD);
    refused("{form|php_serialized:x}", &post("t=b"), &BAD);
    refused("{json_stringify}", &post("{"), &BAD);
    // What stands there twice, or is no text, is not absent: an app would take some of it.
    for (template, request) in [
        (
            "{header:x-id|optional}{body}",
            post("b").with("x-id", "1").with("x-id", "2"),
        ),
        ("{query:q|optional}{body}", post("b").query("q=1&q=2")),
        ("{query:q|optional}{body}", post("b").query("q=&q=2")),
        ("{form:t|optional}b", form("t=1&t=2")),
        ("{json:/t|optional}b", post(r#"{"t":"\ud800"}"#)),
    ] {
        refused(template, &request, &BAD);
    }
    check("{header:x-id|optional}b", &post("b").with("x-id", ""), "b");
    check("{json:/a|optional}{json:/e|optional}b", &json, "b");
    // As JSON.parse has it: the last of one name.
    check("{json:/t}", &json, "2");
}

#[test]
fn filters_make_what_their_names_say() {
    let sent = post("The quick brown fox jumps over the lazy dog");
    let sha256 = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";
    let cases = [
        // The digests are the well-known ones of this sentence.
        ("{body|sha256|hex}", sha256.to_owned()),
        ("{body|sha256|hex|upper}", sha256.to_uppercase()),
        (
            "{body|sha256|base64}",
            "16j7swfXgJRpypq8sAguT41WUeRtPNt2LQLQvzfJ5ZI=".to_owned(),
        ),
        (
            "{body|sha256|base64url}",
            "16j7swfXgJRpypq8sAguT41WUeRtPNt2LQLQvzfJ5ZI".to_owned(),
        ),
        (
            "{body|sha1|hex}",
            "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12".to_owned(),
        ),
        ("{body|crc32}", "1095738169".to_owned()),
        (
            "{body|upper}",
            "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG".to_owned(),
        ),
    ];
    for (template, text) in cases {
        check(template, &sent, text);
    }
    check("{body|sha256}", &sent, hex::decode(sha256).expect("hex"));
    check("{body|upper|lower}", &post("Aé"), "aé");
    let url = post("").query("a=%3a%2F%2f%20%3");
    check("{url|unescape::/}", &url, format!("{URL}?a=://%20%3"));
    check(
        "{query|unescape:a}",
        &post("").query("%61%41%2561"),
        "a%41%2561",
    );
    check("{query:h|hex_digits}", &post("").query("h=0aF"), "0aF");
    let long = "f".repeat(65);
    for value in ["0ag", "", "0 1", &*long] {
        refused(
            "{query:h|hex_digits}",
            &post("").query(&format!("h={value}")),
            &BAD,
        );
    }
}

#[test]
fn forms_are_written_as_their_vendors_do() {
    let sent = form("b=2&a=x+y&a=w&b=2&c=&%C3%A9=%26");
    check("{form|sorted}", &sent, "awax yb2cé&");
    check(
        "{url}{form|sorted}",
        &sent.clone().query("q=1"),
        format!("{URL}?q=1awax yb2cé&"),
    );
    check("{form|sorted}", &form(""), "");
    let charset = form("").but(
        "content-type",
        "Application/X-WWW-Form-URLEncoded; charset=utf-8",
    );
    check("{form|sorted}", &charset.body("a=1"), "a1");
    // PHP: serialize(['a' => 'é', 'c' => '']) of the fields without `sig`.
    let php = form("c=&sig=abc&a=%C3%A9");
    check(
        "{form|php_serialized:sig}",
        &php,
        r#"a:2:{s:1:"a";s:2:"é";s:1:"c";s:0:"";}"#,
    );
    check("{form|php_serialized:sig}", &form("sig=1"), "a:0:{}");
    refused("{form|php_serialized:sig}", &form("a=1&a=1"), &BAD);
}

/// Content-Type is signed by nobody: it decides whether there is a form, and never which one.
#[test]
fn the_content_type_makes_no_other_form() {
    let body = "a=1&b=2";
    let right = tag("key", "a1b2");
    let signed = form(body).with("x-signature", right);
    let door = Door::new(&by(signing("{form|sorted}")), &secrets(&["key"]));
    assert_eq!(door.judge(&signed), s(1));
    for types in [
        &["application/json"][..],
        &["multipart/form-data; boundary=a"],
        &["application/x-www-form-urlencoded-x"],
        &["text/plain, application/x-www-form-urlencoded"],
        &[FORM, FORM],
        &[FORM, "application/json"],
        &[""],
        &[],
    ] {
        let mut sent = signed.clone().without("content-type");
        for value in types {
            sent = sent.with("content-type", value);
        }
        assert_eq!(door.judge(&sent), BAD, "{types:?}");
    }
}

#[test]
fn a_form_of_too_many_fields_is_refused() {
    let fields = |count: usize| form(&"a&".repeat(count));
    check("{form|sorted}", &fields(10_000), "a");
    refused("{form|sorted}", &fields(10_001), &BAD);
}

/// The published table of query string hashes.
#[test]
fn query_string_hashes_are_atlassians() {
    let cases = [
        (
            "GET",
            "/",
            None,
            "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239",
        ),
        (
            "GET",
            "",
            None,
            "c88caad15a1c1a900b8ac08aa9686f4e8184539bea1deda36e2f649430df3239",
        ),
        (
            "GET",
            "/something",
            None,
            "90b8cc6920375d6a6d133bd65be2d802a20e3544bf5704a1a80151210078798d",
        ),
        (
            "GET",
            "/something/",
            None,
            "90b8cc6920375d6a6d133bd65be2d802a20e3544bf5704a1a80151210078798d",
        ),
        (
            "GET",
            "/something",
            Some("simple=key&another=one"),
            "fc039e8c582c0ee90af182a3d29f37ecf1cb368f37b73d5fbd6c5bb66482dda9",
        ),
        (
            "POST",
            "/something",
            Some("simple=key"),
            "eafb48e8c78a5b09bc2ce7b0b86289ee4a7bd58179e47006d0141b33d5165af7",
        ),
        (
            "GET",
            "/something",
            Some("jwt=ABC.DEF.GHI"),
            "90b8cc6920375d6a6d133bd65be2d802a20e3544bf5704a1a80151210078798d",
        ),
        (
            "GET",
            "/something",
            Some("some+spaces+in+this+parameter=yes"),
            "f73fed24415974607a19ddf9af6f862d9da572ed71bbeb15ae2c64c3aec95317",
        ),
        (
            "GET",
            "/something",
            Some("connect*=yes"),
            "4ce3c840740a86e20beafc1d50b106996eaa844de89e879e85c92398cbfb131d",
        ),
        (
            "GET",
            "/something",
            Some("director=%e5%ae%ae%e5%b4%8e%20%e9%a7%bf"),
            "459b64741b7a3f0c1fe713a4b796f3a1210402729598179b016fd97aec00b4a8",
        ),
        (
            "GET",
            "/something",
            Some("a10=1&a1=2&b1=3&b10=4"),
            "31e1a2db664e96b08862145f45e290f4045fa894886afbb020e64437dabab07e",
        ),
        (
            "GET",
            "/something",
            Some("tuples=1%2C2%2C3&tuples=6%2C5%2C4&tuples=7%2C9%2C8"),
            "4f6da3fce3772b2b1958f7b97f9f7e8e0919ffc777bb74a892418faedf2fe15b",
        ),
        (
            "GET",
            "/something",
            Some("ids=-1&ids=1&ids=20&ids=2&ids=10"),
            "cfb9607f936f9523743b25897bd3a4ae822536fd18678b984b9dc0b31bfd8c46",
        ),
    ];
    for (method, path, query, expected) in cases {
        let around = Surroundings {
            public_url: Some(format!("https://example.com{path}").into()),
            ..around()
        };
        let door = Door::within(&by(signing("{atlassian_qsh}")), &secrets(&["key"]), &around);
        let sent = Outgoing {
            method: method.parse().expect("a method"),
            query: query.map(str::to_owned),
            ..post("")
        };
        let sent = sent.with("x-signature", tag("key", expected));
        assert_eq!(door.judge(&sent), s(1), "{method} {path} {query:?}");
    }
}

#[test]
fn a_plain_hash_holds_the_secret() {
    let scheme = Signature {
        algorithm: Algorithm::Hash(Hash::Sha256),
        ..signing("{secret}{method}{public_url}")
    };
    let door = Door::new(&by(scheme), &secrets(&["old", "yyyyyyyy"]));
    let mut digest = mac::Digester::new(Hash::Sha256);
    digest.update(format!("yyyyyyyyPOST{URL}").as_bytes());
    let right = hex::encode(digest.finish().as_bytes());
    assert_eq!(door.judge(&post("").with("x-signature", right)), s(2));
    assert_eq!(
        door.judge(&post("").with("x-signature", tag("yyyyyyyy", "POST"))),
        BAD
    );
}
