//! A load run: many events over many connections, and what became of them.
//!
//! With a rate, the time of an answer is counted from when its event was due, not from when a connection was
//! free for it: a gateway that stalls cannot hide behind a sender that waits for it.

use super::{Post, Vendor, expected};
use crate::cli::{Failure, print};
use anyhow::Context as _;
use hdrhistogram::Histogram;
use http::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// The longest time that is told apart, in microseconds: an hour, beyond every sender's patience.
const LONGEST_US: u64 = 3_600_000_000;

/// Decimal digits of a time that are kept.
const DIGITS: u8 = 3;

/// Timers are exact to a millisecond: an event that is due sooner is sent at once.
const TIMER_GRAIN: Duration = Duration::from_millis(1);

/// The percentiles that are shown.
const PERCENTILES: [(&str, f64); 4] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Events.
    pub(super) count: u64,
    /// Events a second; `None` is as fast as answers come.
    pub(super) rate: Option<f64>,
    /// Requests at one time.
    pub(super) connections: u16,
    /// Whether each is spoilt after signing.
    pub(super) forged: bool,
}

impl Plan {
    /// When the event at `index` is due, from the start of the run.
    fn due(&self, index: u64) -> Option<Duration> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to 2^53 events, beyond any run"
        )]
        self.rate
            .map(|rate| Duration::from_secs_f64(index as f64 / rate))
    }
}

/// What all workers share.
struct Run {
    plan: Plan,
    vendor: Vendor,
    post: Post,
    begun: Instant,
    next: AtomicU64,
    bar: ProgressBar,
}

/// Runs the plan and prints the outcome.
pub(super) async fn run(plan: Plan, vendor: Vendor, post: Post, to: &Uri) -> Result<(), Failure> {
    if plan.forged {
        // Asked once, so that workers need not handle a source that has no proof.
        vendor.forge(vendor.next()?)?;
    }
    let event = vendor.event().unwrap_or("event of unknown type");
    print(&format!("POST {to}  {event}, {} times\n", plan.count))?;
    let run = Arc::new(Run {
        plan,
        vendor,
        post,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        bar: bar(plan.count),
    });
    let mut workers: JoinSet<Tally> = (0..plan.connections)
        .map(|_| work(Arc::clone(&run)))
        .collect();
    let mut tally = Tally::default();
    while let Some(done) = workers.join_next().await {
        tally.add(done.context("a worker panicked")?);
    }
    let elapsed = run.begun.elapsed();
    run.bar.finish_and_clear();
    print(
        &Outcome {
            tally: &tally,
            elapsed,
        }
        .to_string(),
    )?;
    if tally.unexpected == 0 {
        Ok(())
    } else {
        Err(Failure::Shown)
    }
}

/// Shown on stderr, and only on a terminal.
fn bar(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left")
        .expect("the template is valid");
    ProgressBar::new(count).with_style(style)
}

async fn work(run: Arc<Run>) -> Tally {
    let mut tally = Tally::default();
    loop {
        let index = run.next.fetch_add(1, Ordering::Relaxed);
        if index >= run.plan.count {
            return tally;
        }
        let begun = start_of(&run, index).await;
        let request = run
            .vendor
            .next()
            .expect("what was signed once can be signed again");
        let request = if run.plan.forged {
            run.vendor
                .forge(request)
                .expect("a source that verifies nothing was refused before the run")
        } else {
            request
        };
        match run.post.send(request).await {
            Ok(answered) => {
                let status = answered.reply.status;
                let as_expected = expected(status, run.plan.forged);
                let taken = Taken::of(&answered.reply.body);
                tally.answered(status.as_u16(), taken, begun.elapsed(), as_expected);
            }
            Err(error) => tally.failed(&anyhow::Error::new(error)),
        }
        run.bar.inc(1);
    }
}

/// Waits until the event is due; its time counts from what is returned.
async fn start_of(run: &Run, index: u64) -> Instant {
    let Some(due) = run.plan.due(index) else {
        return Instant::now();
    };
    let due = run.begun + due;
    if due > Instant::now() + TIMER_GRAIN {
        tokio::time::sleep_until(due - TIMER_GRAIN).await;
    }
    due.min(Instant::now())
}

/// What the gateway says it did with an event that it answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Accepted,
    Duplicate,
    Ignored,
}

