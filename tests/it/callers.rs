//! Who sends: by way of proxies that are trusted and of peers that are not, from where it is allowed, and as often as
//! leaves room for others.

use crate::support::{
    App, Gate, Reply, Request, eventually, gate::Home, hmac_sha256_hex, sender::Connection,
    wait_until,
};
use serde_json::json;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

const SECRET: &str = "the-secret-of-erp";
/// After so long there is room for one more, where there is for 20 a minute: a machine may be so busy that a second one
/// comes after that, which then proves nothing and is tried anew.
const ONE_OF_20_A_MINUTE: Duration = Duration::from_secs(3);
const REFUSED: &str = r#"{"error":"invalid signature"}"#;

/// `top` stands at the top of the file, `source` at the source `erp`; a second source, `crm`, has nothing beside its
/// scheme.
fn home(app: &App, top: &str, source: &str) -> Home {
    let scheme = format!(
        "verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    event: {{ id: json:/id }}\n    \
         forward: app"
    );
    Home::new(&format!(
        "{top}\nsources:\n  erp:\n    {scheme}\n    {source}\n  crm:\n    {scheme}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

fn to(source: &str, n: usize) -> Request {
    let body = json!({ "id": format!("evt_{n}") }).to_string();
    let mac = hmac_sha256_hex(SECRET, &[body.as_bytes()]);
    Request::new(&format!("/hooks/{source}"), body).header("X-Signature", &mac)
}

fn event(n: usize) -> Request {
    to("erp", n)
}

fn forged(n: usize) -> Request {
    let body = json!({ "id": format!("evt_{n}") }).to_string();
    Request::new("/hooks/erp", body).header("X-Signature", &"0".repeat(64))
}

fn by_way_of(request: Request, lines: &[&str]) -> Request {
    let add = |request: Request, line: &&str| request.header("X-Forwarded-For", line);
    lines.iter().fold(request, add)
}

fn from(client: &str, request: Request) -> Request {
    by_way_of(request, &[client])
}

fn unavailable(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!(
        "hookgate_unavailable_total{{source=\"erp\",reason=\"{reason}\"}}"
    ))
}

fn not_allowed(gate: &Gate) -> f64 {
    gate.metric("hookgate_requests_rejected_total{source=\"erp\",reason=\"not_allowed\"}")
}

/// It is 503, to be sent again after so many seconds.
#[track_caller]
fn assert_comes_again(reply: &Reply, after: RangeInclusive<u32>) {
    assert_eq!(reply.status, 503, "{reply:?}");
    let said = reply.header("retry-after").expect("when");
    let said = said.parse().expect("seconds");
    assert!(after.contains(&said), "{reply:?}");
}

/// Sent again until it is taken, and then for the first time: a refusal has not remembered it.
#[track_caller]
fn assert_is_taken_as_new(gate: &Gate, request: &Request) {
    let taken = eventually("it is taken", || {
        Some(gate.send(request)).filter(|reply| reply.status == 200)
    });
    assert!(!taken.is_duplicate(), "{taken:?}");
}

/// The answer to the head of an event without its body.
#[track_caller]
fn head_alone(gate: &Gate, client: &str) -> Reply {
    let mut connection = Connection::open(gate.public);
    connection.write(
        format!(
            "POST /hooks/erp HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\nX-Forwarded-For: {client}\r\n\
             Content-Length: 1000\r\n\r\n"
        )
        .as_bytes(),
    );
    connection.reply()
}

#[test]
fn a_trusted_proxy_names_the_sender_and_no_sender_names_itself() {
    let app = App::start();
    let home = home(
        &app,
        "trusted_proxies: [127.0.0.1, 10.0.0.0/8]",
        "allow_from: [192.0.2.0/24, \"2001:db8::/32\"]",
    );
    let gate = home.start();
    assert_eq!(not_allowed(&gate), 0.0, "it is there from the start");
    let cases: [(&[&str], bool); 19] = [
        (&["192.0.2.1"], true),
        (&["192.0.2.1:4711"], true),
        (&["::ffff:192.0.2.1"], true),
        (&["2001:db8::1"], true),
        (&["[2001:db8::1]:443"], true),
        (&["198.51.100.1, 192.0.2.1, 10.0.0.2"], true),
        (&["198.51.100.1", "192.0.2.1", "10.0.0.2"], true),
        (&[], false),
        (&["198.51.100.1"], false),
        (&["::ffff:198.51.100.1"], false),
        (&["192.0.2.1, 198.51.100.1"], false),
        (&["192.0.2.1", "198.51.100.1"], false),
        (&["192.0.2.1, 198.51.100.1, 10.0.0.2"], false),
        (&["192.0.2.1, unknown"], false),
        (&["192.0.2.1,"], false),
        (&["192.0.2.1", ""], false),
        (&["192.0.2.1, [192.0.2.1]"], false),
        (&["192.0.2.1, 192.0.2.1:99999"], false),
        (&["192.0.2.1, unix"], false),
    ];
    for (n, (lines, allowed)) in cases.iter().enumerate() {
        let reply = gate.send(&by_way_of(event(n), lines));
        assert_eq!(reply.status == 200, *allowed, "{lines:?}: {reply:?}");
        if !allowed {
            assert_eq!((reply.status, &*reply.body), (401, REFUSED));
        }
    }
    let also = by_way_of(event(99), &["198.51.100.1"]).header("Forwarded", "for=192.0.2.1");
    assert_eq!(gate.send(&also).status, 401, "Forwarded is not read");
    assert_eq!(not_allowed(&gate), 13.0);
    let forged = gate.send(&from("192.0.2.1", forged(1)));
    assert_eq!((forged.status, &*forged.body), (401, REFUSED), "the same");
    let line = gate.said("not_allowed");
    assert!(line.contains("\"client\":\"127.0.0.1\""), "{line}");
    assert_eq!(app.wait_for(7).len(), 7);
    let (code, said) = home.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("from 192.0.2.0/24, 2001:db8::/32"), "{said}");
    assert!(said.contains("127.0.0.1/32, 10.0.0.0/8"), "{said}");
}

/// Whose address is wrong is answered by its head alone.
#[test]
fn the_body_of_who_is_not_allowed_is_not_read() {
    let app = App::start();
    let home = home(&app, "", "allow_from: 192.0.2.1");
    let gate = home.start();
    let reply = head_alone(&gate, "192.0.2.1");
    assert_eq!((reply.status, &*reply.body), (401, REFUSED));
    assert_eq!(reply.header("connection"), Some("close"));
}

#[test]
fn the_app_hears_what_a_trusted_proxy_says_and_nothing_of_what_others_do() {
    let says = |request: Request| {
        by_way_of(request, &["198.51.100.9", "192.0.2.1"])
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "hooks.example.com")
            .header("X-Forwarded-User", "admin")
            .header("X_Forwarded_Proto", "http")
            .header("Forwarded", "for=192.0.2.1")
    };
    for (top, list, kept) in [
        (
            "trusted_proxies: 127.0.0.0/8",
            "198.51.100.9, 192.0.2.1, 127.0.0.1",
            true,
        ),
        ("trusted_proxies: [10.0.0.0/8, unix]", "127.0.0.1", false),
        ("", "127.0.0.1", false),
    ] {
        let app = App::start();
        let home = home(&app, top, "");
        let gate = home.start();
        assert_eq!(gate.send(&says(event(1))).status, 200);
        let got = app.wait_for(1).remove(0);
        assert_eq!(got.header("x-forwarded-for"), list);
        assert_eq!(got.has("x-forwarded-proto"), kept, "{top}");
        assert_eq!(got.has("x-forwarded-host"), kept, "{top}");
        for never in ["x-forwarded-user", "x_forwarded_proto", "forwarded"] {
            assert!(!got.has(never), "{top}: {never}");
        }
    }
}

