//! Notices an app that is down, and then asks with one event at a time every few seconds instead of with every one that
//! waits.
//!
//! It opens after so many failures in a row, or when too many of the latest first attempts failed. Failures are no
//! connection, no answer in time, 5xx and 429: an app that refuses one kind of event with a 4xx is up. While it is open
//! nothing is taken, so no event waits in memory and none burns its attempts. Any answer that is no failure closes it.
//! Closed again, attempts begin one at a time, then two, four and so on, so that an app that has just come up is not
//! run over.
//!
//! Events that always fail are retried for days, and may come to be most of all attempts. So that they hold up no others,
//! retries do not count in the share that failed, and a failure does not slow the ramp down.

use super::window::Window;
use crate::config::target;
use std::time::Duration;
use tokio::time::Instant;

/// The first hold: what a short restart costs. Each one that follows is twice as long, up to the configured one.
const HOLD_FIRST: Duration = Duration::from_millis(250);

/// Share of a hold by which it is drawn shorter, so that gateways that lost one app do not probe together.
const JITTER: f64 = 0.2;

/// What an attempt says about whether the app is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It answered over HTTP, and not that it cannot.
    Answered,
    /// It could not be reached, did not answer in time, or said that it cannot: 5xx, 429.
    Failing,
    /// Neither: the connection closed before an answer.
    Unclear,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// What it says.
    pub(super) reach: Reach,
    /// Whether it was the probe.
    pub(super) probe: bool,
    /// Whether its event had never been attempted.
    pub(super) first: bool,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing may be taken.
    Opened,
    /// Still nothing may be taken: a probe failed.
    HeldOn,
    /// One probe may be taken.
    HalfOpened,
    /// Everything may be taken, little by little.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many attempts may run; [`ALL`] once the ramp is over.
    Closed {
        most: usize,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        probing: bool,
    },
}

/// Attempts without a bound from here.
const ALL: usize = usize::MAX;

/// The breaker of one target.
#[derive(Debug)]
pub(super) struct Breaker {
    /// `None`: it never opens.
    settings: Option<target::Breaker>,
    /// Attempts at which the ramp is over: the target's `concurrency`.
    concurrency: usize,
    state: State,
    /// Failures since anything else was heard.
    failures: u32,
    window: Window,
    /// Times it opened since it was last closed.
    holds: u32,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(settings: Option<target::Breaker>, concurrency: usize) -> Self {
        Self {
            settings,
            concurrency,
            state: State::Closed { most: ALL },
            failures: 0,
            window: Window::new(settings.unwrap_or_default().window),
            holds: 0,
        }
    }

    /// Another number of attempts at which a ramp is over.
    pub(super) fn resize(&mut self, concurrency: usize) {
        self.concurrency = concurrency;
    }

    /// Whether everything may be taken.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether it was closed and bounds the attempts still.
    pub(super) fn is_ramping(&self) -> bool {
        matches!(self.state, State::Closed { most } if most < ALL)
    }

    /// When an open one becomes half open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// How many attempts may begin beside `running` ones.
    pub(super) fn free(&self, running: usize) -> usize {
        match self.state {
            State::Closed { most } => most.saturating_sub(running),
            State::Open { .. } => 0,
            State::HalfOpen { probing } => usize::from(!probing),
        }
    }

    /// An attempt begins that [`Self::free`] allowed; says whether it is the probe.
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

    /// The hold of an open one is over at once.
    pub(super) fn ask_now(&mut self, now: Instant) {
        if let State::Open { until } = &mut self.state {
            *until = now;
        }
    }

    /// An attempt has ended. What began before the breaker opened, or never asked it, changes it only by an answer.
    pub(super) fn ended(&mut self, ended: Ended, now: Instant) -> Option<Change> {
        let reach = ended.reach;
        match reach {
            Reach::Answered => self.failures = 0,
            Reach::Failing => self.failures = self.failures.saturating_add(1),
            Reach::Unclear => {}
        }
        match (self.state, reach) {
            (State::Closed { most }, Reach::Answered) => {
                if ended.first {
                    self.window.count(false, now);
                }
                self.state = State::Closed {
                    most: self.ramp(most.saturating_add(1)),
                };
                None
            }
            (State::Closed { .. }, Reach::Failing) => {
                if ended.first {
                    self.window.count(true, now);
                }
                if !self.is_enough(now) {
                    return None;
                }
                self.open(now);
                Some(Change::Opened)
            }
            (State::Open { .. } | State::HalfOpen { .. }, Reach::Answered) => {
                self.state = State::Closed { most: self.ramp(1) };
                self.holds = 0;
                self.window.clear();
                Some(Change::Closed)
            }
            (State::HalfOpen { .. }, Reach::Failing | Reach::Unclear) if ended.probe => {
                self.open(now);
                Some(Change::HeldOn)
            }
            (_, Reach::Failing | Reach::Unclear) => None,
        }
    }

