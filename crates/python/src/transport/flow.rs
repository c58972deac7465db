//! How much may wait to be sent before a protocol is asked to pause.
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// asyncio's default of `set_write_buffer_limits`, in bytes.
pub(super) const HIGH_WATER: usize = 64 * 1024;

/// The limits of a transport's buffer, and whether its protocol was asked to pause.
pub(super) struct Flow {
    pub(super) high: usize,
    pub(super) low: usize,
    /// `pause_writing` was called on the protocol.
    pub(super) paused: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Flow { high: HIGH_WATER, low: HIGH_WATER / 4, paused: false }
    }
}

impl Flow {
    /// What the arguments of `set_write_buffer_limits` mean: `(high, low)` in bytes.
    ///
    /// # Errors
    /// A `ValueError` unless `high >= low >= 0`.
    pub(super) fn limits(high: Option<isize>, low: Option<isize>) -> PyResult<(usize, usize)> {
        let high = match (high, low) {
            (Some(high), _) => high,
            (None, Some(low)) => low.saturating_mul(4),
            (None, None) => HIGH_WATER as isize,
        };
        let low = low.unwrap_or(high.div_euclid(4));
        match (usize::try_from(high), usize::try_from(low)) {
            (Ok(unsigned_high), Ok(unsigned_low)) if high >= low => {
                Ok((unsigned_high, unsigned_low))
            }
            _ => Err(PyValueError::new_err(format!(
                "high ({high}) must be >= low ({low}) must be >= 0"
            ))),
        }
    }

    /// Whether the protocol has to pause now that the buffer holds `size` bytes. Takes note that it was told.
    pub(super) fn must_pause(&mut self, size: usize) -> bool {
        let wanted = !self.paused && size > self.high;
        self.paused |= wanted;
        wanted
    }

    /// Whether the protocol may go on now that the buffer holds `size` bytes. Takes note that it was told.
    pub(super) fn may_resume(&mut self, size: usize) -> bool {
        let wanted = self.paused && size <= self.low;
        self.paused &= !wanted;
        wanted
    }
}
