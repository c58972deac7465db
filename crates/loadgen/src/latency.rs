//! Latencies of a run.

use std::time::Duration;

/// Every latency that was measured; kept whole, so percentiles are exact.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    nanoseconds: Vec<u64>,
}

/// What is told of the latencies, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.nanoseconds.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were recorded.
    pub(crate) fn len(&self) -> u64 {
        self.nanoseconds.len() as u64
    }

    /// The percentiles, or nothing if nothing was measured.
    pub(crate) fn summary(mut self) -> Option<Summary> {
        self.nanoseconds.sort_unstable();
        let max = *self.nanoseconds.last()?;
        Some(Summary { p50: self.rank(50), p99: self.rank(99), max })
    }

    /// Nearest rank: the smallest value that `percent` of all values do not exceed.
    fn rank(&self, percent: usize) -> u64 {
        let rank = (self.nanoseconds.len() * percent).div_ceil(100);
        self.nanoseconds[rank.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        for nanoseconds in (1..=200).rev() {
            latencies.record(Duration::from_nanos(nanoseconds));
        }
        assert_eq!(latencies.summary(), Some(Summary { p50: 100, p99: 198, max: 200 }));
    }

    #[test]
    fn one_value_is_every_percentile() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_nanos(7));
        assert_eq!(latencies.summary(), Some(Summary { p50: 7, p99: 7, max: 7 }));
    }

    #[test]
    fn no_value_is_no_summary() {
        assert_eq!(Latencies::default().summary(), None);
    }
}
