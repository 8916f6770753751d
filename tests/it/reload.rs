//! Another configuration for a gateway that runs: every way of asking for it, all of it or nothing, and nobody notices
//! but those whom it concerns.

use crate::support::{
    App, Behaviour, Request,
    gate::{Home, RELOADED},
    hmac_sha256_hex,
    sender::{Connection, now_seconds},
    wait_until,
};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A source without a proof that forwards to `target`.
fn open(name: &str, target: &str) -> String {
    format!("  {name}: {{ verify: none, forward: {target} }}\n")
}

fn event(source: &str, n: usize) -> Request {
    Request::new(&format!("/hooks/{source}"), format!("{{\"n\":{n}}}"))
}

/// Bodies that an app got, in order.
fn bodies(app: &App) -> Vec<String> {
    let got = app.got().into_iter();
    got.map(|got| String::from_utf8(got.body).expect("text"))
        .collect()
}

#[test]
fn sighup_uses_the_whole_file() {
    let app = App::start();
    let with = |sources: &str| {
        let url = app.url();
        format!("sources:\n{sources}targets:\n  app: {{ url: {url} }}\n")
    };
    let home = Home::new(&with(&open("first", "app")));
    let gate = home.start();
    assert_eq!(gate.send(&event("first", 1)).status, 200);
    assert_eq!(gate.send(&event("second", 2)).status, 404);
    let before = gate.config_hash();

    home.configure(&with(&(open("first", "app") + &open("second", "app"))));
    assert_eq!(gate.send(&event("second", 2)).status, 404, "not yet");
    gate.signal("HUP");
    wait_until("the second source is there", || {
        gate.send(&event("second", 2)).status == 200
    });
    wait_until("it says so", || gate.config_hash() != before);
    assert!(gate.send(&event("first", 1)).is_duplicate());
    // From the first moment on, at 0 where nothing has happened.
    for series in [
        "hookgate_events_total{source=\"second\",result=\"rejected\"}",
        "hookgate_dedupe_conflicts_total{source=\"second\"}",
    ] {
        assert_eq!(gate.metric(series), 0.0, "{series}");
    }
    let listed = gate.admin_get("/api/v1/sources").json();
    let sources = listed["sources"].as_array().expect("a list").iter();
    let names: Vec<_> = sources.map(|source| &source["name"]).collect();
    assert_eq!(names, ["first", "second"]);
    app.wait_for(2);
}

