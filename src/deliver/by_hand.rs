//! One attempt at a URL that an operator gives: a look at what an app says to an event, or an event taken elsewhere.
//!
//! It carries nothing that belongs to a target or a sender: no signature, and a header that held the secret itself stays
//! away, since the URL may be anybody's.

use super::classify::{self, TIMED_OUT};
use super::headers::{Attempt, Outfit};
use crate::clock;
use crate::config::target::{Format, Target};
use crate::event::Event;
use crate::http::client::{Client, ClientError, Limits};
use crate::store::ANSWER_KEPT_BYTES;
use bytes::Bytes;
use http::{StatusCode, Uri, uri::Scheme};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Attempts by hand at one time: a person makes one after the other. Each may hang for as long as an attempt may take,
/// and holds one of the API's few calls meanwhile, so that more are refused and do not wait.
pub(super) const HANDS_MAX: usize = 2;

/// How an attempt by hand has ended.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Whether the app has taken the event: a 2xx.
    pub delivered: bool,
    /// The word for it, as in `attempts_total`: the status's class, or what kept the answer away.
    pub reason: &'static str,
    /// The app's answer, if there was one.
    pub status: Option<StatusCode>,
    /// Why there was none.
    pub error: Option<String>,
    /// The first 1 KiB of the answer's body.
    pub answer: Bytes,
    /// From connecting to the end of the answer.
    pub took: Duration,
}

/// Why no attempt is made by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPosted {
    /// Nothing that one can be made at.
    #[error("{0:?} is not a URL with http or https and a host")]
    NotUrl(String),
    /// As many are being made as may.
    #[error("busy: {HANDS_MAX} events are being sent to URLs by hand, and more are not; ask again")]
    Busy,
}

/// Whether an attempt can be made at `url`.
pub(super) fn check(url: &Uri) -> Result<(), NotPosted> {
    let scheme = url.scheme();
    let known = scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS);
    let host = url.host().is_some_and(|host| !host.is_empty());
    if known && host {
        return Ok(());
    }
    // Without a password that it may hold.
    let host = url.host().unwrap_or_default();
    let scheme = url.scheme_str().unwrap_or_default();
    Err(NotPosted::NotUrl(format!(
        "{scheme}://{host}{}",
        url.path()
    )))
}

/// Makes the attempt.
pub(super) async fn post(url: &Uri, event: &Event, replay: u32) -> Handed {
    let begun = Instant::now();
    let limits = Limits {
        connect_timeout: Target::CONNECT_TIMEOUT,
        connection_max_age: Duration::ZERO,
    };
    let client = Client::new(url, limits);
    let outfit = Outfit::new(Arc::default(), None, Format::Plain, Vec::new());
    let attempt = Attempt { number: 1, replay };
    let headers = || outfit.headers(event, attempt, clock::wall_ms);
    let exchange = client.post(headers, &event.body, ANSWER_KEPT_BYTES);
    let result = timeout(Target::TIMEOUT, exchange).await;
    let (ending, error, answer) = match result {
        Ok(Ok(reply)) => (classify::answered(&reply), None, reply.body),
        Ok(Err(error)) => (classify::failed(&error), Some(text(&error)), Bytes::new()),
        Err(_) => {
            let why = format!("no whole answer within {:?}", Target::TIMEOUT);
            (TIMED_OUT, Some(why), Bytes::new())
        }
    };
    Handed {
        delivered: ending.delivered,
        reason: ending.reason,
        status: ending.status,
        error,
        answer,
        took: begun.elapsed(),
    }
}

fn text(error: &ClientError) -> String {
    super::log::chain(error)
}

#[cfg(test)]
mod tests {
    use super::super::{Deliver, SecretHeaders, SecretValue};
    use super::*;
    use crate::deliver::fixture;
    use crate::event::SecretHeader;
    use crate::trace::Tracer;
    use http::{HeaderName, HeaderValue, header};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    async fn app() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    fn url(text: &str) -> Uri {
        text.parse().expect("a URL")
    }

