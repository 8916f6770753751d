//! `hookgate send` against the running gateway: every way in which presets verify, real, tampered with, and as a
//! question whether the URL is the vendor's.

use crate::support::{App, gate::Home, tools};
use std::collections::BTreeMap;
use std::process::Command;

/// One preset of each kind: JSON, a form under a signed URL, a time in the signature's list, a JWT, basic, tokens in
/// header, query and body, a signature in the query and in the body, a re-serialised body.
const PRESETS: [(&str, &str); 12] = [
    ("github", "s3cret"),
    ("twilio", "s3cret"),
    ("stripe", "whsec_s3cret"),
    ("netlify", "s3cret"),
    ("postmark", "user:s3cret"),
    ("gitlab", "s3cret"),
    ("crisp-website", "s3cret"),
    ("drift", "s3cret"),
    ("pandadoc", "s3cret"),
    ("mailgun", "s3cret"),
    ("slack", "s3cret"),
    ("meta", "s3cret"),
];

/// The few seconds that some vendors wait may be too few on a busy machine.
const PATIENT: &str = "sender_timeout: 5m";

fn config(app: &App) -> String {
    let source = |(name, secret): (&str, &str)| {
        let params = match name {
            "meta" => "params: { verify_token: mine }, ",
            _ => "",
        };
        format!(
            "  {name}: {{ provider: {name}, {PATIENT}, secret: \"{secret}\", forward: app, {params}\
             public_url: \"https://hooks.example.com/{name}\" }}\n"
        )
    };
    let sources: String = PRESETS.into_iter().map(source).collect();
    format!(
        "sources:\n{sources}targets:\n  app: {{ url: {} }}\n",
        app.url()
    )
}

fn send(home: &Home, source: &str, to: &str, more: &[&str]) -> (Option<i32>, String) {
    let args = [&["send", source, "-c", "hookgate.yaml", "--to", to], more].concat();
    home.said(&args)
}

