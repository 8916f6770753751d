//! What the demo counts: the gateway's answers on one side, the app's arrivals on the other. Figures are
//! differences of the two, never constants.

use super::app::Arrival;
use crate::cli::send::Answered;
use http::StatusCode;
use std::collections::{HashMap, HashSet};

/// The gateway's answer, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken, under this id.
    Accepted(String),
    /// Known already, under this id.
    Duplicate(String),
    /// Not believed.
    Refused,
    /// Anything else, in short.
    Other(String),
}

impl Verdict {
    /// Reads an answer of the gateway.
    pub(super) fn of(status: StatusCode, body: &[u8]) -> Self {
        if status == StatusCode::UNAUTHORIZED {
            return Self::Refused;
        }
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let id = body.get("id").and_then(|id| id.as_str());
        let duplicate = body.get("duplicate").and_then(serde_json::Value::as_bool);
        match (status, id, duplicate) {
            (StatusCode::OK, Some(id), Some(true)) => Self::Duplicate(id.to_owned()),
            (StatusCode::OK, Some(id), _) => Self::Accepted(id.to_owned()),
            _ => Self::Other(status.to_string()),
        }
    }

    /// Status and one word.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Accepted(_) => "200 accepted".into(),
            Self::Duplicate(_) => "200 duplicate".into(),
            Self::Refused => "401 refused".into(),
            Self::Other(what) => what.clone(),
        }
    }
}

/// Both sides of the books.
#[derive(Debug, Default)]
pub(super) struct Tally {
    acknowledged: HashSet<String>,
    duplicates: usize,
    refused: usize,
    arrived: HashMap<String, Arrival>,
    arrived_again: usize,
    broken: Vec<String>,
}

impl Tally {
    /// Enters an answer.
    pub(super) fn answered(&mut self, answered: &Answered) -> Verdict {
        let verdict = Verdict::of(answered.reply.status, &answered.reply.body);
        match &verdict {
            Verdict::Accepted(id) => {
                self.acknowledged.insert(id.clone());
            }
            Verdict::Duplicate(_) => self.duplicates += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Other(_) => {}
        }
        verdict
    }

    /// Enters an arrival.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        if self.arrived.contains_key(&arrival.id) {
            self.arrived_again += 1;
        } else {
            self.arrived.insert(arrival.id.clone(), arrival);
        }
    }

    /// The first arrival of an event.
    pub(super) fn arrival(&self, id: &str) -> Option<&Arrival> {
        self.arrived.get(id)
    }

    /// All requests that reached the app.
    pub(super) fn arrivals(&self) -> usize {
        self.arrived.len() + self.arrived_again
    }

    /// Enters what was not as promised.
    pub(super) fn broke(&mut self, promise: String) {
        self.broken.push(promise);
    }

    /// Closes the books: an event that nobody acknowledged must not have reached the app.
    pub(super) fn close(self) -> Figures {
        let acknowledged = &self.acknowledged;
        let delivered = acknowledged
            .iter()
            .filter(|id| self.arrived.contains_key(*id))
            .count();
        let mut broken = self.broken;
        let strangers = self.arrived.len() - delivered;
        if strangers > 0 {
            broken.push(format!(
                "events that reached the app and were never acknowledged: {strangers}"
            ));
        }
        Figures {
            accepted: acknowledged.len(),
            duplicates: self.duplicates,
            refused: self.refused,
            delivered,
            delivered_again: self.arrived_again,
            lost: acknowledged.len() - delivered,
            broken,
        }
    }
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Events acknowledged.
    pub(super) accepted: usize,
    /// Requests answered as duplicates.
    pub(super) duplicates: usize,
    /// Requests refused for their signature.
    pub(super) refused: usize,
    /// Acknowledged events that the app got.
    pub(super) delivered: usize,
    /// Requests that brought the app an event it had: at least once allows it.
    pub(super) delivered_again: usize,
    /// Acknowledged events that the app did not get.
    pub(super) lost: usize,
    /// Everything that was not as promised.
    pub(super) broken: Vec<String>,
}

impl Figures {
    /// Whether all went as promised.
    pub(super) fn as_promised(&self) -> bool {
        self.lost == 0 && self.broken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::Reply;
    use bytes::Bytes;
    use http::HeaderMap;
    use std::time::Duration;
    use tokio::time::Instant;

    fn answered(status: u16, body: &str) -> Answered {
        Answered {
            reply: Reply {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: Bytes::copy_from_slice(body.as_bytes()),
                truncated: false,
            },
            took: Duration::ZERO,
        }
    }

    fn arrival(id: &str) -> Arrival {
        Arrival {
            id: id.into(),
            source: "erp".into(),
            event_type: "a".into(),
            attempt: "1".into(),
            at: Instant::now(),
        }
    }

    #[test]
    fn verdicts_follow_the_contract() {
        let cases = [
            (
                200,
                r#"{"received":true,"id":"a"}"#,
                Verdict::Accepted("a".into()),
            ),
            (
                200,
                r#"{"received":true,"id":"a","duplicate":true}"#,
                Verdict::Duplicate("a".into()),
            ),
            (
                200,
                r#"{"received":true,"ignored":true}"#,
                Verdict::Other("200 OK".into()),
            ),
            (401, r#"{"error":"invalid signature"}"#, Verdict::Refused),
            (503, "", Verdict::Other("503 Service Unavailable".into())),
        ];
        for (status, body, verdict) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Verdict::of(status, body.as_bytes()), verdict);
        }
    }

    #[test]
    fn lost_is_what_was_acknowledged_and_never_came() {
        let mut tally = Tally::default();
        for id in ["a", "b", "c"] {
            tally.answered(&answered(200, &format!(r#"{{"id":"{id}"}}"#)));
        }
        tally.answered(&answered(200, r#"{"id":"a","duplicate":true}"#));
        tally.answered(&answered(401, ""));
        for id in ["a", "c", "c"] {
            tally.arrived(arrival(id));
        }
        assert_eq!(tally.arrivals(), 3);
        let figures = tally.close();
        assert_eq!(
            figures,
            Figures {
                accepted: 3,
                duplicates: 1,
                refused: 1,
                delivered: 2,
                delivered_again: 1,
                lost: 1,
                broken: Vec::new(),
            }
        );
        assert!(!figures.as_promised());
    }

    #[test]
    fn an_event_that_nobody_acknowledged_breaks_a_promise() {
        let mut tally = Tally::default();
        tally.arrived(arrival("forged"));
        let figures = tally.close();
        assert_eq!((figures.lost, figures.broken.len()), (0, 1));
        assert!(!figures.as_promised());
    }

    #[test]
    fn a_broken_promise_is_not_forgotten() {
        assert!(Tally::default().close().as_promised());
        let mut tally = Tally::default();
        tally.broke("chatsvia: answered 500".into());
        assert!(!tally.close().as_promised());
    }
}