    /// Answers one request, and returns it.
    async fn answer(listener: &TcpListener, answer: &[u8]) -> String {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n{}") {
            got.push(stream.read_u8().await.expect("a whole request"));
        }
        // It may have heard enough before the end.
        drop(stream.write_all(answer).await);
        String::from_utf8(got).expect("text")
    }

    /// A gateway whose source `erp` has a secret in a header.
    fn deliver() -> Arc<Deliver> {
        let value = SecretValue {
            header: header::AUTHORIZATION,
            secret: "1".into(),
            value: HeaderValue::from_static("Bearer hunter2"),
        };
        let secrets: SecretHeaders = [("erp".into(), vec![value])].into();
        Deliver::new(Vec::new(), Vec::new(), secrets, 1 << 20, Tracer::default())
    }

    #[tokio::test]
    async fn an_attempt_says_what_the_app_said() {
        let (listener, address) = app().await;
        let deliver = deliver();
        let mut event = Arc::into_inner(fixture::event(7)).expect("nobody else has it");
        event.secret_header = Some(SecretHeader {
            header: header::AUTHORIZATION,
            secret: "1".into(),
        });
        event.headers.insert(
            HeaderName::from_static("x-signature"),
            HeaderValue::from_static("kept"),
        );
        let to = url(&format!("http://{address}/elsewhere?x=1"));
        let long = format!(
            "HTTP/1.1 418 No\r\nContent-Length: 100000\r\n\r\n{}",
            "x".repeat(100_000)
        );
        let (handed, got) = tokio::join!(
            deliver.post_to(&to, &event, 3).expect("a URL"),
            answer(&listener, long.as_bytes())
        );
        assert_eq!(
            (handed.delivered, handed.reason, handed.status),
            (false, "4xx", Some(StatusCode::IM_A_TEAPOT))
        );
        assert_eq!(handed.answer, "x".repeat(1024));
        assert_eq!(handed.error, None);
        assert!(got.starts_with("POST /elsewhere?x=1 HTTP/1.1\r\n"), "{got}");
        for line in [
            "hookgate-replay: 3",
            "hookgate-attempt: 1",
            "x-signature: kept",
        ] {
            assert!(got.contains(&format!("\r\n{line}\r\n")), "{line} in {got}");
        }
        assert!(
            !got.contains("hunter2") && !got.contains("authorization"),
            "{got}"
        );

        let taken = b"HTTP/1.1 204 Taken\r\n\r\n";
        let handing = deliver.post_to(&to, &event, 0).expect("a URL");
        let (handed, got) = tokio::join!(handing, answer(&listener, taken));
        assert!(handed.delivered && handed.answer.is_empty(), "{handed:?}");
        assert!(!got.contains("hookgate-replay"), "{got}");
    }

    #[tokio::test]
    async fn an_attempt_says_why_there_was_no_answer() {
        // Bound, so that nobody else gets the port, and never listened on.
        let silent = TcpSocket::new_v4().expect("a socket");
        silent
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("bound");
        let address = silent.local_addr().expect("bound");
        let event = fixture::event(7);
        let to = url(&format!("http://{address}/"));
        let deliver = deliver();
        let handed = deliver.post_to(&to, &event, 0).expect("a URL").await;
        assert_eq!((handed.delivered, handed.reason), (false, "connect"));
        let error = handed.error.expect("a reason");
        assert!(
            error.contains("cannot connect to") && error.contains("refused"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn() {
        let (event, deliver) = (fixture::event(7), deliver());
        let to = url("http://127.0.0.1:9/");
        let post = || deliver.post_to(&to, &event, 0);
        let mut hands: Vec<_> = (0..HANDS_MAX).map(|_| post().expect("a turn")).collect();
        assert_eq!(post().err(), Some(NotPosted::Busy));
        drop(hands.pop());
        drop(post().expect("a turn is given back"));
    }

    #[tokio::test]
    async fn only_http_is_spoken() {
        let event = fixture::event(7);
        for bad in ["/path", "ftp://a/", "unix://user:hunter2@a/", "a:80"] {
            let (deliver, url) = (deliver(), url(bad));
            let refused = deliver.post_to(&url, &event, 0).err();
            let why = refused.expect(bad).to_string();
            assert!(why.contains("http or https"), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
