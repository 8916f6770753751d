//! Two clocks. Everything that is kept and compared with itself (times of receipt, retries, windows, ages) goes by
//! [`unix_ms`], which is steady; everything that is compared with or shown to the outside (timestamps of signatures, dates
//! in `Retry-After`, the age of a vendor's event) goes by [`wall_ms`], the machine's.
//!
//! Invariant of the steady clock: it never runs backwards, and never faster or slower than real time by more than one
//! part in `SLEW`, whatever is done to the machine's clock. So a clock that is set by an hour makes no retry due, holds
//! none up and gives no event up: the hour is made good over the next twenty.
//!
//! Across restarts the machine's clock counts, with one exception: a clock that says a time before `PLAUSIBLE_MS` at the
//! start (a board without a battery, before its network) is not believed. Time goes on from the latest that the store has
//! seen then ([`recall`]), and is set once the machine's clock says a time that can be: what was received before that
//! counts as old, as it would after a stop of that length. A clock that is far in the future at the start cannot be told from a right one.

use jiff::{Timestamp, tz::Offset};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// The steady clock follows the machine's by at most one part in this: what is given up after three days may be given
/// up an hour early if that hour was put in, and a retry in ten minutes is moved by half a minute.
const SLEW: u64 = 20;

/// 2026-01-01T00:00:00Z: no event was received before this was written.
const PLAUSIBLE_MS: u64 = 1_767_225_600_000;

/// A difference between the two clocks that is worth a line: more than any that time servers make good by themselves.
const NOTABLE: Duration = Duration::from_mins(1);

static STEADY: Mutex<Option<Steady>> = Mutex::new(None);

/// Whether they differed notably when the steady clock was read last.
static DIFFERS: AtomicBool = AtomicBool::new(false);

/// Steady Unix time in milliseconds: see above.
pub fn unix_ms() -> u64 {
    both_ms().0
}

/// What [`unix_ms`] and [`wall_ms`] say at one moment.
pub fn both_ms() -> (u64, u64) {
    let (now, wall_ns) = (Instant::now(), wall_ns());
    let (read_ns, said) = {
        let mut steady = STEADY.lock();
        let steady = steady.get_or_insert_with(|| Steady::new(now, wall_ns));
        let said = steady.read(now, wall_ns);
        DIFFERS.store(steady.said || steady.provisional, Relaxed);
        (steady.ns, said)
    };
    if let Some(said) = said {
        said.log();
    }
    (read_ns / NS_PER_MS, wall_ns / NS_PER_MS)
}

/// Unix time in milliseconds by the machine's clock, as it stands. A clock set before 1970 reads as 0.
pub fn wall_ms() -> u64 {
    wall_ns() / NS_PER_MS
}

/// What the machine's clock said at `unix_ms`, for a time that is compared with it outside: the same, unless the two
/// differ notably.
pub fn by_the_wall(unix_ms: u64) -> u64 {
    if !DIFFERS.load(Relaxed) {
        return unix_ms;
    }
    let (steady_ms, wall_ms) = (self::unix_ms(), wall_ms());
    if Duration::from_millis(wall_ms.abs_diff(steady_ms)) < NOTABLE {
        return unix_ms;
    }
    unix_ms.saturating_add(wall_ms).saturating_sub(steady_ms)
}

/// The store has seen `unix_ms`: where the machine's clock at the start cannot be right, time goes on from there.
pub fn recall(unix_ms: u64) {
    let mut steady = STEADY.lock();
    let steady = steady.get_or_insert_with(|| Steady::new(Instant::now(), wall_ns()));
    steady.recall(unix_ms.saturating_mul(NS_PER_MS));
}

const NS_PER_MS: u64 = 1_000_000;

/// The same in nanoseconds; until the year 2554.
pub fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The steady clock's state.
#[derive(Debug)]
struct Steady {
    /// When it was read last.
    at: Instant,
    /// What it read then, Unix nanoseconds.
    ns: u64,
    /// The machine's clock could not be right so far.
    provisional: bool,
    /// It was said that the two differ.
    said: bool,
}

/// What should be known about the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The machine's clock says a time that cannot be.
    Implausible,
    /// Once it can be, time is set to it.
    Set,
    /// It is ahead by so much (negative: behind), seconds.
    Differs(i64),
}

impl Steady {
    fn new(now: Instant, wall_ns: u64) -> Self {
        Self {
            at: now,
            ns: wall_ns,
            provisional: !is_plausible(wall_ns),
            said: false,
        }
    }