    /// The probe turned out to be nothing to send: another one may begin.
    pub(super) fn probe_unused(&mut self) {
        if let State::HalfOpen { probing } = &mut self.state {
            *probing = false;
        }
    }

    /// Failures since anything else was heard.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Its state, as `target_state` names it.
    pub(super) fn word(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    /// Whether what was heard says that the app is down.
    fn is_enough(&mut self, now: Instant) -> bool {
        let Some(settings) = self.settings else {
            return false;
        };
        if self.failures >= settings.failures {
            return true;
        }
        let count = self.window.sum(now);
        let (failures, attempts) = (u64::from(count.failures), u64::from(count.attempts));
        count.attempts >= settings.min_attempts
            && failures * 100 >= attempts * u64::from(settings.rate_percent)
    }

    /// Each answer lets one attempt more run, which doubles them from round to round.
    fn ramp(&self, most: usize) -> usize {
        if most >= self.concurrency { ALL } else { most }
    }

    fn open(&mut self, now: Instant) {
        let longest = self.settings.unwrap_or_default().hold;
        let doubled = HOLD_FIRST.saturating_mul(1 << self.holds.min(16));
        self.holds = self.holds.saturating_add(1);
        let hold = doubled.min(longest).mul_f64(1.0 - JITTER * fastrand::f64());
        self.state = State::Open { until: now + hold };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{Answered, Failing, Unclear};

    const CONCURRENCY: usize = 8;

    const FIRST: Ended = Ended {
        reach: Answered,
        probe: false,
        first: true,
    };
    const PROBE: Ended = Ended {
        probe: true,
        ..FIRST
    };

    /// Any attempt that says so.
    fn that(reach: Reach) -> Ended {
        Ended { reach, ..FIRST }
    }

    fn probe(reach: Reach) -> Ended {
        Ended { reach, ..PROBE }
    }

    fn breaker() -> Breaker {
        Breaker::new(Some(target::Breaker::default()), CONCURRENCY)
    }

    /// What a run of reports outside a probe leads to.
    #[test]
    fn failures_in_a_row_open_it() {
        let run = |reports: &[(Reach, usize)]| {
            let mut breaker = breaker();
            let now = Instant::now();
            let all = reports
                .iter()
                .flat_map(|(reach, times)| vec![*reach; *times]);
            let changes: Vec<Change> = all
                .filter_map(|reach| breaker.ended(that(reach), now))
                .collect();
            (breaker.word(), changes.len())
        };
        let cases: [(&[(Reach, usize)], (&str, usize)); 7] = [
            (&[], ("closed", 0)),
            (&[(Failing, 9)], ("closed", 0)),
            (&[(Failing, 10)], ("open", 1)),
            (&[(Failing, 50)], ("open", 1)),
            (&[(Failing, 9), (Answered, 1), (Failing, 1)], ("closed", 0)),
            (&[(Failing, 9), (Unclear, 5), (Failing, 1)], ("open", 1)),
            (&[(Unclear, 50)], ("closed", 0)),
        ];
        for (reports, expected) in cases {
            assert_eq!(run(reports), expected, "{reports:?}");
        }
    }

    #[test]
    fn a_share_of_the_latest_attempts_opens_it() {
        // Failures of each ten attempts, between two answers; how many attempts it takes, if it opens.
        for (failures, expected) in [(3, None), (4, None), (5, Some(20)), (8, Some(20))] {
            let mut breaker = breaker();
            let start = Instant::now();
            let opened = (0..1_000_u32).find(|n| {
                let now = start + Duration::from_millis(100) * *n;
                // Answers first, so that the last one of ten is a failure, and spread.
                let reach = if (n % 10) * failures / 10 == (n % 10 + 1) * failures / 10 {
                    Answered
                } else {
                    Failing
                };
                breaker.ended(that(reach), now) == Some(Change::Opened)
            });
            assert_eq!(opened.map(|n| n + 1), expected, "{failures} of ten");
        }
    }

    #[test]
    fn attempts_before_the_window_do_not_count() {
        let mut breaker = breaker();
        let start = Instant::now();
        for n in 0..100 {
            let reach = if n % 2 == 0 { Failing } else { Answered };
            // Nineteen within thirty seconds.
            let now = start + Duration::from_millis(1_800) * n;
            assert_eq!(breaker.ended(that(reach), now), None, "{n}");
        }
    }

    #[test]
    fn switched_off_it_never_opens() {
        let mut breaker = Breaker::new(None, CONCURRENCY);
        for _ in 0..1_000 {
            assert_eq!(breaker.ended(that(Failing), Instant::now()), None);
        }
        assert!(breaker.free(1_000_000) > 0);
        assert_eq!(breaker.failures(), 1_000);
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = breaker();
        for _ in 0..10 {
            breaker.ended(that(Failing), now);
        }
        assert_eq!(breaker.word(), "open");
        breaker
    }

    #[test]
    fn holds_grow_to_their_maximum_with_jitter() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for bound_s in [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0] {
            assert_eq!(breaker.free(0), 0);
            let until = breaker.open_until().expect("open");
            let hold = (until - now).as_secs_f64();
            assert!(
                (bound_s * 0.799..=bound_s * 1.001).contains(&hold),
                "{hold} for {bound_s}"
            );
            assert_eq!(breaker.tick(until - Duration::from_millis(1)), None);
            assert_eq!(breaker.tick(until), Some(Change::HalfOpened));
            now = until;
            assert_eq!(breaker.free(5), 1, "whatever runs still from before");
            assert!(breaker.begin(), "it is the probe");
            assert_eq!(breaker.free(0), 0, "one at a time");
            assert_eq!(breaker.ended(probe(Failing), now), Some(Change::HeldOn));
        }
        breaker.ask_now(now);
        assert_eq!(breaker.tick(now), Some(Change::HalfOpened));
    }

    #[test]
    fn what_a_probe_says_decides() {
        for (reach, expected) in [(Answered, "closed"), (Failing, "open"), (Unclear, "open")] {
            let now = Instant::now();
            let mut breaker = opened(now);
            breaker.tick(now + Duration::from_secs(10));
            breaker.begin();
            breaker.ended(probe(reach), now);
            assert_eq!(breaker.word(), expected, "{reach:?}");
        }
    }

    #[test]
    fn strays_change_it_only_by_an_answer() {
        let now = Instant::now();
        for reach in [Failing, Unclear] {
            let mut breaker = opened(now);
            assert_eq!(breaker.ended(that(reach), now), None);
            breaker.tick(now + Duration::from_secs(10));
            breaker.begin();
            assert_eq!(breaker.ended(that(reach), now), None);
            assert_eq!(breaker.word(), "half_open");
        }
        let mut breaker = opened(now);
        assert_eq!(breaker.ended(that(Answered), now), Some(Change::Closed));
        assert!(breaker.is_closed());
    }

    #[test]
    fn closed_it_lets_attempts_begin_one_two_four() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.ended(that(Answered), now);
        for round in [1, 2, 4] {
            assert_eq!((breaker.free(0), breaker.is_ramping()), (round, true));
            for _ in 0..round {
                breaker.ended(that(Answered), now);
            }
        }
        assert!(breaker.free(1_000) > 1_000 && !breaker.is_ramping());
        // A failure on the way keeps it where it is.
        let mut breaker = opened(now);
        for _ in 0..6 {
            breaker.ended(that(Answered), now);
        }
        for reach in [Failing, Unclear] {
            assert_eq!(breaker.ended(that(reach), now), None);
            assert_eq!((breaker.free(0), breaker.free(6)), (6, 0));
        }
    }

