//! `POST /-/reload`: the configuration and every file that it names are read anew, and the answer says what became of it.
//!
//! | status | body |
//! | --- | --- |
//! | 200 | `{"reloaded":true,"hash":"<config_info's>"}` |
//! | 422 | `{"error":"...","problems":["<file:line:column: key: what>", ...]}`: what runs stays as it is |
//! | 409 | the same, where only a restart applies what has changed |
//! | 503 | the store cannot write, or the gateway stops: ask again |
//!
//! Whoever may ask the API may ask this.

use super::Admin;
use crate::http::Answer;
use crate::http::server::Peer;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// Who asks at one time; more are told to ask again.
const ASKING_MAX: usize = 8;
/// The longest that an answer waits. What was asked for is done in any case.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

/// What runs was read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Hex SHA-256 of the file's text.
    pub hash: String,
}

/// What runs is what ran before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// These problems are in the files.
    Invalid(Vec<String>),
    /// Only a restart applies these.
    Restart(Vec<String>),
    /// It may be asked for again.
    Unavailable(String),
}

/// Who asked, to be told.
pub type Asked = oneshot::Sender<Result<Reloaded, NotReloaded>>;

/// The way from those who ask to the one who reads.
#[derive(Debug)]
pub struct Reloads {
    ask: mpsc::Sender<Asked>,
    asked: Mutex<mpsc::Receiver<Asked>>,
    /// Whether anybody reads.
    served: AtomicBool,
}

impl Default for Reloads {
    fn default() -> Self {
        let (ask, asked) = mpsc::channel(ASKING_MAX);
        Self {
            ask,
            asked: Mutex::new(asked),
            served: AtomicBool::new(false),
        }
    }
}

impl Reloads {
    /// From now on somebody waits for [`Self::asked`].
    pub fn serve(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) -> Asked {
        match self.asked.lock().await.recv().await {
            Some(asked) => asked,
            // The other end is ours.
            None => std::future::pending().await,
        }
    }

    async fn ask(&self) -> Result<Reloaded, NotReloaded> {
        let unavailable = |why: &str| Err(NotReloaded::Unavailable(why.to_owned()));
        if !self.served.load(Ordering::Relaxed) {
            return unavailable("this gateway was not started from files that could be read anew");
        }
        let (asked, answered) = oneshot::channel();
        if self.ask.try_send(asked).is_err() {
            return unavailable("others have asked, and wait; ask again");
        }
        match timeout(ANSWERED_WITHIN, answered).await {
            Ok(Ok(reloaded)) => reloaded,
            Ok(Err(_)) => unavailable("the gateway is stopping"),
            Err(_) => unavailable("not answered in time; what was asked may still be done"),
        }
    }
}

impl Admin {
    pub(super) async fn reload(&self, head: &Parts) -> Answer {
        if head.method != Method::POST {
            let mut answer = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({ "error": "method not allowed; accepted: POST" }),
            );
            let allow = HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allow);
            return answer;
        }
        if let Err(refused) = self.api.check(head) {
            return refused.answer();
        }
        let reloaded = self.reloads.ask().await;
        let peer = head.extensions.get::<Peer>().map(Peer::to_string);
        let outcome = match &reloaded {
            Ok(_) => "reloaded",
            Err(NotReloaded::Invalid(_)) => "invalid",
            Err(NotReloaded::Restart(_)) => "restart",
            Err(NotReloaded::Unavailable(_)) => "unavailable",
        };
        tracing::info!(
            peer = peer.as_deref().unwrap_or("unknown"),
            outcome,
            "admin.reload"
        );
        told(reloaded)
    }
}

fn told(reloaded: Result<Reloaded, NotReloaded>) -> Answer {
    match reloaded {
        Ok(Reloaded { hash }) => answer(StatusCode::OK, &json!({ "reloaded": true, "hash": hash })),
        Err(NotReloaded::Invalid(problems)) => {
            let error = "the configuration can't be used; nothing was changed";
            let body = json!({ "error": error, "problems": problems });
            answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
        }
        Err(NotReloaded::Restart(problems)) => {
            let error = "only a restart applies what has changed; nothing was changed";
            let body = json!({ "error": error, "problems": problems });
            answer(StatusCode::CONFLICT, &body)
        }
        Err(NotReloaded::Unavailable(error)) => {
            let body = json!({ "error": error });
            let mut answer = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
            let later = HeaderValue::from_static("1");
            answer.headers_mut().insert(header::RETRY_AFTER, later);
            answer
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
