//! `providers` of a configuration: a user's own presets, for every command that knows those of the program.

use crate::support::{App, gate::Home, sender::hmac_sha256_hex};

const SECRET: &str = "secret-of-the-shop";

fn home(app: &App) -> Home {
    Home::new(&format!(
        "providers:\n  my-shop:\n    verify: {{ hmac: {{ header: X-Shop-Signature }} }}\n    event: {{ id: json:/no, type: json:/kind }}\n    \
         sample: {{ body: '{{\"no\":\"<uuid>\",\"kind\":\"order.paid\"}}' }}\n    secret: ${{SHOP_SECRET}}\n\
         sources:\n  shop: {{ provider: my-shop, forward: {} }}\n",
        app.url()
    ))
    .env("SHOP_SECRET", SECRET)
}

#[test]
fn the_gateway_send_and_explain_go_by_a_preset_of_the_file() {
    let app = App::start();
    let home = home(&app);
    let gate = home.start();
    let to = format!("http://{}", gate.public);
    let file = ["-c", "hookgate.yaml"];
    let send =
        |more: &[&str]| home.said(&[&["send", "shop", "--to", &to], &file[..], more].concat());
    let (code, said) = send(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("order.paid"), "the preset's sample: {said}");
    let (code, said) = send(&["--tamper"]);
    assert_eq!((code, said.contains("401")), (Some(0), true), "{said}");
    let got = app.wait_for(1);
    assert_eq!(got[0].header("hookgate-event-type"), "order.paid");

    let explain = |signature: &str| {
        let captured = format!(
            "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Shop-Signature: {signature}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        std::fs::write(home.path().join("request.txt"), captured).expect("writable");
        home.said(&[&["explain", "request.txt"], &file[..]].concat())
    };
    let (code, said) = explain(&hmac_sha256_hex(SECRET, &[b"{}"]));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = explain(&hmac_sha256_hex("another", &[b"{}"]));
    assert_eq!(code, Some(1), "{said}");
}

/// A secret that stands in the preset is missed like one of the source, and not stood in for.
#[test]
fn what_a_preset_lacks_is_told_where_it_stands() {
    let app = App::start();
    let home = home(&app).env("SHOP_SECRET", "");
    std::fs::write(
        home.path().join("request.txt"),
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    )
    .expect("writable");
    for command in [
        &["check"][..],
        &["send", "shop", "--to", "http://127.0.0.1:1/"],
        &["explain", "request.txt"],
    ] {
        let output = home
            .command(&[command, &["-c", "hookgate.yaml"]].concat())
            .env_remove("SHOP_SECRET")
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command:?}: {said}");
        let place = "hookgate.yaml:10:13: providers.my-shop.secret: the environment variable SHOP_SECRET is not set";
        assert!(said.contains(place), "{command:?}: {said}");
    }
}

#[test]
fn presets_of_the_file_are_listed_with_the_others() {
    let app = App::start();
    let home = home(&app);
    let (code, said) = home.said(&["providers", "-c", "hookgate.yaml"]);
    assert_eq!(code, Some(0), "{said}");
    let line = said.lines().find(|line| line.starts_with("my-shop "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("HMAC SHA-256 in x-shop-signature"), "{line}");
    assert!(
        said.lines().any(|line| line.starts_with("github ")),
        "{said}"
    );
    let (_, without) = home.said(&["providers"]);
    assert!(!without.contains("my-shop"), "{without}");

    let (code, said) = home.said(&["providers", "my-shop", "-c", "hookgate.yaml"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("X-Shop-Signature") && said.contains("${SHOP_SECRET}"),
        "{said}"
    );
    let (code, said) = home.said(&["providers", "my-shop"]);
    assert_eq!(code, Some(64), "{said}");
}