#[test]
fn a_flood_of_forgeries_from_one_address_holds_nobody_else_up() {
    let app = App::start();
    let top = "trusted_proxies: 127.0.0.1\nlimits: { failures_per_client: 1/h }";
    let home = home(&app, top, "");
    let gate = home.start();
    assert_eq!(
        unavailable(&gate, "client"),
        0.0,
        "it is there from the start"
    );
    assert_eq!(gate.send(&from("198.51.100.1", forged(0))).status, 401);
    for n in 0..50 {
        let forged = forged(n).header("X-Forwarded-For", "198.51.100.1");
        assert_comes_again(&gate.send(&forged), 3_500..=3_600);
        // As often as it likes: what is proven takes nothing.
        assert_eq!(gate.send(&from("192.0.2.1", event(n))).status, 200);
        assert_eq!(gate.send(&from("198.51.100.1", to("crm", n))).status, 200);
        // Each of a crowd fails once more and makes it no worse for anybody.
        let one_of_many = format!("203.0.113.{n}");
        assert_eq!(gate.send(&from(&one_of_many, self::forged(n))).status, 401);
    }
    let reply = head_alone(&gate, "198.51.100.1");
    assert_eq!(reply.status, 503, "before its body");
    assert_eq!(unavailable(&gate, "client"), 51.0);
}