    /// A tenth of the events always fails, and by now nearly every attempt is a retry of one of them.
    #[test]
    fn retries_of_poisoned_events_are_no_outage() {
        let now = Instant::now();
        let settings = target::Breaker {
            failures: 50,
            ..target::Breaker::default()
        };
        let mut breaker = Breaker::new(Some(settings), CONCURRENCY);
        for _ in 0..50 {
            breaker.ended(that(Failing), now);
        }
        assert_eq!(breaker.ended(that(Answered), now), Some(Change::Closed));
        for n in 0..10_000 {
            let first = n % 10 == 0;
            let reach = if first && n % 100 != 0 {
                Answered
            } else {
                Failing
            };
            let ended = Ended {
                reach,
                first,
                ..FIRST
            };
            assert_eq!(breaker.ended(ended, now), None, "{n}");
        }
        assert!(!breaker.is_ramping());
    }

    #[test]
    fn an_unused_probe_is_given_back() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.tick(now + Duration::from_secs(10));
        breaker.begin();
        breaker.probe_unused();
        assert_eq!(breaker.free(0), 1);
    }

    #[test]
    fn closing_forgets_the_holds_and_the_window() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..5 {
            breaker.tick(now + Duration::from_mins(1));
            breaker.ended(probe(Failing), now);
        }
        breaker.ended(that(Answered), now);
        for _ in 0..9 {
            assert_eq!(breaker.ended(that(Failing), now), None);
        }
        assert_eq!(breaker.ended(that(Failing), now), Some(Change::Opened));
        let hold = breaker.open_until().expect("open") - now;
        assert!(hold <= Duration::from_millis(251), "{hold:?}");
    }
}