impl Taken {
    /// Reads the gateway's own answer. One that `respond` or an app wrote says nothing.
    fn of(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let marks = text.strip_prefix(r#"{"received":true"#)?;
        Some(if marks.contains(r#","duplicate":true"#) {
            Self::Duplicate
        } else if marks.contains(r#","ignored":true"#) {
            Self::Ignored
        } else {
            Self::Accepted
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

/// What became of the events.
#[derive(Debug)]
struct Tally {
    /// Status, and what its answer said.
    by_answer: BTreeMap<(u16, Option<Taken>), u64>,
    by_error: BTreeMap<String, u64>,
    unexpected: u64,
    times_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            by_answer: BTreeMap::new(),
            by_error: BTreeMap::new(),
            unexpected: 0,
            times_us: Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
                .expect("the bounds are valid"),
        }
    }
}

impl Tally {
    fn answered(&mut self, status: u16, taken: Option<Taken>, took: Duration, as_expected: bool) {
        *self.by_answer.entry((status, taken)).or_default() += 1;
        self.unexpected += u64::from(!as_expected);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.times_us.saturating_record(took_us);
    }

    /// Errors are told apart by their words, which name the destination alone: there are a handful.
    fn failed(&mut self, error: &anyhow::Error) {
        *self.by_error.entry(format!("{error:#}")).or_default() += 1;
        self.unexpected += 1;
    }

    fn add(&mut self, other: Self) {
        for (answer, number) in other.by_answer {
            *self.by_answer.entry(answer).or_default() += number;
        }
        for (error, number) in other.by_error {
            *self.by_error.entry(error).or_default() += number;
        }
        self.unexpected += other.unexpected;
        self.times_us
            .add(other.times_us)
            .expect("both have the same bounds");
    }

    fn answers(&self) -> u64 {
        self.by_answer.values().sum()
    }

    fn errors(&self) -> u64 {
        self.by_error.values().sum()
    }
}

/// What is printed at the end.
struct Outcome<'a> {
    tally: &'a Tally,
    elapsed: Duration,
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, errors) = (self.tally.answers(), self.tally.errors());
        let seconds = self.elapsed.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with a few digits"
        )]
        let rate = answers as f64 / seconds.max(f64::MIN_POSITIVE);
        writeln!(f, "sent      {:>10}  in {seconds:.2} s", answers + errors)?;
        writeln!(f, "events/s  {rate:>10.0}")?;
        for ((status, taken), number) in &self.tally.by_answer {
            match taken {
                Some(taken) => writeln!(f, "{status:<8}  {number:>10}  {}", taken.word())?,
                None => writeln!(f, "{status:<8}  {number:>10}")?,
            }
        }
        writeln!(f, "errors    {errors:>10}")?;
        for (error, number) in &self.tally.by_error {
            writeln!(f, "  {number} x {error}")?;
        }
        if answers == 0 {
            return Ok(());
        }
        let times = &self.tally.times_us;
        for (name, percentile) in PERCENTILES {
            let ms = millis(times.value_at_percentile(percentile));
            writeln!(f, "{name:<8}  {ms:>10.3} ms")?;
        }
        writeln!(f, "max       {:>10.3} ms", millis(times.max()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are kept to three digits")]
fn millis(us: u64) -> f64 {
    us as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        count: 10,
        rate: Some(200.0),
        connections: 1,
        forged: false,
    };

    #[test]
    fn events_are_due_at_even_distances() {
        let cases = [(0, 0), (1, 5), (7, 35), (200, 1000), (720_000, 3_600_000)];
        for (index, ms) in cases {
            assert_eq!(PLAN.due(index), Some(Duration::from_millis(ms)));
        }
        let closed = Plan { rate: None, ..PLAN };
        assert_eq!(closed.due(7), None);
    }

    #[test]
    fn tallies_add_up() {
        let mut whole = Tally::default();
        for worker in 0..4u64 {
            let mut part = Tally::default();
            for ms in 1..=250u64 {
                let took = Duration::from_millis(worker * 250 + ms);
                let taken = match ms {
                    1 => Taken::Duplicate,
                    2 => Taken::Ignored,
                    _ => Taken::Accepted,
                };
                part.answered(200, Some(taken), took, true);
            }
            part.answered(503, None, Duration::from_secs(2), false);
            part.failed(&anyhow::anyhow!("cannot connect to 127.0.0.1:1"));
            whole.add(part);
        }
        assert_eq!((whole.answers(), whole.errors()), (1004, 4));
        assert_eq!(whole.unexpected, 8);
        let outcome = Outcome {
            tally: &whole,
            elapsed: Duration::from_millis(500),
        };
        insta::assert_snapshot!(outcome, @"
        sent            1008  in 0.50 s
        events/s        2008
        200              992  accepted
        200                4  duplicate
        200                4  ignored
        503                4
        errors             4
          4 x cannot connect to 127.0.0.1:1
        p50          502.015 ms
        p90          904.191 ms
        p99          994.303 ms
        p99.9       2000.895 ms
        max         2000.895 ms
        ");
    }

    #[test]
    fn the_gateway_s_own_answers_are_told_apart() {
        let cases = [
            (r#"{"received":true,"id":"a"}"#, Some(Taken::Accepted)),
            (
                r#"{"received":true,"id":"a","delivered":false}"#,
                Some(Taken::Accepted),
            ),
            (
                r#"{"received":true,"id":"a","duplicate":true}"#,
                Some(Taken::Duplicate),
            ),
            (
                r#"{"received":true,"duplicate":true}"#,
                Some(Taken::Duplicate),
            ),
            (r#"{"received":true,"ignored":true}"#, Some(Taken::Ignored)),
            ("[accepted]", None),
            ("", None),
        ];
        for (body, taken) in cases {
            assert_eq!(Taken::of(body.as_bytes()), taken, "{body}");
        }
    }

    #[test]
    fn percentiles_of_evenly_spread_times() {
        let mut tally = Tally::default();
        for us in 1..=100_000u64 {
            tally.answered(200, None, Duration::from_micros(us), true);
        }
        for (name, percentile) in PERCENTILES {
            let value = millis(tally.times_us.value_at_percentile(percentile));
            assert!(
                (value - percentile).abs() <= percentile / 500.0,
                "{name} is {value} ms"
            );
        }
        assert!((millis(tally.times_us.max()) - 100.0).abs() < 0.2);
    }

    #[test]
    fn a_run_without_answers_shows_why() {
        let mut tally = Tally::default();
        tally.failed(&anyhow::anyhow!("cannot connect to 127.0.0.1:1"));
        let outcome = Outcome {
            tally: &tally,
            elapsed: Duration::ZERO,
        };
        insta::assert_snapshot!(outcome, @"
        sent               1  in 0.00 s
        events/s           0
        errors             1
          1 x cannot connect to 127.0.0.1:1
        ");
    }

    #[test]
    fn a_time_beyond_the_longest_is_kept_as_the_longest() {
        let mut tally = Tally::default();
        tally.answered(200, None, Duration::from_hours(24), true);
        assert!(millis(tally.times_us.max()) >= 3_599_000.0);
    }
}
