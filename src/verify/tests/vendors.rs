//! Signatures that vendors have published, through the configuration as a user writes it.

use super::*;
use crate::config::environment::Environment;
use crate::config::load::{Options, Origin, load};

/// A source of this scheme, written as in a file.
fn door(verify: &str, secret: &str) -> Door {
    let text = format!(
        "sources:\n  erp:\n    public_url: {URL}\n    verify: {verify}\n    secret: '{}'\n    forward: http://127.0.0.1:3000/\n",
        secret.replace('\'', "''")
    );
    let origin = Origin::Text {
        name: "test".into(),
        text,
    };
    let (config, _) = load(&origin, &Environment::default(), Options::default())
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let source = &config.sources[0];
    let around = Surroundings::of(source, 16);
    Door::within(&source.verify, &source.secrets, &around)
}

fn check(vendor: &str, door: &Door, unix: u64, request: &Outgoing) {
    let at = |unix: u64| door.judge_at(request, unix * 1_000);
    assert_eq!(at(unix), Ok("1".to_owned()), "{vendor}");
    let changed = request.clone().body([&request.body[..], b" "].concat());
    assert_eq!(
        door.judge_at(&changed, unix * 1_000),
        BAD,
        "{vendor}, another body"
    );
}

#[test]
fn published_signatures_pass() {
    check(
        "GitHub",
        &door(
            "{ hmac: { header: X-Hub-Signature-256, prefix: sha256= } }",
            "It's a Secret to Everybody",
        ),
        0,
        &post("Hello, World!").with(
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
    );
    let standard = r#"{"test": 2432232314}"#;
    let sent = |signature: &str| {
        post(standard)
            .with("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
            .with("webhook-timestamp", "1614265330")
            .with("webhook-signature", signature)
    };
    let symmetric = door(
        "{ hmac: { header: webhook-signature, split: ' ', prefix: 'v1,', encoding: base64, key: whsec, \
           signed: '{header:webhook-id}.{timestamp}.{body}', timestamp: { header: webhook-timestamp } } }",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    let v1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let v1a = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
    check("Standard Webhooks", &symmetric, 1_614_265_330, &sent(v1));
    check(
        "Standard Webhooks",
        &symmetric,
        1_614_265_330,
        &sent(&format!("{v1a} v2,x {v1}")),
    );
    assert_eq!(symmetric.judge_at(&sent(v1), 1_614_265_631_000), STALE);
    let asymmetric = door(
        "{ ed25519: { header: webhook-signature, split: ' ', prefix: 'v1a,', encoding: base64, key: whpk, \
           signed: '{header:webhook-id}.{timestamp}.{body}', timestamp: { header: webhook-timestamp } } }",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    );
    check(
        "Standard Webhooks, asymmetric",
        &asymmetric,
        1_614_265_330,
        &sent(&format!("{v1} {v1a}")),
    );
    assert_eq!(asymmetric.judge_at(&sent(v1), 1_614_265_330_000), BAD);
    check(
        "Slack",
        &door(
            "{ hmac: { header: X-Slack-Signature, prefix: v0=, signed: 'v0:{timestamp}:{body}', \
               timestamp: { header: X-Slack-Request-Timestamp } } }",
            "8f742231b10e8888abcd99yyyzzz85a5",
        ),
        1_531_420_618,
        &post("token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c")
            .with("x-slack-request-timestamp", "1531420618")
            .with("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
    );
    check(
        "SendGrid",
        &door(
            "{ ecdsa: { header: X-Signature, encoding: base64, signed: '{timestamp}{body}', timestamp: { header: X-Timestamp } } }",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        ),
        1_600_112_502,
        &post("[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n")
            .with("x-timestamp", "1600112502")
            .with("x-signature", "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="),
    );
    check(
        "Paddle",
        &door(
            "{ hmac: { header: Paddle-Signature, split: ';', prefix: h1=, signed: '{timestamp}:{body}', \
               timestamp: { element: ts= } } }",
            "VALID_SECRET",
        ),
        1_698_796_800,
        &post(r#"{"data": ["1", "2"]}"#).with(
            "paddle-signature",
            "ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9",
        ),
    );
    check(
        "Box",
        &door(
            "{ hmac: { header: [BOX-SIGNATURE-PRIMARY, BOX-SIGNATURE-SECONDARY], encoding: base64, signed: '{body}{timestamp}', \
               timestamp: { header: BOX-DELIVERY-TIMESTAMP, format: rfc3339 } } }",
            "SamplePrimaryKey",
        ),
        1_577_862_000,
        &post(r#"{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}"#)
            .with("box-delivery-timestamp", "2020-01-01T00:00:00-07:00")
            .with("box-signature-primary", "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI="),
    );
}

/// A vendor that signs the fields of a form and the URL that it was given, proxies notwithstanding.
#[test]
fn a_published_signature_of_a_form_passes() {
    let scheme = Signature {
        algorithm: Algorithm::Hmac(Hash::Sha1),
        encoding: Encoding::Base64,
        ..signing("{url}{form|sorted}")
    };
    let around = Surroundings {
        public_url: Some("https://mycompany.com/myapp.php".into()),
        ..around()
    };
    let door = Door::within(&by(scheme), &secrets(&["12345"]), &around);
    let sent = form("To=%2B18005551212&Digits=1234&CallSid=CA1234567890ABCDE&Caller=%2B14158675309&From=%2B14158675309")
        .query("foo=1&bar=2")
        .with("x-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    assert_eq!(door.judge(&sent), s(1));
    assert_eq!(door.judge(&sent.clone().query("foo=1&bar=3")), BAD);
    assert_eq!(door.judge(&sent.query("bar=2&foo=1")), BAD);
}
