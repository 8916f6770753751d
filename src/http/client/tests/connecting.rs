//! Connecting: names that move, fail and come back, addresses that answer nothing, and the one time limit over all.

use super::*;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::task::JoinSet;

/// Shorter than anything that is waited for, long enough for loopback.
const SOON: Duration = Duration::from_millis(200);

/// An address that takes connections and never says a word to them: its queue is full.
struct Hole {
    address: SocketAddr,
    #[expect(dead_code, reason = "held open")]
    listener: TcpListener,
    #[expect(dead_code, reason = "held open")]
    queued: TcpStream,
}

impl Hole {
    async fn dig() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a port");
        let listener = socket.listen(0).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let queued = soon(TcpStream::connect(address))
            .await
            .expect("room for one");
        Self {
            address,
            listener,
            queued,
        }
    }
}

/// The addresses of `app.test`, as they are at present; none is a failure of the resolver.
type Zone = Arc<Mutex<Vec<SocketAddr>>>;

fn zone(addresses: &[SocketAddr]) -> Zone {
    Arc::new(Mutex::new(addresses.to_vec()))
}

fn named(zone: &Zone, limits: Limits) -> Client {
    let url = Uri::from_static("http://app.test:1/");
    let zone = Arc::clone(zone);
    let origin = Origin::new(&url).asking(move |host: &str, port: u16| {
        assert_eq!((host, port), ("app.test", 1));
        match zone.lock().clone() {
            none if none.is_empty() => Err(std::io::Error::other("the name server is gone")),
            addresses => Ok(addresses),
        }
    });
    Client::with(origin, &url, limits, Duration::from_hours(1))
}

async fn reaches(client: &Client, app: &App) -> Raw<TcpStream> {
    let script = async {
        let mut raw = app.accept().await;
        raw.answer(OK).await;
        raw
    };
    tokio::join!(expect_ok(client), script).1
}

/// Puts the clock on.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_new_address_is_found_once_the_connection_is_old() {
    let (old, new) = (App::start().await, App::start().await);
    let zone = zone(&[old.address]);
    let limits = Limits {
        connection_max_age: Duration::from_mins(50),
        ..LIMITS
    };
    let client = named(&zone, limits);
    let mut kept = reaches(&client, &old).await;
    *zone.lock() = vec![new.address];

    // Still young: used again, wherever the name leads.
    pass(Duration::from_secs(2_900)).await;
    tokio::join!(expect_ok(&client), kept.answer(OK));
    pass(Duration::from_secs(100)).await;
    reaches(&client, &new).await;
    kept.closed().await;
    assert!(old.is_left_alone().await);
}

#[tokio::test]
async fn without_an_age_every_call_resolves_anew() {
    let (one, two) = (App::start().await, App::start().await);
    let zone = zone(&[one.address]);
    let limits = Limits {
        connection_max_age: Duration::ZERO,
        ..LIMITS
    };
    let client = named(&zone, limits);
    for app in [&one, &two, &one] {
        *zone.lock() = vec![app.address];
        reaches(&client, app).await;
        assert_eq!(client.pool.len(), 0);
    }
}

#[tokio::test]
async fn a_name_that_fails_is_asked_again_by_the_next_call() {
    let app = App::start().await;
    let zone = zone(&[]);
    let limits = Limits {
        connection_max_age: Duration::ZERO,
        ..LIMITS
    };
    let client = named(&zone, limits);
    for _ in 0..2 {
        *zone.lock() = vec![];
        let failed = post(&client).await;
        assert!(
            matches!(&failed, Err(error @ ClientError::Dns { .. }) if !error.is_timeout()),
            "{failed:?}"
        );
        *zone.lock() = vec![app.address];
        reaches(&client, &app).await;
    }
}

#[tokio::test]
async fn an_address_that_answers_nothing_does_not_hold_up_the_others() {
    let (hole, app) = (Hole::dig().await, App::start().await);
    let (_bound, refused) = refusing();
    for addresses in [
        vec![hole.address, app.address],
        vec![refused, hole.address, hole.address, app.address],
        vec![refused, app.address],
    ] {
        let client = named(&zone(&addresses), LIMITS);
        reaches(&client, &app).await;
    }

    // None takes it: what the last of them said.
    let client = named(&zone(&[refused, refused]), LIMITS);
    let failed = post(&client).await;
    assert!(
        matches!(&failed, Err(ClientError::Connect { source, .. }) if source.kind() == std::io::ErrorKind::ConnectionRefused),
        "{failed:?}"
    );
}

