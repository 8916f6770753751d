//! Notices an app that is not there, and then asks for one probe every few seconds instead of every waiting event.
//!
//! Only what proves that nobody listens opens it: failures to resolve, to connect or to agree on TLS, in a row.
//! An app that answers, however badly, is there: any HTTP answer closes it. While it is open nothing is taken, so
//! no event waits in memory and none burns its attempts.

use crate::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that open it: more than one, since a restart refuses a few connections, and few, since
/// each is an attempt of an event.
const FAILURES_TO_OPEN: u32 = 5;

/// The longest hold: what a recovered app waits at most for its events to come again.
const HOLD_MAX: Duration = Duration::from_secs(5);

/// The shortest hold, whatever `retry.first` says, so that probes never spin.
const HOLD_MIN: Duration = Duration::from_millis(100);

/// Share of a hold by which it is drawn longer or shorter, so that gateways that lost one app do not probe together.
const JITTER: f64 = 0.2;

/// What an attempt says about whether the app is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It answered over HTTP.
    Answered,
    /// Nobody could be reached: no address, no connection, no TLS session.
    Absent,
    /// Neither: no answer in time, or the connection closed before one.
    Unclear,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing may be taken.
    Opened,
    /// One probe may be taken.
    HalfOpened,
    /// Everything may be taken.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probing: bool },
}

/// The breaker of one target.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// Times it opened since it was last closed.
    holds: u32,
    retry: Backoff,
}