#[test]
fn a_good_sender_behind_the_forgers_address_comes_again_and_is_taken() {
    let top = "trusted_proxies: 127.0.0.1\nlimits: { failures_per_client: 20/m }";
    let shared = |request| from("198.51.100.1", request);
    let (app, _home, gate) = eventually("the second comes soon after the first", || {
        let app = App::start();
        let home = home(&app, top, "");
        let gate = home.start();
        let begun = Instant::now();
        assert_eq!(gate.send(&shared(forged(1))).status, 401);
        let second = gate.send(&shared(event(2)));
        (begun.elapsed() < ONE_OF_20_A_MINUTE).then(|| {
            assert_comes_again(&second, 1..=3);
            (app, home, gate)
        })
    });
    assert_is_taken_as_new(&gate, &shared(event(2)));
    for n in 3..20 {
        assert_eq!(gate.send(&shared(event(n))).status, 200);
    }
    assert_eq!(app.wait_for(18).len(), 18);
}

/// Otherwise whoever can reach the proxy could have everybody's orders refused.
#[test]
fn forgeries_by_way_of_a_proxy_that_is_not_listed_hold_nobody_up() {
    let app = App::start();
    let home = home(&app, "limits: { failures_per_client: 1/h }", "");
    let gate = home.start();
    for n in 0..20 {
        assert_eq!(gate.send(&forged(n)).status, 401);
        assert_eq!(gate.send(&event(n)).status, 200);
    }
    assert_eq!(unavailable(&gate, "client"), 0.0);
}

#[test]
fn a_source_takes_as_many_events_as_its_rate_allows_and_loses_none() {
    let (app, home, gate, first) = eventually("the second comes soon after the first", || {
        let app = App::start();
        let home = home(&app, "", "limits: { rate: 20/m }");
        let gate = home.start();
        assert_eq!(
            unavailable(&gate, "rate"),
            0.0,
            "it is there from the start"
        );
        let begun = Instant::now();
        let first = gate.send(&event(1));
        assert_eq!(first.status, 200);
        let second = gate.send(&event(2));
        (begun.elapsed() < ONE_OF_20_A_MINUTE).then(|| {
            assert_comes_again(&second, 1..=3);
            (app, home, gate, first)
        })
    });
    // What came before is answered, and takes no place.
    for _ in 0..5 {
        let again = gate.send(&event(1));
        assert!(
            again.is_duplicate() && again.id() == first.id(),
            "{again:?}"
        );
    }
    assert_eq!(gate.send(&forged(3)).status, 401, "nor does what is forged");
    assert_eq!(
        gate.send(&to("crm", 1)).status,
        200,
        "others have their own"
    );
    assert_is_taken_as_new(&gate, &event(2));
    let refused = unavailable(&gate, "rate");
    assert!(refused >= 1.0);
    let all = "hookgate_events_total{source=\"erp\",result=\"unavailable\"}";
    assert_eq!(gate.metric(all), refused);
    let bodies: Vec<_> = app.wait_for(3).into_iter().map(|got| got.body).collect();
    assert_eq!(bodies.len(), 3);
    let (_, said) = home.check();
    assert!(said.contains("20 events a minute"), "{said}");
}