#[tokio::test]
async fn the_time_limit_names_the_step_that_it_ended() {
    // An address in the URL: no time goes into looking it up.
    let hole = Hole::dig().await;
    let limits = Limits {
        connect_timeout: SOON,
        ..LIMITS
    };
    let url = format!("http://{}/", hole.address).parse().expect("a URL");
    let late = post(&Client::new(&url, limits)).await;
    assert!(
        matches!(&late, Err(error @ ClientError::Connect { .. }) if error.is_timeout()),
        "{late:?}"
    );

    // A port that takes the connection and never begins TLS.
    let app = App::start().await;
    let client = client_of(&https(&app));
    let body = Bytes::from_static(b"body");
    // The clock is put on by more than what is waited for elsewhere.
    let patient = |call| tokio::time::timeout(PATIENCE * 4, call);
    let script = async {
        let mut raw = app.accept().await;
        soon(raw.0.read_u8()).await.expect("the client begins it");
        pass(PATIENCE).await;
        raw
    };
    let call = patient(client.post(HeaderMap::new, &body, 100));
    let (late, _open) = tokio::join!(call, script);
    let late = late.expect("an end");
    assert!(
        matches!(&late, Err(error @ ClientError::Tls { .. }) if error.is_timeout()),
        "{late:?}"
    );

    // It is not the time limit of the answer.
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let mut raw = app.accept().await;
        raw.request().await;
        pass(PATIENCE * 2).await;
        raw.send(OK).await;
    };
    let call = patient(client.post(HeaderMap::new, &body, 100));
    let (reply, ()) = tokio::join!(call, script);
    assert_eq!(reply.expect("an end").expect("a reply").body, "ok");
}

#[tokio::test]
async fn a_resolver_that_hangs_holds_few_threads() {
    let url = Uri::from_static("http://app.test:1/");
    let asked = Arc::new(AtomicUsize::new(0));
    let (hold, held) = mpsc::channel::<()>();
    let origin = {
        let (asked, held) = (Arc::clone(&asked), Mutex::new(held));
        Origin::new(&url).asking(move |_: &str, _: u16| {
            asked.fetch_add(1, Ordering::SeqCst);
            // Until the other end is gone.
            let _ = held.lock().recv();
            Err(std::io::Error::other("it never comes back"))
        })
    };
    let limits = Limits {
        connect_timeout: SOON,
        ..LIMITS
    };
    let client = Client::with(origin, &url, limits, REUSE_WITHIN);
    let client = Arc::new(client);
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let client = Arc::clone(&client);
        calls.spawn(async move { post(&client).await });
    }
    for late in calls.join_all().await {
        assert!(
            matches!(&late, Err(error @ ClientError::Dns { .. }) if error.is_timeout()),
            "{late:?}"
        );
    }
    assert!(asked.load(Ordering::SeqCst) <= 4, "{asked:?}");
    drop(hold);
}

#[tokio::test]
async fn what_was_found_meanwhile_is_not_looked_up_again() {
    let url = Uri::from_static("http://app.test:1/");
    let app = App::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (hold, held) = mpsc::channel::<()>();
    let origin = {
        let (asked, held, address) = (Arc::clone(&asked), Mutex::new(held), app.address);
        Origin::new(&url).asking(move |_: &str, _: u16| {
            asked.fetch_add(1, Ordering::SeqCst);
            // Until the other end is gone.
            let _ = held.lock().recv();
            Ok(vec![address])
        })
    };
    let client = Arc::new(Client::with(origin, &url, LIMITS, REUSE_WITHIN));
    let begun = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (client, begun) = (Arc::clone(&client), Arc::clone(&begun));
        calls.spawn(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            expect_ok(&client).await;
        });
    }
    // One thread runs them all: a call that has begun has asked, or stands in the line.
    while begun.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    drop(hold);
    for _ in 0..20 {
        let mut raw = app.accept().await;
        calls.spawn(async move { raw.answer(OK).await });
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("no panic");
    }
    assert!(asked.load(Ordering::SeqCst) <= 4, "{asked:?}");
}
