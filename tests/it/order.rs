//! `order_by`: the events of one key one after the other, in the order of their arrival; other keys beside them.

use crate::support::{App, Behaviour, Gate, gate::Home, sender::Connection, wait_until};
use crate::support::{Request, app::Got};
use std::collections::{BTreeMap, HashSet};

fn config(app: &App, target: &str) -> String {
    format!(
        "sources:\n  chat: {{ verify: none, forward: app }}\n\
         targets:\n  app: {{ url: {}, order_by: json:/key, {target} }}\n",
        app.url()
    )
}

fn home(app: &App, target: &str) -> Home {
    Home::new(&config(app, target))
}

/// A failed attempt is made again soon, and a failing app is not left alone for long.
const QUICK: &str = "retry: { first: 20ms, max: 100ms }";

fn event(key: &str, n: usize) -> Request {
    Request::new("/hooks/chat", format!(r#"{{"key":"{key}","n":{n}}}"#))
}

fn of(got: &Got) -> (String, usize) {
    let body: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
    let key = body["key"].as_str().expect("a key").to_owned();
    let n = usize::try_from(body["n"].as_u64().expect("a number")).expect("small");
    (key, n)
}

/// Sends `each` events of every key, one key after the other and round again, in order of their numbers.
fn send_all(gate: &Gate, keys: &[&str], numbers: std::ops::Range<usize>) {
    let mut connection = Connection::open(gate.public);
    for n in numbers {
        for key in keys {
            assert_eq!(connection.send(&event(key, n)).status, 200);
        }
    }
}

/// The numbers that the app took of each key, in the order in which it did.
fn taken(app: &App) -> BTreeMap<String, Vec<usize>> {
    let mut taken: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for got in app.got() {
        if got.answered == 200 {
            let (key, n) = of(&got);
            taken.entry(key).or_default().push(n);
        }
    }
    taken
}

#[track_caller]
fn wait_until_taken(app: &App, keys: usize, each: usize) {
    wait_until(&format!("{each} events of {keys} keys are taken"), || {
        let taken = taken(app);
        taken.len() == keys && taken.values().all(|numbers| distinct(numbers) >= each)
    });
}

fn distinct(numbers: &[usize]) -> usize {
    numbers.iter().collect::<HashSet<_>>().len()
}

#[track_caller]
fn assert_in_order(app: &App, each: usize) {
    for (key, numbers) in taken(app) {
        assert!(numbers.iter().copied().eq(0..each), "{key}: {numbers:?}");
    }
}

#[test]
fn events_of_one_key_arrive_one_after_the_other_while_others_go_on() {
    let app = App::start();
    let home = home(&app, QUICK);
    let gate = home.start();
    // The first of `held` gets no answer: it holds its own key alone.
    app.choose(|got| match of(got) {
        (key, 0) if key == "held" => Behaviour::Hang,
        _ => Behaviour::Status(200),
    });
    send_all(&gate, &["held", "a", "b", "c"], 0..40);
    wait_until_taken(&app, 3, 40);
    let held = |app: &App| app.got().iter().filter(|got| of(got).0 == "held").count();
    assert_eq!(held(&app), 1, "nothing overtakes the one that is held");
    app.behave(Behaviour::Status(200));
    wait_until_taken(&app, 4, 40);
    assert_in_order(&app, 40);
}

#[test]
fn a_poisoned_event_holds_its_own_key_until_it_is_dead() {
    let app = App::start();
    let patient =
        |time: &str| format!("retry: {{ first: 20ms, max: 100ms, give_up_after: {time} }}");
    let home = home(&app, &patient("1h"));
    let gate = home.start();
    app.choose(|got| match of(got) {
        (key, 0) if key == "poisoned" => Behaviour::Status(422),
        _ => Behaviour::Status(200),
    });
    send_all(&gate, &["poisoned", "a", "b"], 0..20);
    wait_until("other keys are through before it is given up", || {
        let taken = taken(&app);
        taken.len() == 2 && taken.values().all(|numbers| numbers.len() == 20)
    });
    // Its next attempt is its last.
    home.configure(&config(&app, &patient("1ms")));
    gate.reloaded();
    wait_until("it was given up, and the rest of its key taken", || {
        taken(&app).get("poisoned").map_or(0, Vec::len) == 19
    });
    assert_eq!(gate.metric(r#"hookgate_dead_letters{target="app"}"#), 1.0);
    let taken = taken(&app);
    assert!(taken["poisoned"].iter().copied().eq(1..20), "{taken:?}");
    let last_try = app
        .got()
        .iter()
        .rposition(|got| of(got) == ("poisoned".into(), 0));
    let next = app
        .got()
        .iter()
        .position(|got| of(got) == ("poisoned".into(), 1));
    assert!(last_try < next, "nothing overtook it");
}

#[test]
fn order_is_kept_through_an_outage_a_restart_and_a_kill() {
    let mut app = App::start();
    let home = home(&app, QUICK);
    let gate = home.start();
    let keys = ["a", "b", "c", "d", "e"];
    app.go_down();
    send_all(&gate, &keys, 0..30);
    assert!(gate.stop().0.success());
    app.come_back();
    let gate = home.start();
    send_all(&gate, &keys, 30..60);
    wait_until("some are taken", || app.count() > 40);
    gate.kill();
    let gate = home.start();
    send_all(&gate, &keys, 60..80);
    wait_until_taken(&app, keys.len(), 80);
    for (key, numbers) in taken(&app) {
        // What a kill left unsettled is delivered again, never early.
        let mut next = 0;
        for n in &numbers {
            assert!(*n <= next, "{key}: {n} came before {next}: {numbers:?}");
            next = next.max(n + 1);
        }
    }
    wait_until("nothing is left", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
}

#[test]
fn failures_at_random_change_no_order() {
    let app = App::start();
    let home = home(&app, "concurrency: 8, retry: { first: 5ms, max: 20ms }");
    let gate = home.start();
    app.choose(|_| match fastrand::u8(..4) {
        0 => Behaviour::Status(409),
        1 if fastrand::bool() => Behaviour::Close,
        _ => Behaviour::Status(200),
    });
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    send_all(&gate, &keys, 0..30);
    wait_until_taken(&app, keys.len(), 30);
    assert_in_order(&app, 30);
}

#[test]
fn an_event_without_the_key_waits_for_nobody() {
    let app = App::start();
    let home = home(&app, QUICK);
    let gate = home.start();
    app.choose(|got| {
        if got.body.starts_with(b"{\"key\"") {
            Behaviour::Hang
        } else {
            Behaviour::Status(200)
        }
    });
    send_all(&gate, &["held"], 0..3);
    for n in 0..20 {
        let request = Request::new("/hooks/chat", format!(r#"{{"n":{n}}}"#));
        assert_eq!(gate.send(&request).status, 200);
    }
    wait_until("events without a key are taken", || {
        app.got().iter().filter(|got| got.answered == 200).count() == 20
    });
}

#[test]
fn a_sender_that_waits_hears_of_a_delivery_in_order() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  chat: {{ verify: none, ack: delivered, forward: app }}\n\
         targets:\n  app: {{ url: {}, order_by: json:/key, {QUICK} }}\n",
        app.url()
    ));
    let gate = home.start();
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        let reply = gate.send(&event(key, n));
        assert_eq!(reply.json()["delivered"], true, "{reply:?}");
    }
    app.choose(|got| match of(got) {
        (_, 7) => Behaviour::Hold(200),
        _ => Behaviour::Status(200),
    });
    // The one that holds its key is waited for; the one behind it cannot start, which is answered at once.
    let (holding, public) = (event("d", 7), gate.public);
    let first = std::thread::spawn(move || holding.send(public));
    wait_until("the app has the first", || app.count() == 4);
    assert_eq!(gate.send(&event("d", 8)).json()["delivered"], false);
    app.behave(Behaviour::Status(200));
    let reply = first.join().expect("an answer");
    assert_eq!(reply.json()["delivered"], true, "{reply:?}");
    wait_until("the one behind it is taken too", || app.count() == 5);
}
