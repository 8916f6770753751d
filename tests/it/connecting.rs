//! Connections to the app: names that move, fail and come back, and addresses that answer nothing. The names are real
//! ones: the gateway runs with an `/etc/hosts` of its own.

use crate::support::{App, Gate, Hole, Request, gate::Home, tools, wait_until};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// Runs a command with the test's files in the place of the system's, in a namespace that is gone with it.
const NAMESPACE: &str = r#"mount --bind "$HOSTS" /etc/hosts && mount --bind "$SWITCH" /etc/nsswitch.conf && exec "$0" "$@""#;

/// What `app.test` leads to.
struct Names(TempDir);

impl Names {
    /// None, said, where this system lets nobody have files of their own.
    fn new() -> Option<Self> {
        let trial = "mount --bind /etc/hosts /etc/hosts && test -e /etc/nsswitch.conf";
        if !tools::has("unshare", &["--version"])
            || !tools::allows("namespaces", "unshare", &["-rm", "sh", "-c", trial])
        {
            return None;
        }
        let names = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::write(names.file("switch"), "hosts: files\n").expect("a writable directory");
        names.lead_to(&[]);
        Some(names)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// From now on; no address is no such name.
    fn lead_to(&self, addresses: &[&str]) {
        let mut text = String::from("127.0.0.1 localhost\n");
        for address in addresses {
            writeln!(text, "{address} app.test").expect("a String takes everything");
        }
        // The same file all the time: that is what is mounted.
        std::fs::write(self.file("hosts"), text).expect("a writable directory");
    }

    /// A gateway for the app at `app.test`.
    fn home(&self, port: u16, target: &str) -> Home {
        let home = Home::new(&format!(
            "sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: \"http://app.test:{port}/\", retry: {{ first: 20ms, max: 100ms }}, {target} }}\n"
        ));
        home.env("HOSTS", &self.file("hosts").to_string_lossy())
            .env("SWITCH", &self.file("switch").to_string_lossy())
            .wrapped(&["unshare", "-rm", "sh", "-c", NAMESPACE])
    }
}

fn event(n: usize) -> Request {
    Request::new("/hooks/open", format!("event {n}"))
}

fn failed(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!(
        r#"hookgate_attempts_total{{target="app",outcome="failed",reason="{reason}"}}"#
    ))
}

fn settled(gate: &Gate) -> bool {
    gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
}

#[test]
fn deliveries_follow_a_name_that_moves_fails_and_comes_back() {
    let Some(names) = Names::new() else { return };
    let one = App::start_at("127.0.0.1:0");
    let port = one.address().port();
    let two = App::start_at(&format!("127.0.0.2:{port}"));
    names.lead_to(&["127.0.0.1"]);
    let home = names.home(port, "connection_max_age: 100ms");
    let gate = home.start();
    let mut sent = 0;
    let mut send = || {
        assert_eq!(gate.send(&event(sent)).status, 200);
        sent += 1;
    };
    send();
    one.wait_for(1);

    names.lead_to(&["127.0.0.2"]);
    wait_until("deliveries follow", || {
        send();
        two.count() > 0
    });
    // Until the last of the old connections is too old as well.
    wait_until("nothing goes to the old address any more", || {
        let before = one.count();
        for _ in 0..5 {
            send();
        }
        wait_until("they are delivered", || settled(&gate));
        one.count() == before
    });

    let missed = failed(&gate, "dns");
    names.lead_to(&[]);
    wait_until("the name is missed", || {
        send();
        failed(&gate, "dns") > missed
    });
    let before = one.count();
    names.lead_to(&["127.0.0.1"]);
    // What was missed may go to the other address, on a connection that is young enough still.
    wait_until("it has come back", || {
        send();
        one.count() > before
    });
    wait_until("everything is delivered", || settled(&gate));

    let got: HashSet<Vec<u8>> = one
        .got()
        .into_iter()
        .chain(two.got())
        .map(|got| got.body)
        .collect();
    assert_eq!(got, (0..sent).map(|n| event(n).body).collect());
}

#[test]
fn of_several_addresses_one_that_answers_nothing_is_passed_over() {
    let Some(names) = Names::new() else { return };
    let app = App::start_at("127.0.0.1:0");
    let port = app.address().port();
    let _hole = Hole::dig(&format!("127.0.0.2:{port}"));
    // Whichever the resolver puts first.
    names.lead_to(&["127.0.0.2", "127.0.0.1", "127.0.0.3"]);
    let home = names.home(port, "connection_max_age: 0s");
    let gate = home.start();
    for n in 0..5 {
        assert_eq!(gate.send(&event(n)).status, 200);
        app.wait_for(n + 1);
    }
    wait_until("they are delivered", || settled(&gate));
    assert_eq!(app.connections(), 5, "each attempt has made its own");
    assert!(
        app.got()
            .iter()
            .all(|got| got.header("hookgate-attempt") == "1"),
        "no attempt has failed"
    );
}

#[test]
fn an_address_that_answers_nothing_fails_to_connect_within_its_own_time() {
    let hole = Hole::dig("127.0.0.1:0");
    let address = hole.address().to_string();
    let home = Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: app }}\n  waits: {{ verify: none, ack: delivered, sender_timeout: 1h, ack_deadline: 20m, forward: app }}\n\
         targets:\n  app: {{ url: \"http://{address}/\", timeout: 20m, connect_timeout: 100ms, retry: {{ first: 20ms, max: 100ms }} }}\n"
    ));
    let gate = home.start();
    // Who waits for the attempt hears of it long before the attempt's own time, and the deadline, are over.
    let waited = gate.send(&Request::new("/hooks/waits", "event 0"));
    assert_eq!(waited.json()["delivered"], false, "{waited:?}");
    assert_eq!(gate.send(&event(1)).status, 200);
    wait_until("connecting is given up", || failed(&gate, "connect") >= 2.0);
    wait_until("it is said", || {
        gate.log().contains("not within connect_timeout")
    });
    drop(hole);
    let app = App::start_at(&address);
    wait_until("it is delivered", || settled(&gate));
    let got: HashSet<Vec<u8>> = app.got().into_iter().map(|got| got.body).collect();
    assert_eq!(got, (0..2).map(|n| event(n).body).collect());
}
