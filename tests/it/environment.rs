//! `--env-file`: variables from a file, for every command that takes a configuration.

use crate::support::{
    App, Request,
    gate::{Gate, Home},
    sender::hmac_sha256_hex,
    wait_until,
};

const FIRST: &str = "canary-of-the-file-1";
const SECOND: &str = "canary-of-the-file-2";
const TOKEN: &str = "canary-token-of-the-file";

/// Everything in it that can be a variable is one.
fn home(app: &App) -> Home {
    Home::new(&format!(
        "admin: {{ listen: \"${{SHOP_ADMIN}}\", token: \"${{SHOP_TOKEN}}\" }}\n\
         store: {{ path: \"${{SHOP_STORE}}\", min_free: 1MiB }}\n\
         sources:\n  shop: {{ verify: {{ hmac: {{ header: X-Signature }} }}, secret: \"${{SHOP_SECRET}}\", \
         forward: {} }}\n",
        app.url()
    ))
    .wrapped(&["sh", "-c", "exec \"$@\" --env-file shop.env", "sh"])
}

fn write(home: &Home, admin: &str, secret: &str) {
    let text = format!(
        "# of the shop\nSHOP_ADMIN={admin}\nexport SHOP_STORE=./data\nSHOP_TOKEN='{TOKEN}'\nSHOP_SECRET=\"{secret}\"\n"
    );
    std::fs::write(home.path().join("shop.env"), text).expect("a writable directory");
}

fn signed(secret: &str, n: usize) -> Request {
    let body = format!("{{\"n\":{n}}}");
    let mac = hmac_sha256_hex(secret, &[body.as_bytes()]);
    Request::new("/hooks/shop", body).header("X-Signature", &mac)
}

fn hang_up(gate: &Gate, says: &str) {
    let before = gate.log().matches(says).count();
    gate.signal("HUP");
    wait_until(says, || gate.log().matches(says).count() > before);
}

#[test]
fn every_command_takes_its_variables_from_the_file() {
    let app = App::start();
    let home = home(&app);
    write(&home, "127.0.0.1:0", FIRST);
    let gate = home.start();
    assert_eq!(gate.send(&signed(FIRST, 1)).status, 200);
    app.wait_for(1);
    write(&home, &gate.admin.to_string(), FIRST);

    let to = format!("http://{}", gate.public);
    let captured = format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Signature: {}\r\nContent-Length: 2\r\n\r\n{{}}",
        hmac_sha256_hex(FIRST, &[b"{}"])
    );
    std::fs::write(home.path().join("request.txt"), captured).expect("a writable directory");
    let file = ["-c", "hookgate.yaml"];
    let commands: [&[&str]; 11] = [
        &["check"],
        &["send", "shop", "--to", &to],
        &["explain", "request.txt"],
        &["healthcheck"],
        &["events", "list"],
        &["targets", "list"],
        &["sources", "list"],
        &["rejects", "list"],
        &["history"],
        &["store", "info"],
        &["store", "check"],
    ];
    for command in commands {
        let (code, said) = home.said(&[command, &file].concat());
        assert_eq!(code, Some(0), "{command:?}: {said}");
        for secret in [FIRST, TOKEN] {
            assert!(!said.contains(secret), "{command:?}: {said}");
        }
    }
    // Without the file each of them misses something.
    let bare = self::home(&app).wrapped(&[]);
    for command in commands {
        let (code, said) = bare.said(&[command, &file].concat());
        assert_ne!(code, Some(0), "{command:?}: {said}");
    }
}

/// What hookgate itself looks up, where there is no configuration.
#[test]
fn the_secret_of_a_preset_without_a_configuration_comes_from_the_file() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources: {{ chatmefy: {{ provider: chatmefy, secret: {FIRST}, forward: {} }} }}\n",
        app.url()
    ));
    let gate = home.start();
    let empty = tempfile::tempdir().expect("a directory");
    let to = format!("http://{}", gate.public);
    let send = |secret: Option<&str>| {
        let file = empty.path().join("a.env");
        std::fs::write(
            &file,
            format!("HOOKGATE_SECRET={}\n", secret.unwrap_or_default()),
        )
        .expect("a writable directory");
        let file = file.display().to_string();
        home.command(&["send", "chatmefy", "--to", &to, "--env-file", &file])
            .current_dir(empty.path())
            .output()
            .expect("the binary runs")
            .status
            .code()
    };
    assert_eq!(send(Some(FIRST)), Some(0));
    assert_eq!(send(Some(SECOND)), Some(1), "401");
    assert_eq!(send(None), Some(64), "it has to be set");
}

#[test]
fn the_environment_goes_before_the_file() {
    let app = App::start();
    let home = home(&app).env("SHOP_SECRET", SECOND);
    write(&home, "127.0.0.1:0", FIRST);
    let gate = home.start();
    assert_eq!(gate.send(&signed(FIRST, 1)).status, 401);
    assert_eq!(gate.send(&signed(SECOND, 1)).status, 200);
}

#[test]
fn a_hangup_reads_the_file_anew_or_keeps_what_was() {
    let app = App::start();
    let home = home(&app);
    write(&home, "127.0.0.1:0", FIRST);
    let gate = home.start();
    write(&home, "127.0.0.1:0", SECOND);
    hang_up(&gate, "configuration was read anew");
    assert_eq!(gate.send(&signed(FIRST, 1)).status, 401);
    assert_eq!(gate.send(&signed(SECOND, 1)).status, 200);

    write(&home, "127.0.0.1:0", "a\" b");
    hang_up(&gate, "nothing was changed");
    let said = "shop.env:5:17: nothing may follow the closing quote";
    assert!(gate.log().contains(said), "{}", gate.log());
    assert_eq!(gate.send(&signed(SECOND, 2)).status, 200);
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_lines_and_without_its_values() {
    let app = App::start();
    let home = home(&app);
    let text = format!("SHOP_SECRET={FIRST} # why\nSHOP TOKEN={TOKEN}\n");
    std::fs::write(home.path().join("shop.env"), text).expect("a writable directory");
    for command in ["check", "run"] {
        let (code, said) = home.said(&[command, "-c", "hookgate.yaml"]);
        assert_eq!(code, Some(78), "{said}");
        for part in [
            "shop.env:1:34: a # after a value",
            "shop.env:2:1: ",
            "2 problems",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains(FIRST) && !said.contains(TOKEN), "{said}");
    }
    std::fs::remove_file(home.path().join("shop.env")).expect("it is there");
    let (code, said) = home.check();
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("shop.env: the file of variables can't be read"),
        "{said}"
    );
}