    /// Goes on to `now`.
    fn read(&mut self, now: Instant, wall_ns: u64) -> Option<Said> {
        let elapsed = now.saturating_duration_since(self.at);
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.at += elapsed;
        let even_ns = self.ns.saturating_add(elapsed_ns);
        self.ns = even_ns;
        if !is_plausible(wall_ns) {
            return (!std::mem::replace(&mut self.said, true)).then_some(Said::Implausible);
        }
        if std::mem::take(&mut self.provisional) && wall_ns > even_ns {
            self.ns = wall_ns;
            self.said = false;
            return Some(Said::Set);
        }
        let most_ns = elapsed_ns / SLEW;
        self.ns = wall_ns.clamp(
            even_ns.saturating_sub(most_ns),
            even_ns.saturating_add(most_ns),
        );
        let gap = Duration::from_nanos(wall_ns.abs_diff(self.ns));
        if gap < NOTABLE {
            self.said = false;
            return None;
        }
        let seconds = i64::try_from(gap.as_secs()).unwrap_or(i64::MAX);
        let ahead = if wall_ns > self.ns { seconds } else { -seconds };
        (!std::mem::replace(&mut self.said, true)).then_some(Said::Differs(ahead))
    }

    fn recall(&mut self, seen_ns: u64) {
        if self.provisional {
            self.ns = self.ns.max(seen_ns);
        }
    }
}

impl Said {
    fn log(self) {
        match self {
            Self::Implausible => tracing::warn!(
                "the machine's clock says a time before 2026: timestamps cannot be checked until it is set"
            ),
            Self::Set => tracing::info!("the machine's clock was set: times are right from now on"),
            Self::Differs(by_seconds) => tracing::warn!(
                by_seconds,
                "the machine's clock was set: ages and retries follow it by a second in {SLEW}; a restart follows at once"
            ),
        }
    }
}

fn is_plausible(wall_ns: u64) -> bool {
    wall_ns / NS_PER_MS >= PLAUSIBLE_MS
}

/// A duration in whole milliseconds; `u64::MAX` for one that does not fit.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long before `now_ms` something of `unix_ms` was, seconds, for a gauge in which 0 means that there is nothing:
/// at least a millisecond, also after the clock was set back.
pub fn age_seconds(unix_ms: u64, now_ms: u64) -> f64 {
    Duration::from_millis(now_ms.saturating_sub(unix_ms).max(1)).as_secs_f64()
}

/// `unix_ms` as RFC 3339 in UTC with milliseconds, such as `2026-01-31T10:30:00.000Z`; at the most the end of 9999.
pub fn rfc3339(unix_ms: u64) -> String {
    let text = std::str::from_utf8(&rfc3339_ascii(unix_ms)).map(str::to_owned);
    text.expect("digits and signs are ASCII")
}