#[test]
fn one_source_leaves_others_room_for_their_bodies() {
    let app = App::start();
    let top = "limits: { in_flight_bytes: 64KiB, body: 32KiB }";
    let home = home(&app, top, "");
    let gate = home.start();
    let mut held = Connection::open(gate.public);
    held.write(
        b"POST /hooks/erp HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\nExpect: 100-continue\r\nContent-Length: 30000\r\n\r\n",
    );
    held.wait_for_continue();
    let reply = gate.send(&event(1));
    assert_comes_again(&reply, 2..=2);
    assert!(reply.body.contains("overloaded"), "{reply:?}");
    assert_eq!(gate.send(&to("crm", 1)).status, 200);
    drop(held);
    wait_until("it has room again", || gate.send(&event(1)).status == 200);
}

#[test]
fn one_address_has_its_share_of_the_connections_and_a_proxy_has_all_it_wants() {
    let app = App::start();
    for (top, bounded) in [("", true), ("trusted_proxies: 127.0.0.1", false)] {
        let top = format!("{top}\nlimits: {{ connections_per_client: 3 }}");
        let home = home(&app, &top, "");
        let gate = home.start();
        let refused = "hookgate_unavailable_total{source=\"\",reason=\"connections\"}";
        assert_eq!(gate.metric(refused), 0.0, "it is there from the start");
        let mut open: Vec<Connection> = (0..3).map(|_| Connection::open(gate.public)).collect();
        for (n, connection) in open.iter_mut().enumerate() {
            assert_eq!(connection.send(&event(n)).status, 200);
        }
        let mut further = Connection::open(gate.public);
        let reply = further.send(&event(3));
        if bounded {
            assert_comes_again(&reply, 2..=2);
            assert_eq!(gate.metric(refused), 1.0);
            drop(open.pop());
            wait_until("there is room again", || gate.send(&event(3)).status == 200);
        } else {
            assert_eq!(reply.status, 200);
            assert_eq!(gate.metric(refused), 0.0);
        }
    }
}

/// Who is open is remembered for as long as the bound is the same: nobody gets another share by waiting for a reload.
#[test]
fn connections_go_on_counting_over_a_reload_until_their_bound_changes() {
    let app = App::start();
    let with = |more: &str| {
        let scheme = "verify: none, forward: app";
        let url = app.url();
        format!("{more}\nsources:\n  erp: {{ {scheme} }}\ntargets:\n  app: {{ url: {url} }}\n")
    };
    let home = Home::new(&with("limits: { connections_per_client: 3 }"));
    let gate = home.start();
    let enter = |n: usize| {
        let mut connection = Connection::open(gate.public);
        let status = connection.send(&event(n)).status;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(connection)
    };
    let mut first: Vec<_> = (0..3).filter_map(enter).collect();
    assert_eq!(first.len(), 3);
    assert!(enter(3).is_none());

    // Another change than that of the bound.
    let before = gate.config_hash();
    home.configure(&with(
        "limits: { connections_per_client: 3, header_timeout: 11s, connections: 9000 }",
    ));
    gate.reloaded();
    assert_ne!(gate.config_hash(), before);
    assert!(enter(3).is_none(), "those of before count");
    drop(first.pop());
    first.push(eventually("one of before has left", || enter(4)));
    assert!(enter(5).is_none(), "two of before and one of after");

    // The bound, and who is exempt from it.
    for (n, bound) in [
        "limits: { connections_per_client: 2 }",
        "trusted_proxies: 10.0.0.1\nlimits: { connections_per_client: 2 }",
    ]
    .into_iter()
    .enumerate()
    {
        home.configure(&with(bound));
        gate.reloaded();
        let n = 10 * (n + 1);
        // Those of before are not known any more.
        let mut second = vec![eventually("the bound is in use", || enter(n))];
        second.extend(enter(n + 1));
        assert_eq!(second.len(), 2);
        assert!(enter(n + 2).is_none());
        for connection in first.iter_mut().chain(&mut second) {
            assert_eq!(connection.send(&event(n + 3)).status, 200, "all are served");
        }
        // Nor does their end make room.
        first.clear();
        wait_until("they have left", || {
            gate.metric("hookgate_connections") == 2.0
        });
        assert!(enter(n + 4).is_none());
        first = second;
    }
}