#[test]
fn an_operator_asks_with_what_the_api_asks_for() {
    let app = App::start();
    let with = |admin: &str, path: &str| {
        format!(
            "admin: {{ listen: 127.0.0.1:0{admin} }}\nsources:\n  a: {{ path: {path}, verify: none, forward: app }}\n\
             targets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let home = Home::new(&with("", "/one"));
    let gate = home.start();
    let ask = |method: &str, headers: &str| {
        let mut connection = Connection::open(gate.admin);
        let head = format!("{method} /-/reload HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n");
        connection.write(head.as_bytes());
        connection.reply()
    };
    let here = "Host: 127.0.0.1\r\n";
    home.configure(&with(", token: sesame", "/two"));
    assert_eq!(ask("GET", here).status, 405);
    assert_eq!(ask("POST", "Host: evil.example.com\r\n").status, 403);
    let page = format!("{here}Origin: http://evil.example.com\r\n");
    assert_eq!(ask("POST", &page).status, 403);
    let post = |path: &str| gate.send(&Request::new(path, "{}")).status;
    assert_eq!((post("/one"), post("/two")), (200, 404));

    let reply = ask("POST", here);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.json(),
        json!({ "reloaded": true, "hash": gate.config_hash() })
    );
    assert_eq!((post("/one"), post("/two")), (404, 200));

    // The token is in use as well.
    home.configure(&with(", token: other", "/three"));
    let bearer = |token: &str| format!("{here}Authorization: Bearer {token}\r\n");
    for headers in [here, &bearer("other")] {
        assert_eq!(ask("POST", headers).status, 401);
    }
    assert_eq!(ask("POST", &bearer("sesame")).status, 200);
    assert_eq!(ask("POST", &bearer("sesame")).status, 401);
    assert_eq!(ask("POST", &bearer("other")).status, 200);
    assert_eq!(post("/three"), 200);
    wait_until("each that was allowed is in the log", || {
        gate.log().matches("admin.reload").count() == 3
    });
}

#[test]
fn a_change_of_any_file_is_noticed() {
    let app = App::start();
    let with = |path: &str| {
        format!(
            "reload: {{ watch: 50ms }}\nsources:\n  a:\n    path: {path}\n    verify: {{ token: {{ header: X-Token }} }}\n    \
             secrets: [{{ name: plain, file: plain }}, {{ name: mounted, file: mount/key }}]\n    forward: app\n\
             targets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let home = Home::new(&with("/one"));
    let at = |name: &str| home.path().join(name);
    // As the kubelet lays a Secret out.
    for (version, secret) in [("..1", "mounted-1"), ("..2", "mounted-2")] {
        fs::create_dir_all(at("mount").join(version)).expect("writable");
        fs::write(at("mount").join(version).join("key"), secret).expect("writable");
    }
    symlink("..1", at("mount/..data")).expect("a link");
    symlink("..data/key", at("mount/key")).expect("a link");
    fs::write(at("plain"), "plain-1").expect("writable");
    let gate = home.start();
    let post = |path: &str, token: &str| {
        let request = Request::new(path, format!("{{\"{path}\":\"{token}\"}}"));
        gate.send(&request.header("X-Token", token)).status
    };
    assert_eq!(
        (post("/one", "plain-1"), post("/one", "mounted-1")),
        (200, 200)
    );

    fs::write(at("plain"), "plain-2").expect("writable");
    wait_until("a file was written", || post("/one", "plain-2") == 200);
    assert_eq!(post("/one", "plain-1"), 401);

    symlink("..2", at("mount/..new")).expect("a link");
    fs::rename(at("mount/..new"), at("mount/..data")).expect("movable");
    wait_until("a volume was swapped", || post("/one", "mounted-2") == 200);
    assert_eq!(post("/one", "mounted-1"), 401);

    home.configure(&with("/two"));
    wait_until("the file itself", || post("/two", "plain-2") == 200);

    // Something bad is complained about once, however often it is looked at.
    let good = fs::read_to_string(home.file()).expect("readable");
    fs::write(home.file(), format!("{good}nonsense: 1\n")).expect("writable");
    wait_until("it is noticed", || gate.metric(RELOADED) == 0.0);
    let said = || gate.log().matches("unknown key").count();
    wait_until("it is said", || said() == 1);
    // A file that is named but not there yet is looked for.
    fs::write(home.file(), good.replace("file: plain", "file: later")).expect("writable");
    wait_until("that is noticed", || gate.log().contains("can't be read"));
    assert_eq!(said(), 1, "{}", gate.log());
    fs::write(at("later"), "plain-3").expect("writable");
    wait_until("it is there", || post("/two", "plain-3") == 200);
    // A little after it is in use.
    wait_until("it is counted", || gate.metric(RELOADED) == 1.0);
}

#[test]
fn a_file_of_variables_is_looked_at_too() {
    let app = App::start();
    let home = Home::new("sources: {}\n").options(&["--env-file", "variables"]);
    let text = |listen: &str| {
        format!(
            "listen: {listen}\nadmin: {{ listen: 127.0.0.1:0 }}\nstore: {{ path: ./data, min_free: 1MiB }}\n\
             reload: {{ watch: 50ms }}\nsources:\n  a: {{ verify: {{ token: {{ header: X-Token }} }}, \
             secret: \"${{TOKEN}}\", forward: \"{}\" }}\n",
            app.url()
        )
    };
    fs::write(home.file(), text("127.0.0.1:0")).expect("writable");
    let variables = home.path().join("variables");
    fs::write(&variables, "TOKEN=one\n").expect("writable");
    let gate = home.start();
    let post = |token: &str| gate.send(&event("a", 1).header("X-Token", token)).status;
    assert_eq!((post("one"), post("two")), (200, 401));
    fs::write(&variables, "TOKEN=two\n").expect("writable");
    wait_until("it is noticed", || post("two") == 200);
    assert_eq!(post("one"), 401);
}

#[test]
fn a_bad_file_changes_nothing_and_every_problem_is_said() {
    let app = App::start();
    let good = format!(
        "sources:\n{}targets:\n  app: {{ url: {} }}\n",
        open("a", "app"),
        app.url()
    );
    let home = Home::new(&good);
    let gate = home.start();
    let before = gate.config_hash();
    let bad = [
        format!("{good}limits: {{ body: 0, bodi: 1 }}\n"),
        good.replace("forward: app", "forward: nowhere, ack: never"),
        "sources: {\n".to_owned(),
        "sources: {}\n".to_owned(),
    ];
    for bad in &bad {
        home.configure(bad);
        let reply = gate.reload();
        assert_eq!(reply.status, 422, "{bad}: {reply:?}");
        let problems = reply.problems();
        assert!(!problems.is_empty());
        for problem in &problems {
            assert!(problem.starts_with("hookgate.yaml:"), "{problem}");
            let logged = serde_json::to_string(problem).expect("JSON");
            wait_until(&logged, || gate.log().contains(&logged));
        }
        assert_eq!(gate.metric(RELOADED), 0.0);
        assert_eq!(gate.config_hash(), before);
        assert_eq!(gate.send(&event("a", 1)).status, 200);
    }
    home.configure(&bad[0]);
    let both = gate.reload().problems();
    assert_eq!(both.len(), 2, "all at once: {both:?}");
    home.configure(&good);
    let before = now_seconds();
    gate.reloaded();
    assert_eq!(gate.metric(RELOADED), 1.0);
    let since = gate.metric("hookgate_config_last_reload_success_timestamp_seconds");
    let between = [before, now_seconds() + 1].map(|at| Duration::from_secs(at).as_secs_f64());
    assert!((between[0]..between[1]).contains(&since), "{since}");
}

#[test]
fn a_target_moves_with_what_waits_for_it() {
    let (from, to) = (App::start(), App::start());
    from.behave(Behaviour::Status(500));
    let with = |app: &App, more: &str| {
        format!(
            "sources:\n{}targets:\n  app: {{ url: {}, retry: {{ first: 20ms, max: 50ms }}{more} }}\n",
            open("a", "app"),
            app.url()
        )
    };
    let home = Home::new(&with(&from, ""));
    let gate = home.start();
    for n in 0..50 {
        assert_eq!(gate.send(&event("a", n)).status, 200);
    }
    from.wait_for(10);
    wait_until("it counts as down", || {
        gate.metric("hookgate_target_state{target=\"app\",state=\"closed\"}") == 0.0
    });
    home.configure(&with(
        &to,
        ", concurrency: 2, order_by: json:/n, rate: 1000/s",
    ));
    gate.reloaded();
    for n in 50..60 {
        assert_eq!(gate.send(&event("a", n)).status, 200);
    }
    wait_until("nothing waits", || {
        gate.metric("hookgate_pending_deliveries{target=\"app\"}") == 0.0
    });
    let mut got = bodies(&to);
    assert_eq!(got.len(), 60);
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), 60, "each once");
    let listed = gate.admin_get("/api/v1/targets").json();
    assert_eq!(listed["targets"][0]["url"], to.url());

    // And back, with order no more.
    from.behave(Behaviour::Status(200));
    let before = from.count();
    home.configure(&with(&from, ""));
    gate.reloaded();
    for n in 60..70 {
        assert_eq!(gate.send(&event("a", n)).status, 200);
    }
    from.wait_for(before + 10);
    assert_eq!(to.count(), 60);
}

/// What waits for a target that is removed stays, and goes on when it comes back; its attempts that run are counted.
#[test]
fn what_is_removed_keeps_what_waits_for_it() {
    let (app, mut gone) = (App::start(), App::start());
    gone.go_down();
    let url = gone.url();
    let both = format!(
        "sources:\n{}{}targets:\n  app: {{ url: {} }}\n  gone: {{ url: {url}, retry: {{ first: 20ms, max: 50ms }} }}\n",
        open("stays", "app"),
        open("goes", "gone"),
        app.url()
    );
    let one = format!(
        "sources:\n{}targets:\n  app: {{ url: {} }}\n",
        open("stays", "app"),
        app.url()
    );
    let home = Home::new(&both);
    let gate = home.start();
    let shown = || {
        let listed = gate.admin_get("/api/v1/targets").json();
        let targets = listed["targets"].as_array().expect("a list").clone();
        let gone = targets.into_iter().find(|target| target["name"] == "gone");
        gone.map(|gone| (gone["configured"].clone(), gone["pending"].clone()))
    };
    for n in 0..5 {
        assert_eq!(gate.send(&event("goes", n)).status, 200);
    }
    home.configure(&one);
    gate.reloaded();
    assert_eq!(gate.send(&event("goes", 9)).status, 404);
    assert_eq!(gate.send(&event("stays", 9)).status, 200);
    assert_eq!(shown(), Some((json!(false), json!(5))));
    wait_until("it is said", || {
        gate.log().contains("target is no longer configured")
    });
    gone.come_back();
    let pause = gate.admin_post("/api/v1/targets/gone/pause", &json!({}));
    assert_eq!(pause.status, 409, "{pause:?}");
    app.wait_for(1);

    home.configure(&both);
    gate.reloaded();
    gone.wait_for(5);
    wait_until("nothing waits", || shown() == Some((json!(true), json!(0))));
    assert_eq!(gone.count(), 5, "each once");
    // The keys of its source have been kept as well.
    assert!(gate.send(&event("goes", 0)).is_duplicate());

    // The same over a restart in between, which does not know of the source.
    home.configure(&one);
    assert_eq!(gate.stop().0.code(), Some(0));
    let gate = home.start();
    assert_eq!(gate.send(&event("goes", 1)).status, 404);
    home.configure(&both);
    gate.reloaded();
    assert!(gate.send(&event("goes", 1)).is_duplicate());
    assert_eq!(gate.send(&event("goes", 10)).status, 200);
    gone.wait_for(6);
}

/// A pause is of the target and not of its configuration.
#[test]
fn a_pause_outlives_a_change() {
    let (from, to) = (App::start(), App::start());
    let with = |app: &App| {
        let url = app.url();
        format!(
            "sources:\n{}targets:\n  app: {{ url: {url} }}\n",
            open("a", "app")
        )
    };
    let home = Home::new(&with(&from));
    let gate = home.start();
    assert_eq!(
        gate.admin_post("/api/v1/targets/app/pause", &json!({}))
            .status,
        200
    );
    assert_eq!(gate.send(&event("a", 1)).status, 200);
    home.configure(&with(&to));
    gate.reloaded();
    let listed = gate.admin_get("/api/v1/targets").json();
    assert_eq!(listed["targets"][0]["state"], "paused", "{listed}");
    assert_eq!(
        gate.admin_post("/api/v1/targets/app/resume", &json!({}))
            .status,
        200
    );
    to.wait_for(1);
    assert_eq!(from.count(), 0);
}

/// Sources that begin or end to keep what they refuse.
#[test]
fn refused_requests_are_kept_from_then_on() {
    let app = App::start();
    let with = |rejects: &str| {
        format!(
            "sources:\n  a: {{ verify: {{ token: {{ header: X-Token }} }}, secret: right, forward: app{rejects} }}\n\
             targets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let home = Home::new(&with(""));
    let gate = home.start();
    let kept = || {
        let listed = gate.admin_get("/api/v1/rejects").json();
        listed["rejects"].as_array().map_or(0, Vec::len)
    };
    let wrong = |n| {
        assert_eq!(
            gate.send(&event("a", n).header("X-Token", "wrong")).status,
            401
        );
    };
    wrong(1);
    assert_eq!(kept(), 0);
    home.configure(&with(", rejects: { keep: 10 }"));
    gate.reloaded();
    wrong(2);
    wait_until("it is kept", || kept() == 1);
    home.configure(&with(", rejects: { keep: 11 }").replace("right", "wrong"));
    gate.reloaded();
    let listed = gate.admin_get("/api/v1/rejects").json();
    let id = &listed["rejects"][0]["id"];
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let released = gate.admin_post(&format!("/api/v1/rejects/{id}/release"), &json!({}));
    assert_eq!(
        released.status, 200,
        "judged by the secrets of now: {released:?}"
    );
    app.wait_for(1);
}

/// Reloads of the storm.
const RELOADS: usize = 20;

/// Requests that each sender gets through between two reloads.
const BETWEEN: usize = 3;

fn has_extra(k: usize) -> bool {
    k.is_multiple_of(2)
}

fn secret(k: usize) -> String {
    format!("secret-{k}")
}

fn storm(k: usize, apps: &[App; 2], extra: &App) -> String {
    let former = k.saturating_sub(1);
    let to = if has_extra(k) { "[app, extra]" } else { "app" };
    let mut sources = open("steady", to);
    sources += &format!(
        "  rotating:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    forward: app\n    secrets:\n      \
         - {{ name: new, value: {} }}\n      - {{ name: old, value: \"{} \" }}\n",
        secret(k),
        secret(former)
    )
    .replace(" \" }", "\" }");
    if k.is_multiple_of(3) {
        sources += &open(&format!("passing-{k}"), "app");
    }
    let mut targets = format!(
        "  app: {{ url: {}, concurrency: {}, timeout: {}s }}\n",
        apps[k % 2].url(),
        1 + k % 5,
        10 + k
    );
    if has_extra(k) {
        targets += &format!("  extra: {{ url: {} }}\n", extra.url());
    }
    format!("sources:\n{sources}targets:\n{targets}")
}

/// Sources, targets and secrets come, go and change twenty times, while six connections send. No request is refused, and
/// each event arrives once where it should.
#[test]
fn a_storm_of_reloads_costs_nothing() {
    let (apps, extra) = ([App::start(), App::start()], App::start());
    let home = Home::new(&storm(0, &apps, &extra));
    let gate = home.start();
    // The reload that is through, and half of one more while it is under way.
    let phase = AtomicUsize::new(0);
    let over = AtomicUsize::new(0);
    let progress: Vec<AtomicUsize> = (0..6).map(|_| AtomicUsize::new(0)).collect();
    // Whether each event of `steady` has to be at `extra`, where that is certain.
    let certain: Mutex<HashMap<String, bool>> = Mutex::default();
    let acknowledged: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for (sender, progress) in progress.iter().enumerate() {
            let (gate, phase, over) = (&gate, &phase, &over);
            let (certain, acknowledged) = (&certain, &acknowledged);
            scope.spawn(move || {
                let mut connection = Connection::open(gate.public);
                for n in 0.. {
                    if over.load(Ordering::SeqCst) == 1 {
                        break;
                    }
                    let before = phase.load(Ordering::SeqCst);
                    let is_steady = sender < 4;
                    let name = if is_steady { "steady" } else { "rotating" };
                    let mut request = event(name, sender * 1_000_000 + n);
                    if !is_steady {
                        let mac = hmac_sha256_hex(&secret(before / 2), &[&request.body]);
                        request = request.header("X-Signature", &mac);
                    }
                    let reply = connection.send(&request);
                    assert_eq!(reply.status, 200, "{sender} {n}: {reply:?}");
                    let body = String::from_utf8(request.body).expect("text");
                    let after = phase.load(Ordering::SeqCst);
                    if is_steady && before == after && before % 2 == 0 {
                        let mut certain = certain.lock().expect("no panic");
                        certain.insert(body.clone(), has_extra(before / 2));
                    }
                    acknowledged.lock().expect("no panic").push(body);
                    progress.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for k in 1..=RELOADS {
                let marks: Vec<usize> = progress
                    .iter()
                    .map(|at| at.load(Ordering::SeqCst))
                    .collect();
                wait_until("all senders go on", || {
                    let mut both = progress.iter().zip(&marks);
                    both.all(|(at, mark)| at.load(Ordering::SeqCst) >= mark + BETWEEN)
                });
                home.configure(&storm(k, &apps, &extra));
                phase.fetch_add(1, Ordering::SeqCst);
                gate.reloaded();
                phase.fetch_add(1, Ordering::SeqCst);
                if k.is_multiple_of(3) {
                    let passing = format!("passing-{k}");
                    let reply = gate.send(&event(&passing, 9_000_000 + k));
                    assert_eq!(reply.status, 200, "it is there at once: {reply:?}");
                    let body = format!("{{\"n\":{}}}", 9_000_000 + k);
                    acknowledged.lock().expect("no panic").push(body);
                } else {
                    let passing = format!("passing-{}", k - k % 3);
                    assert_eq!(gate.send(&event(&passing, 0)).status, 404);
                }
            }
        }));
        over.store(1, Ordering::SeqCst);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(has_extra(RELOADS), "what waits for it has come by now");
    for target in ["app", "extra"] {
        wait_until("nothing waits", || {
            gate.metric(&format!(
                "hookgate_pending_deliveries{{target=\"{target}\"}}"
            )) == 0.0
        });
    }
    let acknowledged = acknowledged.into_inner().expect("no panic");
    assert!(acknowledged.len() >= RELOADS * BETWEEN * 6);
    let mut got: Vec<String> = apps.iter().flat_map(bodies).collect();
    got.sort_unstable();
    let mut expected = acknowledged;
    expected.sort_unstable();
    assert_eq!(got, expected, "each that was acknowledged, once");
    let at_extra = bodies(&extra);
    let once: HashSet<&String> = at_extra.iter().collect();
    assert_eq!(once.len(), at_extra.len(), "each once");
    let certain = certain.into_inner().expect("no panic");
    assert!(certain.values().any(|is| *is) && certain.values().any(|is| !*is));
    for (body, expected) in &certain {
        assert_eq!(once.contains(body), *expected, "{body}");
    }
    assert!(apps.iter().all(|app| app.count() > 0), "it has moved");
    let listed: Value = gate.admin_get("/api/v1/sources").json();
    assert_eq!(
        listed["sources"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    assert_eq!(gate.stop().0.code(), Some(0));
}
