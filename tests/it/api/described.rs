//! The description and what is served are the same, as schemathesis sees it.

use super::{config, get, send};
use crate::support::{App, Behaviour, gate::Home, tools};
use std::process::{Command, Stdio};

/// Cases that are tried for each endpoint: the run takes some seconds.
const CASES: &str = "25";
/// The same cases each time.
const SEED: &str = "20260126";
const TOKEN: &str = "open-sesame";

#[test]
fn the_description_is_served_as_yaml_and_as_json() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let json = get(&gate, "/openapi.json");
    assert_eq!(json["openapi"], "3.1.0");
    let yaml = gate.admin_get("/api/v1/openapi.yaml");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.yaml");
    assert_eq!(yaml.body, std::fs::read_to_string(file).expect("readable"));
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
}

#[test]
fn schemathesis_finds_nothing() {
    if !tools::has("schemathesis", &["--version"]) {
        return;
    }
    let app = App::start();
    app.choose(|got| {
        let body = String::from_utf8_lossy(&got.body).into_owned();
        Behaviour::Status(if body.contains("bad") { 500 } else { 200 })
    });
    let text = format!(
        "admin: {{ listen: \"127.0.0.1:0\", token: {TOKEN} }}\nstore: {{ path: ./data, min_free: 1MiB, history: 720h }}\n{}",
        config(&app)
    );
    let home = Home::new(&text);
    let gate = home.start();
    for n in 0..20 {
        let event_type = if n % 3 == 0 { "bad" } else { "good" };
        send(&gate, "shop", n, event_type);
    }
    app.wait_for(40);
    let config = home.path().join("schemathesis.toml");
    std::fs::write(&config, "").expect("a writable directory");
    let output = Command::new("schemathesis")
        .arg("--config-file")
        .arg(&config)
        .arg("run")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.yaml"))
        .args(["--url", &format!("http://{}", gate.admin)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--max-examples", CASES, "--seed", SEED, "--workers", "1"])
        .args(["--checks", "all", "--no-color"])
        // How long it takes to make a case up says nothing of the gateway.
        .args(["--suppress-health-check", "too_slow"])
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .expect("it ran before");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(gate.admin_get("/readyz").status, 200);
}
