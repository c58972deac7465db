//! The clock: real (monotonic) or virtual, and points in time on it.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point on a [`Clock`], in nanoseconds since the clock's origin.
///
/// For a monotonic clock the origin is the one of the system's `CLOCK_MONOTONIC`, so that a value in
/// seconds equals what Python's `time.monotonic()` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// A time that no clock reaches.
    pub const NEVER: Time = Time(i64::MAX);

    /// From nanoseconds since the clock's origin.
    pub const fn from_nanos(nanos: i64) -> Self {
        Time(nanos)
    }

    /// From seconds since the clock's origin, rounded to the nearest nanosecond. Values that do not
    /// fit saturate, and NaN becomes the clock's origin, which is always due.
    pub fn from_secs_f64(secs: f64) -> Self {
        // `as` saturates and maps NaN to 0.
        Time((secs * 1e9).round() as i64)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the clock's origin.
    pub fn as_secs_f64(self) -> f64 {
        // Whole seconds and the rest apart: one rounding, as `time.monotonic()` does it.
        (self.0 / 1_000_000_000) as f64 + (self.0 % 1_000_000_000) as f64 / 1e9
    }

    /// The time from `earlier` to `self`; zero if `self` is not later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time moved on by `delay`, saturating at [`Time::NEVER`].
    pub fn after(self, delay: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// A source of time. Cheap to clone; clones of a virtual clock move together.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None`: the system's monotonic clock.
    virtual_nanos: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's monotonic clock.
    pub fn monotonic() -> Self {
        Clock { virtual_nanos: None }
    }

    /// A clock that stands at `start` and moves only by [`Clock::advance_to`].
    pub fn simulated(start: Time) -> Self {
        Clock { virtual_nanos: Some(Arc::new(AtomicI64::new(start.0))) }
    }

    /// Whether this clock only moves when told to.
    pub fn is_simulated(&self) -> bool {
        self.virtual_nanos.is_some()
    }

    /// The present time.
    #[inline]
    pub fn now(&self) -> Time {
        match &self.virtual_nanos {
            None => {
                let ts = clock_gettime(ClockId::Monotonic);
                Time(ts.tv_sec * 1_000_000_000 + ts.tv_nsec)
            }
            Some(nanos) => Time(nanos.load(Ordering::Acquire)),
        }
    }

    /// Moves a virtual clock forward to `time`; a time already passed, or a real clock, is left alone.
    pub fn advance_to(&self, time: Time) {
        if let Some(nanos) = &self.virtual_nanos {
            nanos.fetch_max(time.0, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_trip_to_the_nanosecond() {
        for secs in [0.0, 1.5, 123_456.789_012_345, 1e-9] {
            let time = Time::from_secs_f64(secs);
            assert!((time.as_secs_f64() - secs).abs() <= 1e-9, "{secs}");
        }
    }

    #[test]
    fn values_that_do_not_fit_saturate() {
        assert_eq!(Time::from_secs_f64(f64::INFINITY), Time::NEVER);
        assert_eq!(Time::from_secs_f64(f64::NEG_INFINITY).as_nanos(), i64::MIN);
        assert_eq!(Time::from_secs_f64(f64::NAN), Time::default());
        assert_eq!(Time::NEVER.after(Duration::from_secs(1)), Time::NEVER);
        assert_eq!(Time::from_nanos(1).since(Time::from_nanos(5)), Duration::ZERO);
        assert_eq!(
            Time::NEVER.since(Time::from_nanos(i64::MIN)),
            Duration::from_nanos(i64::MAX as u64)
        );
    }

    #[test]
    fn a_virtual_clock_moves_only_when_told_and_never_back() {
        let clock = Clock::simulated(Time::from_nanos(10));
        let twin = clock.clone();
        clock.advance_to(Time::from_nanos(25));
        assert_eq!(twin.now(), Time::from_nanos(25));
        clock.advance_to(Time::from_nanos(3));
        assert_eq!(twin.now(), Time::from_nanos(25));
    }

    #[test]
    fn the_real_clock_does_not_go_back() {
        let clock = Clock::monotonic();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(!clock.is_simulated());
    }
}