impl Breaker {
    /// A closed one. `retry` says how the holds grow.
    pub(super) fn new(retry: Backoff) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            holds: 0,
            retry,
        }
    }

    /// Whether everything may be taken.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// When an open one becomes half open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Whether an attempt may begin.
    pub(super) fn allows(&self) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { .. } => false,
            State::HalfOpen { probing } => !probing,
        }
    }

    /// An attempt begins that [`Self::allows`] allowed; says whether it is the probe.
    pub(super) fn begin(&mut self) -> bool {
        match &mut self.state {
            State::HalfOpen { probing } => {
                *probing = true;
                true
            }
            State::Closed { .. } | State::Open { .. } => false,
        }
    }

    /// The time is `now`: a hold may be over.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Change> {
        if self.open_until()? > now {
            return None;
        }
        self.state = State::HalfOpen { probing: false };
        Some(Change::HalfOpened)
    }

    /// An attempt has ended. What began before the breaker opened, or never asked it, changes it only by an answer.
    pub(super) fn ended(&mut self, reach: Reach, probe: bool, now: Instant) -> Option<Change> {
        match (self.state, reach) {
            (State::Closed { .. }, Reach::Answered | Reach::Unclear) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, Reach::Absent) if failures + 1 < FAILURES_TO_OPEN => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
                None
            }
            (State::Open { .. } | State::HalfOpen { .. }, Reach::Answered) => {
                self.state = State::Closed { failures: 0 };
                self.holds = 0;
                Some(Change::Closed)
            }
            (State::Closed { .. }, Reach::Absent) => Some(self.open(now)),
            (State::HalfOpen { .. }, _) if probe => Some(self.open(now)),
            (State::Open { .. } | State::HalfOpen { .. }, _) => None,
        }
    }

    /// The probe turned out to be nothing to send: another one may begin.
    pub(super) fn probe_unused(&mut self) {
        if let State::HalfOpen { probing } = &mut self.state {
            *probing = false;
        }
    }

    fn open(&mut self, now: Instant) -> Change {
        self.holds = self.holds.saturating_add(1);
        let hold = self.retry.bound(self.holds).clamp(HOLD_MIN, HOLD_MAX);
        let jitter = 1.0 - JITTER + 2.0 * JITTER * fastrand::f64();
        self.state = State::Open {
            until: now + hold.mul_f64(jitter),
        };
        Change::Opened
    }

    /// Its state, as `target_state` names it.
    pub(super) fn word(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{Absent, Answered, Unclear};

    fn breaker(first: Duration) -> Breaker {
        Breaker::new(Backoff {
            first,
            factor: 2.0,
            max: Duration::from_mins(10),
        })
    }

    /// What a run of reports outside a probe leads to.
    #[test]
    fn only_an_absent_app_opens_it() {
        let cases: [(&[Reach], &str); 7] = [
            (&[], "closed"),
            (&[Absent; 4], "closed"),
            (&[Absent; 5], "open"),
            (&[Absent; 50], "open"),
            (
                &[Absent, Absent, Absent, Absent, Answered, Absent],
                "closed",
            ),
            (&[Absent, Absent, Absent, Absent, Unclear, Absent], "closed"),
            (&[Unclear; 50], "closed"),
        ];
        for (reports, expected) in cases {
            let mut breaker = breaker(Duration::from_secs(1));
            for reach in reports {
                breaker.ended(*reach, false, Instant::now());
            }
            assert_eq!(breaker.word(), expected, "{reports:?}");
        }
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = breaker(Duration::from_secs(1));
        let changes: Vec<_> = (0..5)
            .filter_map(|_| breaker.ended(Absent, false, now))
            .collect();
        assert_eq!(changes, [Change::Opened], "it is said once");
        breaker
    }

    #[test]
    fn holds_grow_to_their_maximum_with_jitter() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for bound_s in [1.0, 2.0, 4.0, 5.0, 5.0, 5.0] {
            assert!(!breaker.allows());
            let until = breaker.open_until().expect("open");
            let hold = (until - now).as_secs_f64();
            assert!(
                (bound_s * 0.799..=bound_s * 1.201).contains(&hold),
                "{hold} for {bound_s}"
            );
            assert_eq!(breaker.tick(until - Duration::from_millis(1)), None);
            assert_eq!(breaker.tick(until), Some(Change::HalfOpened));
            now = until;
            assert!(breaker.allows());
            assert!(breaker.begin(), "it is the probe");
            assert!(!breaker.allows(), "one at a time");
            assert_eq!(breaker.ended(Absent, true, now), Some(Change::Opened));
        }
    }

    #[test]
    fn tiny_retries_do_not_spin() {
        let now = Instant::now();
        let mut breaker = breaker(Duration::ZERO);
        for _ in 0..5 {
            breaker.ended(Absent, false, now);
        }
        let until = breaker.open_until().expect("open");
        assert!(until - now >= HOLD_MIN.mul_f64(0.799));
    }

    #[test]
    fn what_a_probe_says_decides() {
        for (reach, expected) in [(Answered, "closed"), (Absent, "open"), (Unclear, "open")] {
            let now = Instant::now();
            let mut breaker = opened(now);
            breaker.tick(now + Duration::from_secs(10));
            breaker.begin();
            breaker.ended(reach, true, now);
            assert_eq!(breaker.word(), expected, "{reach:?}");
        }
    }

    #[test]
    fn strays_change_it_only_by_an_answer() {
        let now = Instant::now();
        for reach in [Absent, Unclear] {
            let mut breaker = opened(now);
            assert_eq!(breaker.ended(reach, false, now), None);
            breaker.tick(now + Duration::from_secs(10));
            breaker.begin();
            assert_eq!(breaker.ended(reach, false, now), None);
            assert_eq!(breaker.word(), "half_open");
        }
        let mut breaker = opened(now);
        assert_eq!(breaker.ended(Answered, false, now), Some(Change::Closed));
        assert!(breaker.is_closed());
    }

    #[test]
    fn an_unused_probe_is_given_back() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.tick(now + Duration::from_secs(10));
        breaker.begin();
        breaker.probe_unused();
        assert!(breaker.allows());
    }

    #[test]
    fn closing_forgets_the_holds() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..5 {
            breaker.tick(now + Duration::from_mins(1));
            breaker.ended(Absent, true, now);
        }
        breaker.ended(Answered, false, now);
        for _ in 0..5 {
            breaker.ended(Absent, false, now);
        }
        let hold = breaker.open_until().expect("open") - now;
        assert!(hold <= Duration::from_millis(1_201), "{hold:?}");
    }
}