#[test]
fn presets_are_played_and_tampered_with() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let to = format!("http://{}", gate.public);
    for (name, _) in PRESETS {
        let (code, said) = send(&home, name, &to, &[]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let accepted = format!(r#"hookgate_events_total{{source="{name}",result="accepted"}}"#);
        assert_eq!(gate.metric(&accepted), 1.0, "{name}: {said}");
        let (code, said) = send(&home, name, &to, &["--tamper"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        assert!(said.contains("401 Unauthorized"), "{name}: {said}");
    }
    for name in ["slack", "meta"] {
        let (code, said) = send(&home, name, &to, &["--handshake"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let accepted = format!(r#"hookgate_events_total{{source="{name}",result="accepted"}}"#);
        assert_eq!(
            gate.metric(&accepted),
            1.0,
            "{name}: no event was made of it"
        );
    }
    let (code, said) = send(&home, "github", &to, &["--handshake"]);
    assert_eq!(code, Some(64), "{said}");
    let (code, said) = send(&home, "slack", &to, &["--event", "app_mention"]);
    assert!(code == Some(0) && said.contains("app_mention"), "{said}");
}

/// The words of the program are followed: without the private key it says how to make one.
#[test]
fn a_vendor_with_a_private_key_is_played_with_a_pair_of_the_users_own() {
    if !tools::has("openssl", &["version"]) || !tools::has("sh", &["-c", "od --version"]) {
        return;
    }
    for name in ["discord", "sendgrid", "standard-webhooks-ed25519", "wise"] {
        let app = App::start();
        let file = |secret: &str| {
            format!(
                "sources:\n  {name}: {{ provider: {name}, {PATIENT}, secret: {secret:?}, forward: \"{}\" }}\n",
                app.url()
            )
        };
        let home = Home::new("").env("HOOKGATE_SECRET", &stand_in(name));
        std::fs::remove_file(home.file()).expect("there");
        let args = ["send", name, "--to", "http://127.0.0.1:9"];
        let output = home.command(&args).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{name}: {said}");
        let commands: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("openssl "))
            .collect();
        let [private, public] = commands[..] else {
            panic!("not two commands: {said}");
        };
        shell(&home, private);
        let public = shell(&home, public);

        home.configure(&file(&public));
        let gate = home.start();
        let to = format!("http://{}", gate.public);
        let key = ["--signing-key", "signing.pem"];
        let (code, said) = send(&home, name, &to, &key);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = send(&home, name, &to, &[&key[..], &["--tamper"]].concat());
        assert_eq!(code, Some(0), "{name}: {said}");
    }
}

/// A public key that nobody has the private half of.
fn stand_in(name: &str) -> String {
    const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPZat8oOMwvOSgR6Uord4ABsx+k6VAm8rMp+tbBI7+R0rJEgRMLvrNneBcz/fUVLsTUSPEZov3EMJmZYyNfTDaQ==";
    match name {
        "discord" => "ab".repeat(32),
        "sendgrid" => P256.to_owned(),
        "wise" => RSA.to_owned(),
        _ => "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=".to_owned(),
    }
}

const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAs80HWxu+/3r6ipr72KLouw+F7+rJISVyb+wg1uz4ZZt993gr3Gxd9XE72C8Tdns0Ru8MNkpQXiG145Uxf63yrvG7o1zb32tdm1ItVN0aZhlhY9GJ2o9cV/qZhr1fPvitzZdTOTdRmHmWuL/nIHaX3fGMvUwNAWhUA6XjVnmw7jM7Ly25KNmyLmIlxHIm4iiFm36k3BPpMYHBT2CQYajSYR0fohUoUWMJl/CX4suQFNjg7G5i+3bt6FZxso+WQV+ASpnSiaDjYljfmmLW6JYPzORSzm6Ogo8WYuRhDinQ4H+yu2lySAW2j1sAr4XGB2ttHnPY2BRCmLnAN8WuIlVMNwIDAQAB";

fn shell(home: &Home, command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(home.path())
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

/// Presets whose vendor asks for the URL, with what its dashboard wants besides. Discord's are in `handshakes.rs`.
const ASKING: [(&str, &str); 20] = [
    ("asana", ""),
    ("braintree", "params: { public_key: pk }, "),
    ("dropbox", ""),
    ("front", ""),
    ("intercom", ""),
    ("mandrill", ""),
    ("meta", "params: { verify_token: mine }, "),
    ("meta-sha1", "params: { verify_token: mine }, "),
    ("monday", ""),
    ("notion", ""),
    ("okta", ""),
    ("slack", ""),
    ("trello", ""),
    ("twitch", ""),
    ("viber", ""),
    ("whatsapp", "params: { verify_token: mine }, "),
    ("woocommerce", ""),
    ("x", ""),
    ("xero", ""),
    ("zoom", ""),
];

/// Presets whose vendor wants another success than the usual one, and its body.
const ANSWERED: [(&str, &str); 6] = [
    ("adyen", "[accepted]"),
    ("airtable", ""),
    ("dropbox-sign", "Hello API Event Received"),
    ("slack", ""),
    ("twilio", "<Response/>"),
    ("xero", ""),
];

/// `send` knows what a vendor expects, and fails if the gateway says anything else.
#[test]
fn vendors_get_the_answers_that_they_want() {
    let app = App::start();
    let presets: BTreeMap<&str, &str> = ANSWERED
        .into_iter()
        .map(|(name, _)| (name, ""))
        .chain(ASKING)
        .collect();
    // Every form of a secret reads it: text, hex and base64.
    let sources: String = presets
        .iter()
        .map(|(name, params)| {
            format!(
                "  {name}: {{ provider: {name}, {PATIENT}, secret: 9f1c2d3e4b5a69788796a5b4c3d2e1f0, {params}forward: app, \
                 public_url: \"https://hooks.example.com/{name}\" }}\n"
            )
        })
        .collect();
    let home = Home::new(&format!(
        "sources:\n{sources}targets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let to = format!("http://{}", gate.public);
    for (name, _) in ASKING {
        let (code, said) = send(&home, name, &to, &["--handshake"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let accepted = format!(r#"hookgate_events_total{{source="{name}",result="accepted"}}"#);
        assert_eq!(
            gate.metric(&accepted),
            0.0,
            "{name} is not asked for events"
        );
    }
    assert_eq!(app.count(), 0, "the app hears of none");
    for (name, body) in ANSWERED {
        let (code, said) = send(&home, name, &to, &[]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let answer = said.split_once(" ms\n").map(|(_, answer)| answer.trim());
        assert_eq!(answer, Some(body), "{name}: {said}");
        let (code, said) = send(&home, name, &to, &["--repeat"]);
        let answers = said.matches(body).count();
        assert!(code == Some(0) && answers >= 2, "{name}, again: {said}");
    }
}