/// The same as bytes. Each attempt says when its event was received, so it is not formatted: that takes six times as long.
pub fn rfc3339_ascii(unix_ms: u64) -> [u8; 24] {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = Offset::UTC.to_datetime(time.unwrap_or(Timestamp::MAX));
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |digits: Range<usize>, number: u16| {
        let mut rest = number;
        for digit in text[digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    };
    put(0..4, time.year().unsigned_abs());
    put(5..7, time.month().unsigned_abs().into());
    put(8..10, time.day().unsigned_abs().into());
    put(11..13, time.hour().unsigned_abs().into());
    put(14..16, time.minute().unsigned_abs().into());
    put(17..19, time.second().unsigned_abs().into());
    put(20..23, time.millisecond().unsigned_abs());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::fmt::temporal::DateTimePrinter;

    const START_NS: u64 = 1_800_000_000_000_000_000;
    const SECOND_NS: i64 = 1_000_000_000;

    /// A clock, the machine's beside it, and the real time since the start.
    struct Machine {
        start: Instant,
        passed: Duration,
        wall_ns: u64,
        steady: Steady,
    }

    impl Machine {
        fn new(wall_ns: u64) -> Self {
            let start = Instant::now();
            Self {
                start,
                passed: Duration::ZERO,
                wall_ns,
                steady: Steady::new(start, wall_ns),
            }
        }

        fn pass(&mut self, time: Duration) -> Option<Said> {
            self.passed += time;
            self.wall_ns += u64::try_from(time.as_nanos()).expect("short");
            self.steady.read(self.start + self.passed, self.wall_ns)
        }

        fn jump(&mut self, seconds: i64) {
            self.wall_ns = self.wall_ns.saturating_add_signed(seconds * SECOND_NS);
        }

        /// How far the steady clock has come, against real time: seconds.
        fn gained(&self) -> f64 {
            let real_ns =
                i128::from(START_NS) + i128::try_from(self.passed.as_nanos()).expect("short");
            let gained = i128::from(self.steady.ns) - real_ns;
            #[expect(
                clippy::cast_precision_loss,
                reason = "rounded to what the tests look at"
            )]
            let gained = gained as f64;
            gained / 1e9
        }
    }

    #[test]
    fn an_hour_either_way_is_made_good_over_twenty() {
        for sign in [1, -1] {
            let mut machine = Machine::new(START_NS);
            assert_eq!(machine.pass(Duration::from_secs(1)), None);
            machine.jump(sign * 3_600);
            assert!(machine.gained().abs() < 0.001);
            let said = machine.pass(Duration::from_millis(1));
            assert!(
                matches!(said, Some(Said::Differs(by)) if by.signum() == sign),
                "{said:?}"
            );
            let signed = |seconds: f64| if sign > 0 { seconds } else { -seconds };
            for hours in 1..=20_u32 {
                for _ in 0..3_600 {
                    assert_eq!(
                        machine.pass(Duration::from_secs(1)),
                        None,
                        "it is said once"
                    );
                }
                let expected = signed(f64::from(hours * 180).min(3_600.0));
                assert!(
                    (machine.gained() - expected).abs() < 0.01,
                    "{}",
                    machine.gained()
                );
            }
            machine.pass(Duration::from_hours(1));
            assert_eq!(machine.steady.ns, machine.wall_ns, "and no further");
        }
    }

    #[test]
    fn a_clock_that_is_right_is_followed() {
        let mut machine = Machine::new(START_NS);
        for ms in [1, 50, 999] {
            // As time servers adjust it.
            machine.wall_ns += 400;
            assert_eq!(machine.pass(Duration::from_millis(ms)), None);
            assert_eq!(machine.steady.ns, machine.wall_ns);
        }
    }

    #[test]
    fn a_clock_before_2026_is_not_believed() {
        let mut machine = Machine::new(0);
        assert_eq!(
            machine.pass(Duration::from_secs(1)),
            Some(Said::Implausible)
        );
        // The store has seen a later time.
        machine.steady.recall(START_NS);
        assert_eq!(machine.pass(Duration::from_secs(1)), None);
        assert_eq!(machine.steady.ns, START_NS + 1_000_000_000);
        machine.wall_ns = START_NS + 86_400_000_000_000;
        assert_eq!(machine.pass(Duration::from_secs(1)), Some(Said::Set));
        assert_eq!(machine.steady.ns, machine.wall_ns);
        // What was believed once is not given up for a clock that lost its time.
        machine.jump(-1_800_000_000);
        let before = machine.steady.ns;
        assert_eq!(
            machine.pass(Duration::from_secs(1)),
            Some(Said::Implausible)
        );
        assert_eq!(machine.steady.ns, before + 1_000_000_000);
        machine.steady.recall(u64::MAX);
        assert_eq!(
            machine.steady.ns,
            before + 1_000_000_000,
            "only at the start"
        );
    }

    proptest::proptest! {
        /// Whatever is done to the machine's clock.
        #[test]
        fn it_runs_forwards_and_nearly_even(
            steps in proptest::collection::vec((0_u64..10_000_000, -4_000_000_i64..4_000_000), 1..100),
        ) {
            let mut machine = Machine::new(START_NS);
            for (us, seconds) in steps {
                machine.jump(seconds);
                let before = machine.steady.ns;
                machine.pass(Duration::from_micros(us));
                let ran = machine.steady.ns - before;
                let real = us * 1_000;
                proptest::prop_assert!(ran >= real - real / SLEW && ran <= real + real / SLEW);
            }
        }
    }

    #[test]
    fn both_clocks_agree_where_nobody_sets_them() {
        // However much time passes between two looks.
        let (before_ms, steady_ms, after_ms) = (wall_ms(), unix_ms(), wall_ms());
        assert!(
            before_ms < steady_ms + 1_000 && steady_ms < after_ms + 1_000,
            "{before_ms} {steady_ms} {after_ms}"
        );
    }

    #[test]
    fn an_age_is_never_nothing() {
        for (unix_ms, age_ms) in [(5, 1_500), (1_505, 1), (1_600, 1)] {
            let age = Duration::from_secs_f64(age_seconds(unix_ms, 1_505));
            assert_eq!(millis(age), age_ms, "{unix_ms}");
        }
    }

    #[test]
    fn rfc3339_has_milliseconds_and_utc() {
        assert_eq!(rfc3339(1_769_855_400_000), "2026-01-31T10:30:00.000Z");
        assert_eq!(rfc3339(1_769_855_400_007), "2026-01-31T10:30:00.007Z");
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn rfc3339_is_written_as_it_is_printed(unix_ms in 0..260_000_000_000_000_u64) {
            const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
            let time = i64::try_from(unix_ms).map(Timestamp::from_millisecond);
            let time = time.expect("small").unwrap_or(Timestamp::MAX);
            proptest::prop_assert_eq!(rfc3339(unix_ms), PRINTER.timestamp_to_string(&time));
        }
    }
}
